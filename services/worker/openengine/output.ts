import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TokenInfoSchema } from "#gen/openengine/v1/generation_pb";
import type { Engine, EngineLogprobs } from "#lib/engines/engine";
import { createPieceTexts, Detokenizer, type PieceTexts } from "#lib/text/detokenizer";
import { pieceTable } from "#lib/text/pieces";
import { tokenBits } from "#lib/text/special";
import { compileStops, StopMatcher } from "#lib/text/stop";
import { checkVocabulary } from "#lib/text/vocabulary";
import type { GenerationPlan } from "./request.ts";

/** Texts of an engine's tokens, from its tokenizer artifact; undefined when it has none: then answers carry ids alone. */
export function pieceTextsOf(engine: Engine): PieceTexts | undefined {
  const artifact = engine.card.artifacts.find(({ kind }) => kind === "tokenizer");
  if (!artifact) return undefined;
  const vocabulary = checkVocabulary(artifact.content);
  return createPieceTexts(pieceTable(vocabulary, tokenBits(vocabulary)));
}

type TokenInfo = MessageInitShape<typeof TokenInfoSchema>;

/** One output of a generation: tokens as they come, the text that they complete, and the stop strings in it. */
export interface Output {
  /** Whether nothing waits to be sent. */
  readonly empty: boolean;
  /** The stop string that ended this output; later tokens are dropped. */
  readonly stopText: string | undefined;
  /** Takes tokens; copies them. */
  push(tokens: Uint32Array): void;
  /** No more tokens come: text that was held back is given out. */
  end(): void;
  /** What waits, as a delta. `logprobs` belong to the last tokens that were pushed. */
  take(logprobs: EngineLogprobs | undefined): { tokens: TokenInfo[]; text: string };
}

/** An output that is empty. */
export function createOutput(plan: GenerationPlan, texts: PieceTexts | undefined): Output {
  const detokenizer = texts && new Detokenizer(texts);
  const stops = new StopMatcher(compileStops(plan.stopStrings), plan.includeStop);
  const decoder = new TextDecoder();
  const piece = (token: number): string => (texts ? decoder.decode(texts.bytesOf(token)) : "");
  let waiting: number[] = [];
  let text = "";

  return {
    get empty() {
      return waiting.length === 0 && text === "";
    },
    get stopText() {
      return stops.matched;
    },
    push(tokens) {
      for (const token of tokens) {
        if (stops.matched !== undefined) return;
        waiting.push(token);
        if (detokenizer) text += stops.push(detokenizer.pushToken(token));
      }
    },
    end() {
      if (stops.matched !== undefined || !detokenizer) return;
      text += stops.push(detokenizer.end());
      if (stops.matched === undefined) text += stops.end();
    },
    take(logprobs) {
      // After a stop string fewer tokens wait than were drawn: the first ones of the arrays are theirs.
      const top = logprobs && logprobs.chosen.length > 0 ? logprobs.topTokens.length / logprobs.chosen.length : 0;
      const tokens = waiting.map((token, at) => {
        const info: TokenInfo = { tokenId: token, token: piece(token) };
        if (!logprobs) return info;
        info.logprob = logprobs.chosen[at];
        info.candidates = Array.from({ length: top }, (_, rank) => {
          const tokenId = logprobs.topTokens[at * top + rank]!;
          return { tokenId, logprob: logprobs.topValues[at * top + rank]!, token: piece(tokenId), rank: rank + 1 };
        });
        return info;
      });
      const delta = { tokens, text };
      waiting = [];
      text = "";
      return delta;
    },
  };
}

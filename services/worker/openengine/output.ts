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
  /** Tokens that belong to this output so far. */
  readonly tokenCount: number;
  /** Takes tokens; copies them. */
  push(tokens: Uint32Array): void;
  /** No more tokens come: text that was held back is given out, and the stop token when it is to stay. */
  end(stopToken?: number): void;
  /** What waits, as a delta. `logprobs` belong to the first of the tokens that were pushed since the last call. */
  take(logprobs: EngineLogprobs | undefined): { tokens: TokenInfo[]; text: string };
}

/** What an output needs of the plan. */
export type OutputPlan = Pick<GenerationPlan, "stopStrings" | "includeStop"> & {
  readonly base: { readonly stopping: Pick<GenerationPlan["base"]["stopping"], "minTokens"> };
};

/** An output that is empty. */
export function createOutput(plan: OutputPlan, texts: PieceTexts | undefined): Output {
  return new PlannedOutput(plan, texts);
}

class PlannedOutput implements Output {
  readonly #texts: PieceTexts | undefined;
  readonly #detokenizer: Detokenizer | undefined;
  readonly #stops: StopMatcher;
  readonly #includeStop: boolean;
  /** Stop strings count in the text of tokens after these. */
  readonly #minTokens: number;
  #waiting: number[] = [];
  #text = "";
  tokenCount = 0;

  constructor({ stopStrings, includeStop, base }: OutputPlan, texts: PieceTexts | undefined) {
    this.#texts = texts;
    this.#detokenizer = texts && new Detokenizer(texts);
    this.#stops = new StopMatcher(compileStops(stopStrings), includeStop);
    this.#includeStop = includeStop;
    this.#minTokens = base.stopping.minTokens;
  }

  get empty() {
    return this.#waiting.length === 0 && this.#text === "";
  }

  get stopText() {
    return this.#stops.matched;
  }

  push(tokens: Uint32Array): void {
    for (const token of tokens) {
      if (this.#stops.matched !== undefined) return;
      this.#take(token);
    }
  }

  end(stopToken?: number): void {
    if (this.#stops.matched !== undefined) return;
    if (this.#includeStop && stopToken !== undefined) this.#take(stopToken);
    if (!this.#detokenizer || this.#stops.matched !== undefined) return;
    this.#show(this.#detokenizer.end());
    if (this.#stops.matched === undefined) this.#text += this.#stops.end();
  }

  take(logprobs: EngineLogprobs | undefined): { tokens: TokenInfo[]; text: string } {
    const delta = { tokens: this.#waiting.map((token, at) => this.#describe(token, at, logprobs)), text: this.#text };
    this.#waiting = [];
    this.#text = "";
    return delta;
  }

  #take(token: number): void {
    this.#waiting.push(token);
    this.tokenCount++;
    if (this.#detokenizer) this.#show(this.#detokenizer.pushToken(token));
  }

  #show(text: string): void {
    this.#text += this.tokenCount <= this.#minTokens ? text : this.#stops.push(text);
  }

  /** After a stop string fewer tokens wait than were drawn, and a stop token that stays has no log-probability. */
  #describe(tokenId: number, at: number, logprobs: EngineLogprobs | undefined): TokenInfo {
    const info: TokenInfo = { tokenId, token: this.#piece(tokenId) };
    if (!logprobs || at >= logprobs.chosen.length) return info;
    const { chosen, topTokens, topValues } = logprobs;
    const top = topTokens.length / chosen.length;
    info.logprob = chosen[at];
    info.candidates = Array.from({ length: top }, (_, rank) => {
      const candidate = topTokens[at * top + rank]!;
      return {
        tokenId: candidate,
        logprob: topValues[at * top + rank]!,
        token: this.#piece(candidate),
        rank: rank + 1,
      };
    });
    info.rank = info.candidates.find((candidate) => candidate.tokenId === tokenId)?.rank;
    return info;
  }

  #piece(token: number): string {
    return this.#texts ? Buffer.from(this.#texts.bytesOf(token)).toString("utf8") : "";
  }
}

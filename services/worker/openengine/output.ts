import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TokenInfoSchema } from "#gen/openengine/v1/generation_pb";
import type { Engine, EngineLogprobs } from "#lib/engines/engine";
import { Choice, type ChoiceText } from "#lib/serving/choice";
import { readToken, readTop } from "#lib/serving/scored-tokens";
import { createPieceTexts, Detokenizer } from "#lib/text/detokenizer";
import { pieceTable } from "#lib/text/pieces";
import { tokenBits } from "#lib/text/special";
import type { StopStrings } from "#lib/text/stop";
import { checkVocabulary } from "#lib/text/vocabulary";

const NO_BYTES = new Uint8Array(0);

/** The text of an engine without a tokenizer: answers carry ids alone. */
export const NO_TEXT: ChoiceText = {
  createDecoder: () => ({ push: () => "", end: () => "", length: 0 }),
  piece: () => NO_BYTES,
};

/** How an engine's tokens become text, from its tokenizer artifact. */
export function textOf(engine: Engine): ChoiceText {
  const artifact = engine.card.artifacts.find(({ kind }) => kind === "tokenizer");
  if (!artifact) return NO_TEXT;
  const vocabulary = checkVocabulary(artifact.content);
  const texts = createPieceTexts(pieceTable(vocabulary, tokenBits(vocabulary)));
  return { createDecoder: () => new Detokenizer(texts), piece: texts.bytesOf };
}

type TokenInfo = MessageInitShape<typeof TokenInfoSchema>;

/** What an output needs of the plan. */
export interface OutputPlan {
  /** Texts that end it; undefined: none. */
  readonly stops: StopStrings | undefined;
  /** Whether what ended it, text or token, stays in the output. */
  readonly includeStop: boolean;
  /** No stop text ends it before so many tokens. */
  readonly minTokens: number;
}

/** One output of a generation: a choice that gives its tokens as they come, and the text that they set free. */
export class Output {
  readonly #text: ChoiceText;
  readonly #includeStop: boolean;
  readonly #choice: Choice;
  #waiting: number[] = [];
  /** How many of them were taken. */
  #taken = 0;
  /** A stop token that stays in the output is one of its tokens here. */
  #kept = 0;

  constructor({ stops, includeStop, minTokens }: OutputPlan, text: ChoiceText) {
    this.#text = text;
    this.#includeStop = includeStop;
    this.#choice = new Choice({ text, stops, includeStop, minTokens });
  }

  /** The stop string that ended this output; later tokens are dropped. */
  get stopText(): string | undefined {
    return this.#choice.stopText;
  }

  /** Tokens that belong to this output so far. */
  get tokenCount(): number {
    return this.#choice.counted + this.#kept;
  }

  /** Takes tokens; copies them. */
  push(tokens: Uint32Array): void {
    const before = this.#choice.counted;
    this.#choice.push(tokens);
    for (let at = 0; at < this.#choice.counted - before; at++) this.#waiting.push(tokens[at]!);
  }

  /** Takes a piece of text, from an engine of text. */
  pushText(text: string): void {
    this.#choice.pushText(text);
  }

  /** No more tokens come: text that was held back is given out, and the stop token when it is to stay. */
  end(stopToken?: number): void {
    if (this.#choice.closed) return;
    this.#choice.close(stopToken);
    if (!this.#includeStop || stopToken === undefined) return;
    this.#waiting.push(stopToken);
    this.#kept = 1;
  }

  /**
   * The next `most` tokens that wait, as a delta; undefined when there are none, and no text. `logprobs` belong to the
   * tokens that were pushed since all were taken.
   */
  take(most: number, logprobs: EngineLogprobs | undefined): { tokens: TokenInfo[]; text: string } | undefined {
    const text = this.#choice.take(most);
    const from = this.#taken;
    const next = this.#waiting.slice(from, from + most);
    if (text === "" && next.length === 0) return undefined;
    const tokens = next.map((token, at) => this.#describe(token, from + at, logprobs));
    this.#taken += next.length;
    if (this.#taken === this.#waiting.length) {
      this.#waiting = [];
      this.#taken = 0;
    }
    return { tokens, text };
  }

  /** After a stop string fewer tokens wait than were drawn, and a stop token that stays has no log-probability. */
  #describe(tokenId: number, at: number, logprobs: EngineLogprobs | undefined): TokenInfo {
    const { text } = readToken(this.#text, tokenId, undefined);
    if (!logprobs || at >= logprobs.chosen.length) return { tokenId, token: text };
    const candidates = readTop(this.#text, logprobs, at).map((each, place) => {
      return { tokenId: each.id, token: each.text, logprob: each.logprob!, rank: place + 1 };
    });
    const rank = candidates.find((candidate) => candidate.tokenId === tokenId)?.rank;
    return { tokenId, token: text, logprob: logprobs.chosen[at]!, candidates, rank };
  }
}

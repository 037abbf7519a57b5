import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  FinishReason,
  type GenerateRequest,
  type GenerateResponse,
  GenerateResponseSchema,
  type StopMatchSchema,
} from "#gen/openengine/v1/generation_pb";
import { assert } from "#lib/base/errors";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { EngineFaultName } from "./engine-faults.ts";
import { PracticeDraw, practiceScores, practiceText } from "./practice-tokens.ts";

type Match = NonNullable<MessageInitShape<typeof StopMatchSchema>["match"]>;
type Event = NonNullable<MessageInitShape<typeof GenerateResponseSchema>["event"]>;

/** What an engine that truncates in silence gives at most. */
const TRUNCATED_TOKENS = 100;

/** A request as a practice engine takes it. */
export interface PracticeAsk {
  /** As it came. */
  readonly request: GenerateRequest;
  /** Its prompt. */
  readonly prompt: Uint32Array;
  /** Of these, from the cache. */
  readonly cachedTokens: number;
  /** Tokens per sequence at most. */
  readonly maxTokens: number;
  /** Of the draws, where the request names none. */
  readonly seed: bigint;
}

/** One sequence of an answer. */
interface Sequence {
  readonly draw: PracticeDraw;
  /** What it has drawn. */
  readonly drawn: number[];
  /** How many of them were given. */
  given: number;
  over: boolean;
}

/** One call: it gives one token of each sequence in every step, while its caller reads. */
export class PracticeGeneration {
  readonly #ask: PracticeAsk;
  readonly #channel: DuplexChannel<GenerateResponse, GenerateRequest>;
  readonly #fault: EngineFaultName | undefined;
  readonly #sequences: readonly Sequence[];
  #isFull = false;
  #isOver = false;

  constructor(
    ask: PracticeAsk,
    channel: DuplexChannel<GenerateResponse, GenerateRequest>,
    fault: EngineFaultName | undefined,
  ) {
    this.#ask = ask;
    this.#channel = channel;
    this.#fault = fault;
    const { sampling } = ask.request;
    this.#sequences = Array.from({ length: sampling?.numSequences ?? 1 }, (_, choice) => ({
      draw: new PracticeDraw(ask.prompt, sampling, { choice, seed: ask.seed }),
      drawn: [],
      given: 0,
      over: false,
    }));
  }

  /** Nothing is sent any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The caller reads again. */
  drained(): void {
    this.#isFull = false;
  }

  /** Draws one token for each sequence; nothing while the caller does not read. */
  step(): void {
    if (this.#isOver || (this.#isFull && this.#fault !== "unbounded-buffer")) return;
    for (const [index, sequence] of this.#sequences.entries()) if (!sequence.over) this.#advance(index, sequence);
  }

  /** Ends what still runs on behalf of the caller. */
  cancel(): void {
    for (const [index, sequence] of this.#sequences.entries()) {
      if (!sequence.over && !this.#isOver) this.#end(index, sequence, { reason: FinishReason.CANCELLED });
    }
  }

  /** The caller went away: there is nobody to tell. */
  gone(): void {
    this.#isOver = true;
  }

  #advance(index: number, sequence: Sequence): void {
    const { request, maxTokens } = this.#ask;
    const { minTokens = 0, includeStopInOutput = false, conditions = [] } = request.stopping ?? {};
    const token = sequence.draw.next();
    sequence.drawn.push(token);
    const count = sequence.drawn.length;
    const isCounted = count > minTokens;
    const isStop =
      isCounted && conditions.some(({ condition }) => condition.case === "stopTokenId" && condition.value === token);
    if (isStop) {
      if (includeStopInOutput) this.#give(index, sequence, count);
      else sequence.drawn.pop();
      this.#end(index, sequence, { reason: FinishReason.STOP, match: { case: "stopTokenId", value: token } });
      return;
    }
    const texts = conditions.flatMap(({ condition }) => (condition.case === "stopText" ? [condition.value] : []));
    if (texts.length > 0) {
      const found = isCounted ? findStop(sequence.drawn, texts) : undefined;
      if (found) {
        this.#giveText(index, sequence, { ...found, isKept: includeStopInOutput });
        return;
      }
    }
    const held = heldBack(sequence.drawn, texts);
    const most = this.#fault === "silent-truncation" ? Math.min(maxTokens, TRUNCATED_TOKENS) : maxTokens;
    const isLast = count >= most;
    this.#give(index, sequence, isLast ? count : count - held);
    if (isLast) this.#end(index, sequence, { reason: FinishReason.LENGTH });
  }

  /** Gives the tokens up to a place, with their text. */
  #give(index: number, sequence: Sequence, to: number): void {
    const from = this.#fault === "cumulative" ? 0 : sequence.given;
    if (to <= sequence.given) return;
    const ids = sequence.drawn.slice(from, to);
    sequence.given = to;
    this.#send({
      case: "token",
      value: { ...this.#index(index), tokens: this.#describe(ids), text: ids.map(practiceText).join("") },
    });
  }

  /** Gives what stands before a stop text, or up to its end, and ends. */
  #giveText(index: number, sequence: Sequence, stop: { text: string; at: number; isKept: boolean }): void {
    const before = sequence.drawn.slice(0, sequence.given).map(practiceText).join("").length;
    const end = stop.isKept ? stop.at + stop.text.length : stop.at;
    const text = sequence.drawn.map(practiceText).join("").slice(before, end);
    const ids = sequence.drawn.slice(sequence.given).filter((_, at) => at * practiceText(1).length < text.length);
    sequence.given += ids.length;
    sequence.drawn.length = sequence.given;
    if (text !== "") {
      this.#send({ case: "token", value: { ...this.#index(index), tokens: this.#describe(ids), text } });
    }
    this.#end(index, sequence, { reason: FinishReason.STOP, match: { case: "stopText", value: stop.text } });
  }

  #describe(ids: readonly number[]) {
    const { response } = this.#ask.request;
    const selection = response?.outputCandidates?.selection;
    const top = selection?.case === "topN" ? selection.value : 0;
    return ids.map((tokenId) => ({
      tokenId,
      token: practiceText(tokenId),
      ...(response?.returnOutputLogprobs && practiceScores(tokenId, top)),
    }));
  }

  #end(index: number, sequence: Sequence, { reason, match }: { reason: FinishReason; match?: Match }): void {
    if (reason === FinishReason.CANCELLED) this.#give(index, sequence, sequence.drawn.length);
    sequence.over = true;
    const isLast = this.#sequences.every(({ over }) => over);
    const value = { ...this.#index(index), reason, ...(match && { stopMatch: { match } }) };
    if (isLast && this.#fault === "double-terminal") this.#send({ case: "finished", value });
    if (isLast && this.#fault === "token-after-terminal") {
      this.#send({ case: "finished", value }, true);
      this.#send({
        case: "token",
        value: { ...this.#index(index), tokens: this.#describe([1]), text: practiceText(1) },
      });
    } else this.#send({ case: "finished", value }, isLast);
    if (!isLast) return;
    this.#isOver = true;
    this.#channel.end();
  }

  #index(index: number): { outputIndex?: number } {
    return index === 0 && this.#fault === "index-0-dropped" ? {} : { outputIndex: index };
  }

  #send(event: Event, isLast = false): void {
    assert(!this.#isOver, "nothing is said after the end");
    const { requestId } = this.#ask.request;
    const message = create(GenerateResponseSchema, { requestId, event, usage: isLast ? this.#usage() : undefined });
    if (!this.#channel.send(message)) this.#isFull = true;
  }

  #usage() {
    const promptTokens = this.#ask.prompt.length;
    const given = this.#sequences.reduce((sum, sequence) => sum + sequence.given, 0);
    const completionTokens = given + (this.#fault === "usage-wrong" ? 1 : 0);
    const totalTokens = promptTokens + completionTokens;
    return { promptTokens, completionTokens, totalTokens, cachedPromptTokens: this.#ask.cachedTokens };
  }
}

/** The first of some texts in what was drawn. */
function findStop(drawn: readonly number[], texts: readonly string[]): { text: string; at: number } | undefined {
  const whole = drawn.map(practiceText).join("");
  const found = texts.map((text) => ({ text, at: whole.indexOf(text) })).filter(({ at }) => at >= 0);
  return found.sort((left, right) => left.at - right.at)[0];
}

/** Tokens at the end that may be the beginning of a stop text: as many as could hold one but for its last letter. */
function heldBack(drawn: readonly number[], texts: readonly string[]): number {
  const longest = Math.max(0, ...texts.map(({ length }) => length));
  const letters = practiceText(1).length;
  return Math.min(drawn.length, Math.ceil(Math.max(0, longest - 1) / letters));
}

import { assert, StatorError } from "#lib/base/errors";
import { type Context, type ContextOptions, ENTRY, OP, type StepResult } from "#lib/native/context";
import type { Model } from "#lib/native/llama";
import type { PassRecord } from "#lib/perf/time-model";

/** Candidates of a row that are compared. */
const TOP = 16;

/** How a trial is opened. */
export interface TrialOptions extends ContextOptions {
  /** Hears of each step what it computed and how long it took. */
  readonly onPass?: ((pass: PassRecord) => void) | undefined;
}

interface TrialInbox {
  readonly results: StepResult[];
  readonly wake: { call: () => void };
}

/** What a trial's passes say nothing of. */
const NO_LEVELS = {
  ...{ rank: 0, usedBlocks: 0, totalBlocks: 0, runningRequests: 0, waitingRequests: 0, waitingTokens: 0 },
  mergedSteps: 0,
} as const;

/** The most likely tokens where one was drawn, and how likely they are. */
export interface Row {
  /** The most likely first. */
  readonly ids: Int32Array;
  /** Their log-probabilities. */
  readonly values: Float32Array;
}

function isEqual(left: Row, right: Row | undefined): boolean {
  if (!right || left.ids.length === 0) return false;
  return left.ids.every((id, rank) => id === right.ids[rank] && Object.is(left.values[rank], right.values[rank]));
}

/** A sequence on its way: what is known of it, how much of that is computed, and what its tokens were drawn from. */
export class Line {
  /** Of its context. */
  readonly slot: number;
  /** All that is known of it; what is drawn is put behind. */
  readonly tokens: number[];
  /** What its tokens were drawn from. */
  readonly rows: Row[] = [];
  /** Tokens that are computed. */
  at: number;

  constructor(slot: number, tokens: Iterable<number>, at = 0) {
    this.slot = slot;
    this.tokens = [...tokens];
    this.at = at;
  }

  /** Whether it draws the same from the same as another, as far as that has come. */
  follows(other: Line): boolean {
    return other.rows.length > 0 && other.rows.every((row, at) => isEqual(row, this.rows[at]));
  }
}

/** A small context of the kind that is meant, driven step by step. */
export class Trial {
  readonly context: Context;
  readonly #results: StepResult[];
  readonly #wake: { call: () => void };
  readonly #onPass: ((pass: PassRecord) => void) | undefined;
  #step = 0;

  private constructor(context: Context, options: TrialOptions, inbox: TrialInbox) {
    this.context = context;
    this.#results = inbox.results;
    this.#wake = inbox.wake;
    this.#onPass = options.onPass;
  }

  /** Rejects as `openContext` does. */
  static async open(model: Model, options: TrialOptions): Promise<Trial> {
    const inbox: TrialInbox = { results: [], wake: { call: () => {} } };
    const { onPass: _, ...context } = options;
    const opened = await model.openContext(context, (result) => {
      inbox.results.push(result);
      inbox.wake.call();
    });
    return new Trial(opened, options, inbox);
  }

  /** A line that begins in a slot with these blocks, which stand for the first positions of its tokens. */
  async begin(slot: number, tokens: Iterable<number>, blocks: readonly Uint8Array[] = []): Promise<Line> {
    await this.#run([], [OP.remove, slot, 0, -1, 0]);
    this.context.openSequence(slot, { logprobs: TOP, ignoreEos: true });
    let at = 0;
    for (const block of blocks) {
      await this.context.importBlocks(slot, at, [block]);
      at += block.length / this.context.kvLayout.tokenBytes;
    }
    return new Line(slot, tokens, at);
  }

  /** The rows of the first so many positions of a slot. */
  async take(slot: number, tokens: number): Promise<Uint8Array> {
    const block = new Uint8Array(tokens * this.context.kvLayout.tokenBytes);
    await this.context.exportBlocks(slot, 0, [block]);
    return block;
  }

  /** Computes the next tokens of each line in one step; a line whose tokens end with them draws one more. */
  async step(...parts: readonly (readonly [Line, number])[]): Promise<void> {
    const shape = shapeOf(parts);
    const result = await this.#run(parts, []);
    this.#onPass?.({ ...NO_LEVELS, ...shape, durationUs: result.durationUs });
    for (const [entry, [line, count]] of parts.entries()) {
      line.at += count;
      if (line.at < line.tokens.length) continue;
      line.tokens.push(result.tokens[entry]!);
      line.rows.push(rowOf(result, entry));
    }
  }

  async #run(parts: readonly (readonly [Line, number])[], ops: readonly number[]): Promise<StepResult> {
    this.context.submitStep({
      step: ++this.#step,
      adapter: -1,
      ops: Int32Array.from(ops),
      slots: Int32Array.from(parts, ([line]) => line.slot),
      positions: Int32Array.from(parts, ([line]) => line.at),
      counts: Int32Array.from(parts, ([, count]) => count),
      flags: Uint8Array.from(parts, ([line, count]) => (line.at + count === line.tokens.length ? ENTRY.sample : 0)),
      tokens: Uint32Array.from(parts.flatMap(([line, count]) => line.tokens.slice(line.at, line.at + count))),
    });
    while (this.#results.length === 0) await new Promise<void>((resolve) => (this.#wake.call = resolve));
    const result = this.#results.shift()!;
    const [error] = result.errors;
    if (error) throw new StatorError("ENGINE_FAILED", { detail: error.message.replace(/\.$/, "") });
    return result;
  }
}

function rowOf({ top }: StepResult, entry: number): Row {
  assert(top, "every sequence of a trial asks for log-probabilities");
  const from = top.entries.indexOf(entry);
  const to = top.entries.lastIndexOf(entry) + 1;
  return { ids: top.ids.slice(from, to), values: top.values.slice(from, to) };
}

/** Counted as in a step record, before the step changes its lines. A line that has drawn decodes. */
function shapeOf(parts: readonly (readonly [Line, number])[]) {
  const shape = { prefillTokens: 0, prefillContextTokens: 0, decodeSequences: 0, decodeContextTokens: 0 };
  for (const [line, count] of parts) {
    const isDecode = line.rows.length > 0;
    shape[isDecode ? "decodeSequences" : "prefillTokens"] += count;
    shape[isDecode ? "decodeContextTokens" : "prefillContextTokens"] += line.at + count;
  }
  return shape;
}

/** Ids that are spread over the vocabulary; which ones does not matter, as long as they are always the same. */
export function someTokens(count: number, vocabularySize: number): number[] {
  return Array.from({ length: count }, (_, at) => (Math.imul(at + 1, 2_654_435_761) >>> 8) % vocabularySize);
}

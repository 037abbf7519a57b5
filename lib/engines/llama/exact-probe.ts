import type { Determinism } from "#lib/base/determinism";
import { assert, StatorError } from "#lib/base/errors";
import { type Context, type ContextOptions, ENTRY, OP, type StepResult } from "#lib/native/context";
import type { Model } from "#lib/native/llama";
import { phraseOf } from "./llama-card.ts";

/** Nothing can be promised. */
export interface Impossible {
  /** Why not, as a phrase, such as "its state is not kept per token". */
  readonly why: string;
}

/** How the context that is meant computes. */
export interface ProbeOptions extends Pick<ContextOptions, "kvTypeK" | "kvTypeV" | "hostMemory"> {
  /** Of the context that is meant: a lone row may be divided among them. */
  readonly threads: number;
  /** Rows are never computed alone. */
  readonly pairRows: boolean;
  /** As in the scheduler's options. */
  readonly chunkTokens: number;
}

/** Pieces that the prompt behind its whole chunk is cut into: together they make products of many numbers of rows. */
const PIECES = [1, 5, 17, 20] as const;
const REST = 43;
/** From so many cells on the library divides a lone row among its threads. */
const LONG_CELLS = 512;
const LONG_REST = 5;
const DECODED = 2;
const SLOTS = 3;
const TOP = 16;

/** The most likely tokens where one was drawn, and how likely they are. */
interface Row {
  readonly ids: Int32Array;
  readonly values: Float32Array;
}

function isEqual(left: Row, right: Row | undefined): boolean {
  if (!right || left.ids.length === 0) return false;
  return left.ids.every((id, rank) => id === right.ids[rank] && Object.is(left.values[rank], right.values[rank]));
}

/** A sequence on its way: what is known of it, how much of that is computed, and what its tokens were drawn from. */
class Line {
  readonly slot: number;
  readonly tokens: number[];
  readonly rows: Row[] = [];
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
class Trial {
  readonly context: Context;
  readonly #results: StepResult[];
  readonly #wake: { call: () => void };
  #step = 0;

  private constructor(context: Context, results: StepResult[], wake: { call: () => void }) {
    this.context = context;
    this.#results = results;
    this.#wake = wake;
  }

  static async open(model: Model, { chunkTokens, ...options }: ProbeOptions): Promise<Trial> {
    const results: StepResult[] = [];
    const wake = { call: () => {} };
    const cells = longChunks(chunkTokens) * chunkTokens + LONG_REST + DECODED;
    const maxBatchTokens = chunkTokens + REST + SLOTS;
    const context = await model.openContext(
      { ...options, streams: true, cellTokens: cells, maxSequences: SLOTS, maxBatchTokens },
      (result) => {
        results.push(result);
        wake.call();
      },
    );
    return new Trial(context, results, wake);
  }

  /** A line that begins in a slot with these blocks, which stand for the first positions of its tokens. */
  async begin(slot: number, tokens: Iterable<number>, blocks: readonly Uint8Array[] = []): Promise<Line> {
    await this.#run([], [OP.remove, slot, 0, -1, 0]);
    this.context.openSequence(slot, { logprobs: TOP, ignoreEos: true });
    let at = 0;
    for (const block of blocks) {
      await this.context.importBlock(slot, at, block);
      at += block.length / this.context.kvLayout.tokenBytes;
    }
    return new Line(slot, tokens, at);
  }

  /** Computes the next tokens of each line in one step; a line whose tokens end with them draws one more. */
  async step(...parts: readonly (readonly [Line, number])[]): Promise<void> {
    const result = await this.#run(parts, []);
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

function longChunks(chunkTokens: number): number {
  return Math.ceil((LONG_CELLS + 1) / chunkTokens);
}

/** Ids that are spread over the vocabulary; which ones does not matter, as long as they are always the same. */
function someTokens(count: number, vocabularySize: number): number[] {
  return Array.from({ length: count }, (_, at) => (Math.imul(at + 1, 2_654_435_761) >>> 8) % vocabularySize);
}

/** A prompt is computed alone, and then behind a chunk that came from elsewhere, in other pieces, beside others or alone. */
async function tryShort(
  trial: Trial,
  prompt: readonly number[],
  chunk: number,
): Promise<[beside: boolean, alone: boolean]> {
  const cold = await trial.begin(0, prompt);
  for (const count of [chunk, REST, 1, 1]) await trial.step([cold, count]);
  const reference = new Line(0, []);
  reference.rows.push(...cold.rows);
  const block = await trial.context.exportBlock(0, 0, chunk);
  const copied = await trial.begin(1, prompt, [block]);
  const late = await trial.begin(2, prompt);
  const counts = [0, chunk, REST - PIECES[3], PIECES[3]];
  for (const [at, count] of PIECES.entries()) {
    const third = counts[at]!;
    await trial.step([cold, 1], [copied, count], ...(third > 0 ? [[late, third] as const] : []));
  }
  for (let at = 0; at < DECODED; at++) await trial.step([cold, 1], [copied, 1], [late, 1]);
  if (copied.follows(reference) && late.follows(reference)) return [true, true];
  const again = await trial.begin(1, prompt, [block]);
  for (const count of [...PIECES, 1, 1]) await trial.step([again, count]);
  return [false, again.follows(reference)];
}

/** The same at the end of a long text, whose content does not matter. */
async function tryLong(
  trial: Trial,
  prompt: readonly number[],
  chunk: number,
): Promise<[beside: boolean, alone: boolean]> {
  const block = await trial.context.exportBlock(0, 0, chunk);
  const blocks = Array.from({ length: longChunks(chunk) }, () => block);
  const tokens = [...blocks.flatMap(() => prompt.slice(0, chunk)), ...prompt.slice(chunk, chunk + LONG_REST)];
  const reference = await trial.begin(1, tokens, blocks);
  for (const count of [LONG_REST, 1]) await trial.step([reference, count]);
  const other = await trial.begin(0, prompt, [block]);
  await trial.step([other, REST]);
  const beside = await trial.begin(2, tokens, blocks);
  for (const count of [2, LONG_REST - 2, 1]) await trial.step([beside, count], [other, 1]);
  if (beside.follows(reference)) return [true, true];
  const again = await trial.begin(2, tokens, blocks);
  for (const count of [2, LONG_REST - 2, 1]) await trial.step([again, count]);
  return [false, again.follows(reference)];
}

/**
 * Tries on the model at hand whether a sequence gets the same bits whatever runs beside it and ran before: cold, behind a
 * prefix that came from elsewhere, cut into other pieces, in other slots, at the end of a long text, beside steps and
 * chunks of others. It computes about 300 rows. Rejects as `openContext` does.
 */
export async function probeExactness(model: Model, options: ProbeOptions): Promise<Determinism | Impossible> {
  const { chunkTokens } = options;
  const trial = await Trial.open(model, options);
  try {
    const { exportable, reason } = trial.context.kvLayout;
    if (!exportable) return { why: phraseOf(reason ?? "This model keeps no cache.") };
    const prompt = someTokens(chunkTokens + REST, model.vocabSize);
    const [shortBeside, shortAlone] = await tryShort(trial, prompt, chunkTokens);
    if (!shortAlone) return "no";
    const [longBeside, longAlone] = await tryLong(trial, prompt, chunkTokens);
    if (!longAlone) return "no";
    return shortBeside && longBeside ? "batch" : "alone";
  } finally {
    trial.context.close();
  }
}

import type { Determinism } from "#lib/base/determinism";
import type { ContextOptions } from "#lib/native/context";
import type { Model } from "#lib/native/llama";
import { phraseOf } from "./llama-card.ts";
import { Line, someTokens, Trial, type TrialOptions } from "./trial.ts";

/** Nothing can be promised. */
export interface Impossible {
  /** Why not, as a phrase, such as "its state is not kept per token". */
  readonly why: string;
}

/** How the context that is meant computes. */
export interface ProbeOptions
  extends Pick<ContextOptions, "kvTypeK" | "kvTypeV" | "hostMemory">,
    Pick<TrialOptions, "onPass"> {
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

/** A small context of the kind that is meant. */
function openTrial(model: Model, { chunkTokens, ...options }: ProbeOptions): Promise<Trial> {
  const cellTokens = longChunks(chunkTokens) * chunkTokens + LONG_REST + DECODED;
  const maxBatchTokens = chunkTokens + REST + SLOTS;
  return Trial.open(model, { ...options, streams: true, cellTokens, maxSequences: SLOTS, maxBatchTokens });
}

function longChunks(chunkTokens: number): number {
  return Math.ceil((LONG_CELLS + 1) / chunkTokens);
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
  const block = await trial.take(0, chunk);
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
  const block = await trial.take(0, chunk);
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
  const trial = await openTrial(model, options);
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

import { type Distribution, distributionOf } from "./distribution.ts";
import { answered, type OutcomeColumns } from "./outcome-columns.ts";

/** What came of a replay, in numbers: of requests that got an answer, unless something else is said. Times are virtual ms. */
export interface Figures {
  /** How many got one. */
  readonly requests: number;
  /** How many were refused, or failed. */
  readonly refused: number;
  /** How many had not ended when the replay was stopped; none of one that came to its end. */
  readonly unended: number;
  /** Tokens of their prompts. */
  readonly promptTokens: number;
  /** Tokens of their answers. */
  readonly answerTokens: number;
  /** Share of the prompt tokens that their worker had. */
  readonly hitRatio: number;
  /** Share that one cache for all workers, without end, would have had. */
  readonly ceilingRatio: number;
  /** From coming to the first token. */
  readonly ttftMs: Distribution;
  /** Mean time between the tokens of an answer, of answers of two tokens and more. */
  readonly itlMs: Distribution;
  /** The same behind its second token, of answers of three and more: what is left out is how an answer that goes on elsewhere gets there. */
  readonly laterItlMs: Distribution;
  /** Answers that went on elsewhere than where their prompts were computed; undefined where none did. */
  readonly handOffs: HandOffs | undefined;
  /** From coming to the last token. */
  readonly endToEndMs: Distribution;
  /** How unevenly workers were loaded: what the busiest got ÷ what they got on average; 1 is even. */
  readonly imbalance: Imbalance;
  /** From the start of the trace to the last end. */
  readonly spanMs: number;
}

/** Answers that went on elsewhere. */
export interface HandOffs {
  /** How many did, of all that got an answer of two tokens and more: what is left of them stayed. */
  readonly share: number;
  /** KV that was moved, in tokens, ÷ their prompt tokens. */
  readonly movedRatio: number;
  /** From the end of a prompt to where the answer went on, with its blocks in place. */
  readonly ms: Distribution;
}

/** The most that one worker got ÷ the mean over all. */
export interface Imbalance {
  /** Of requests, each where it ended. */
  readonly requests: number;
  /** Of prompt tokens, each where it was computed. */
  readonly promptTokens: number;
}

/** Adds up outcomes of `rows` requests on workers that had `places` places. */
export function figuresOf(columns: OutcomeColumns, about: { readonly rows: number; readonly places: number }): Figures {
  const { arrivedMs, firstMs, secondMs, endedMs, promptTokens, cachedTokens, reusableTokens, tokens } = columns;
  const places = answered(columns);
  const sum = (column: Float64Array): number => places.reduce((total, at) => total + column[at]!, 0);
  const over = (chosen: readonly number[], value: (at: number) => number): Distribution =>
    distributionOf(Float64Array.from(chosen, value));
  const prompts = sum(promptTokens);
  return {
    requests: places.length,
    refused: endedMs.length - places.length,
    unended: about.rows - endedMs.length,
    promptTokens: prompts,
    answerTokens: sum(tokens),
    hitRatio: sum(cachedTokens) / prompts,
    ceilingRatio: sum(reusableTokens) / prompts,
    ttftMs: over(places, (at) => firstMs[at]! - arrivedMs[at]!),
    itlMs: over(
      places.filter((at) => tokens[at]! > 1),
      (at) => (endedMs[at]! - firstMs[at]!) / (tokens[at]! - 1),
    ),
    laterItlMs: over(
      places.filter((at) => tokens[at]! > 2),
      (at) => (endedMs[at]! - secondMs[at]!) / (tokens[at]! - 2),
    ),
    handOffs: handOffsOf(columns, places),
    endToEndMs: over(places, (at) => endedMs[at]! - arrivedMs[at]!),
    imbalance: imbalanceOf(columns, places, about.places),
    spanMs: endedMs.reduce((last, ms) => Math.max(last, ms), 0),
  };
}

function handOffsOf(columns: OutcomeColumns, places: readonly number[]): HandOffs | undefined {
  const { tokens, promptTokens, movedTokens, handOffMs } = columns;
  const moved = places.filter((at) => !Number.isNaN(handOffMs[at]));
  if (moved.length === 0) return undefined;
  const sum = (column: Float64Array): number => moved.reduce((total, at) => total + column[at]!, 0);
  return {
    share: moved.length / places.filter((at) => tokens[at]! > 1).length,
    movedRatio: sum(movedTokens) / sum(promptTokens),
    ms: distributionOf(Float64Array.from(moved, (at) => handOffMs[at]!)),
  };
}

function imbalanceOf(
  { worker, prefilledBy, promptTokens }: OutcomeColumns,
  chosen: readonly number[],
  places: number,
): Imbalance {
  const requests = new Float64Array(places);
  const prompts = new Float64Array(places);
  for (const at of chosen) {
    requests[worker[at]!]!++;
    prompts[prefilledBy[at]!]! += promptTokens[at]!;
  }
  return { requests: unevenness(requests), promptTokens: unevenness(prompts) };
}

function unevenness(loads: Float64Array): number {
  const sum = loads.reduce((total, load) => total + load, 0);
  return (Math.max(...loads) * loads.length) / sum;
}

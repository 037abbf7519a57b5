import type { Candidates } from "../rules/candidates.ts";

/** What costs are multiplied by for the weights of preferred taints that a worker has, summed: e^(−tanh w), 0.368 to 2.718. */
export function preferenceFactor(weight: number): number {
  return Math.exp(-Math.tanh(weight));
}

/** Multiplies the cost of each candidate by what the request thinks of its taints. */
export function weigh(costs: Float64Array, { count, preference }: Candidates): void {
  for (let at = 0; at < count; at++) {
    const weight = preference[at]!;
    if (weight !== 0) costs[at]! *= preferenceFactor(weight);
  }
}

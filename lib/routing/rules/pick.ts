import { type Chance, pick } from "#lib/base/chance";

/** The least cost; ties are drawn, each as likely as the others. Draws nothing where there is no tie. */
export function pickLeast(costs: Float64Array, count: number, chance: Chance): number {
  let least = 0;
  let ties = 1;
  for (let at = 1; at < count; at++) {
    if (costs[at]! < costs[least]!) [least, ties] = [at, 1];
    else if (costs[at]! === costs[least]!) ties++;
  }
  if (ties === 1) return least;
  let left = pick(chance, ties);
  for (let at = least; ; at++) if (costs[at]! === costs[least]! && left-- === 0) return at;
}

/** The least cost; of equal ones the first from `turn` on, around. */
export function pickInTurn(costs: Float64Array, count: number, turn: number): number {
  let best = turn % count;
  for (let step = 1; step < count; step++) {
    const at = (turn + step) % count;
    if (costs[at]! < costs[best]!) best = at;
  }
  return best;
}

/**
 * A draw by exp(−(cost − least) ÷ ((most − least) · temperature)), over the finite costs; the least, ties drawn, at
 * temperature 0. As the reference draws: the first whose running sum reaches the draw.
 */
export function pickSoftmax(costs: Float64Array, count: number, temperature: number, chance: Chance): number {
  if (temperature === 0) return pickLeast(costs, count, chance);
  const chances = softmax(costs, count, temperature);
  const drawn = chance.next();
  let sum = 0;
  for (let at = 0; at < count; at++) {
    sum += chances[at]!;
    if (drawn <= sum && chances[at]! > 0) return at;
  }
  return chances.findLastIndex((each) => each > 0);
}

/** How likely each is; equal costs are equally likely, and what is left out has no chance. */
export function softmax(costs: Float64Array, count: number, temperature: number): Float64Array {
  const finite = costs.subarray(0, count).filter((cost) => cost < Number.POSITIVE_INFINITY);
  const least = finite.reduce((low, cost) => Math.min(low, cost), Number.POSITIVE_INFINITY);
  const range = finite.reduce((high, cost) => Math.max(high, cost), least) - least;
  const chances = new Float64Array(count);
  let sum = 0;
  for (let at = 0; at < count; at++) {
    const above = costs[at]! - least;
    const weight = above === Number.POSITIVE_INFINITY ? 0 : range > 0 ? Math.exp(-above / (range * temperature)) : 1;
    chances[at] = weight;
    sum += weight;
  }
  for (let at = 0; at < count; at++) chances[at]! /= sum;
  return chances;
}

import type { Chance } from "#lib/base/chance";

/**
 * How numbers are spread: always the same; evenly from `least` to `most`; or around a median as the logarithm of a normal
 * distribution of deviation `sigma`, where what lies outside of `least` and `most` is as far as they are.
 */
export type Spread =
  | number
  | { readonly least: number; readonly most: number }
  | { readonly least: number; readonly most: number; readonly median: number; readonly sigma: number };

/** Draws a whole number. */
export function drawWhole(chance: Chance, spread: Spread): number {
  if (typeof spread === "number") return Math.round(spread);
  const { least, most } = spread;
  if (!("median" in spread)) return Math.min(most, least + Math.floor(chance.next() * (most - least + 1)));
  const drawn = spread.median * Math.exp(spread.sigma * drawNormal(chance));
  return Math.min(most, Math.max(least, Math.round(drawn)));
}

/** The least that is drawn, and the most. */
export function endsOf(spread: Spread): { readonly least: number; readonly most: number } {
  return typeof spread === "number" ? { least: spread, most: spread } : spread;
}

/**
 * Draws from a gamma distribution with mean 1 that varies so much: deviation over mean. 0 is always 1, and 1 is the
 * exponential distribution. By Marsaglia and Tsang, ACM TOMS 26 (2000).
 */
export function drawGamma(chance: Chance, variation: number): number {
  if (variation === 0) return 1;
  const shape = 1 / variation ** 2;
  // What is below 1 is made of one above.
  const boost = shape < 1 ? drawOpen(chance) ** (1 / shape) : 1;
  const third = (shape < 1 ? shape + 1 : shape) - 1 / 3;
  const scale = 1 / Math.sqrt(9 * third);
  for (;;) {
    const normal = drawNormal(chance);
    const cube = (1 + scale * normal) ** 3;
    if (cube <= 0) continue;
    if (Math.log(drawOpen(chance)) < normal ** 2 / 2 + third * (1 - cube + Math.log(cube))) {
      return (boost * third * cube) / shape;
    }
  }
}

/** Draws from the normal distribution around 0 with deviation 1, by Box and Muller (1958): two draws. */
export function drawNormal(chance: Chance): number {
  return Math.sqrt(-2 * Math.log(drawOpen(chance))) * Math.cos(2 * Math.PI * chance.next());
}

/** In (0, 1]. */
function drawOpen(chance: Chance): number {
  return 1 - chance.next();
}

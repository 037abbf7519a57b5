/** A member `seed` whose number has so many digits that a double may not hold it. A quote after a backslash is no end of a text. */
const LONG_SEED = /(?<!\\)"seed"[ \t\n\r]*:[ \t\n\r]*(-?\d{16,19})(?![\d.eE])/g;

/**
 * Gives a parsed body the seed that its text has: JSON.parse rounds whole numbers beyond 2^53. A rounded one becomes the
 * bigint that stands in the text; it stays as it is, to be refused, where the text has no such digits, or several numbers
 * that round to the same. Changes the body; reads the text only when its seed was rounded.
 */
export function restoreSeed(body: unknown, text: string): void {
  if (typeof body !== "object" || body === null) return;
  const rounded = (body as { seed?: unknown }).seed;
  if (typeof rounded !== "number" || !Number.isInteger(rounded) || Number.isSafeInteger(rounded)) return;
  const written = new Set<string>();
  for (const [, digits] of text.matchAll(LONG_SEED)) if (Number(digits) === rounded) written.add(digits!);
  const [only] = written;
  if (written.size === 1) (body as { seed?: unknown }).seed = BigInt(only!);
}

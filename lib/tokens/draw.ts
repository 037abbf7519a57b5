function highWord(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const cross = Math.imul(aLow, bHigh);
  const other = Math.imul(aHigh, bLow);
  const middle = (Math.imul(aLow, bLow) >>> 16) + (cross & 0xffff) + (other & 0xffff);
  return (Math.imul(aHigh, bHigh) + (cross >>> 16) + (other >>> 16) + (middle >>> 16)) | 0;
}

/**
 * The draw of one generated token, in [0, 1). It depends on its arguments alone, so a request that moves to another
 * worker continues with the same draws. The twin of the addon's `uniformDraw`, equal to the bit.
 *
 * Formula: Philox4x32-10 (Salmon et al., 2011) with key = (low 32 bits of seed, high 32 bits) and counter =
 * (position, choice, lane, 0); of the output words the draw is `((x0 >>> 5) * 2^26 + (x1 >>> 6)) / 2^53`.
 * Lane 0 is the token's own draw, lane 1 the one after a grammar refused what lane 0 chose.
 */
export function uniformDraw(seed: bigint, choice: number, position: number, lane = 0): number {
  let x0 = position | 0;
  let x1 = choice | 0;
  let x2 = lane | 0;
  let x3 = 0;
  let key0 = Number(seed & 0xffff_ffffn) | 0;
  let key1 = Number((seed >> 32n) & 0xffff_ffffn) | 0;
  for (let round = 0; round < 10; round++) {
    const high0 = highWord(0xd2511f53, x0);
    const low0 = Math.imul(0xd2511f53, x0);
    const high1 = highWord(0xcd9e8d57, x2);
    const low1 = Math.imul(0xcd9e8d57, x2);
    x0 = high1 ^ x1 ^ key0;
    x1 = low1;
    x2 = high0 ^ x3 ^ key1;
    x3 = low0;
    key0 = (key0 + 0x9e3779b9) | 0;
    key1 = (key1 + 0xbb67ae85) | 0;
  }
  return ((x0 >>> 5) * 2 ** 26 + (x1 >>> 6)) / 2 ** 53;
}

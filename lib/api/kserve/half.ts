/** The number of an FP16: one sign bit, five of exponent, ten of fraction. */
export function readHalf(bits: number): number {
  const sign = bits & 0x80_00 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3_ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The FP16 nearest to a number, to the even one between two. */
export function writeHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x80_00 : 0;
  if (Number.isNaN(value)) return 0x7e_00;
  const size = Math.abs(value);
  if (size === Number.POSITIVE_INFINITY) return sign | 0x7c_00;
  if (size < 2 ** -14) return sign | roundEven(size * 2 ** 24);
  const exponent = exponentOf(size);
  // A fraction that rounds up to 2 carries into the exponent, the largest one into infinity.
  const bits = ((exponent + 14) << 10) + roundEven(size * 2 ** (10 - exponent));
  return sign | Math.min(bits, 0x7c_00);
}

/** The largest whole exponent whose power of 2 is not above a positive number. */
function exponentOf(size: number): number {
  let exponent = Math.floor(Math.log2(size));
  if (2 ** exponent > size) exponent--;
  else if (2 ** (exponent + 1) <= size) exponent++;
  return Math.min(exponent, 16);
}

function roundEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

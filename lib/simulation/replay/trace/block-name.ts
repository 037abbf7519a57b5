const LARGEST = (1n << 64n) - 1n;
const DECIMAL = /^\d{1,20}$/;
const HEX = /^(0x)?[\da-f]{1,16}$/i;

/**
 * Reads the name of a block, 64 bits: a whole number that is exact, or a string of decimal digits, or else of up to 16
 * hex digits, with 0x before them or not. Undefined for anything else.
 */
export function readBlockName(value: unknown): bigint | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : undefined;
  if (typeof value !== "string") return undefined;
  if (DECIMAL.test(value)) {
    const name = BigInt(value);
    return name <= LARGEST ? name : undefined;
  }
  if (!HEX.test(value)) return undefined;
  return BigInt(/^0x/i.test(value) ? value : `0x${value}`);
}

import { StatorError } from "./errors.ts";

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
if (!LITTLE_ENDIAN) throw new Error("Stator runs on little-endian machines only.");

/**
 * Copies into memory of its own when the view does not start at a multiple of `width`. Protobuf `bytes` that arrive are
 * views into a bigger Buffer, usually misaligned, and `.slice()` on a Buffer does not copy.
 */
function aligned(
  bytes: Uint8Array,
  width: number,
  what: string,
): { buffer: ArrayBufferLike; offset: number; count: number } {
  requireWhole(bytes, width, what);
  const count = bytes.byteLength / width;
  if (bytes.byteOffset % width === 0) return { buffer: bytes.buffer, offset: bytes.byteOffset, count };
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return { buffer: copy.buffer, offset: 0, count };
}

function requireWhole({ byteLength }: Uint8Array, width: number, what: string): void {
  if (byteLength % width === 0) return;
  const detail = `${what} has ${byteLength} bytes, not a multiple of ${width}`;
  throw new StatorError("INVALID_ARGUMENT", { detail });
}

/** Reads u32 little endian. Borrows the memory when it is aligned: use at once or copy. Throws INVALID_ARGUMENT on a torn length. */
export function readU32(bytes: Uint8Array, what = "A field"): Uint32Array {
  const { buffer, offset, count } = aligned(bytes, 4, what);
  return new Uint32Array(buffer, offset, count);
}

/** Reads u64 little endian, with the same ownership as readU32. */
export function readU64(bytes: Uint8Array, what = "A field"): BigUint64Array {
  const { buffer, offset, count } = aligned(bytes, 8, what);
  return new BigUint64Array(buffer, offset, count);
}

/** Reads u64 little endian into memory of its own, with one copy. Throws INVALID_ARGUMENT on a torn length. */
export function copyU64(bytes: Uint8Array, what = "A field"): BigUint64Array {
  requireWhole(bytes, 8, what);
  const out = new BigUint64Array(bytes.byteLength / 8);
  if (out.length > 0) viewBytes(out).set(bytes);
  return out;
}

/** Reads f32 little endian, with the same ownership as readU32. */
export function readF32(bytes: Uint8Array, what = "A field"): Float32Array {
  const { buffer, offset, count } = aligned(bytes, 4, what);
  return new Float32Array(buffer, offset, count);
}

/** Reads f64 little endian, with the same ownership as readU32. */
export function readF64(bytes: Uint8Array, what = "A field"): Float64Array {
  const { buffer, offset, count } = aligned(bytes, 8, what);
  return new Float64Array(buffer, offset, count);
}

/** The bytes of a typed array in memory order, without a copy. */
export function viewBytes(numbers: ArrayBufferView): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** The bytes of numbers given as an array of u32. */
export function writeU32(numbers: ArrayLike<number>): Uint8Array {
  return viewBytes(numbers instanceof Uint32Array ? numbers : Uint32Array.from(numbers));
}

/** Bytes as lower-case hexadecimal. */
export function printHex(bytes: Uint8Array): string {
  let out = "";
  for (const byte of bytes) out += byte.toString(16).padStart(2, "0");
  return out;
}

/** Hexadecimal as bytes. Throws INVALID_ARGUMENT on anything else. */
export function parseHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || /[^0-9a-f]/i.test(text))
    throw new StatorError("INVALID_ARGUMENT", { detail: "Not hexadecimal" });
  return Uint8Array.from({ length: text.length / 2 }, (_, at) => Number.parseInt(text.slice(at * 2, at * 2 + 2), 16));
}

/** Whether two byte strings are equal. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.byteLength !== right.byteLength) return false;
  for (let at = 0; at < left.byteLength; at++) if (left[at] !== right[at]) return false;
  return true;
}

/** A 64-bit id as people and headers write it: 16 hexadecimal digits. */
export function printId(id: bigint): string {
  return id.toString(16).padStart(16, "0");
}

/** The inverse of printId; undefined for anything else. */
export function parseId(text: string): bigint | undefined {
  return /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
}

/** Shorter strings are copied when they are cut. */
const COPIED_UNITS = 13;

/** The same string, which keeps no longer one alive that it was cut from. */
export function ownCopy(text: string): string {
  // What was put together is written down anew when it is cut.
  return text.length < COPIED_UNITS ? text : ` ${text}`.slice(1);
}

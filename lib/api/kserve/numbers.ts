import { assert } from "#lib/base/errors";
import type { Datatype } from "./datatypes.ts";
import { readHalf, writeHalf } from "./half.ts";
import type { Tensor } from "./tensor.ts";

/** Elements of a tensor: 64-bit ones as bigint, all others as number, truths as 0 and 1. */
export type Numbers = ArrayLike<number> | ArrayLike<bigint>;

/** How the raw bytes of a datatype become numbers and come of them. All of it is little-endian, as is every machine here. */
interface Codec {
  /** Numbers of bytes that begin at a multiple of their width. Borrowed, but for the two half ones. */
  readonly read: (buffer: ArrayBufferLike, offset: number, count: number) => Numbers;
  /** Bytes of numbers, which are in range. */
  readonly write: (numbers: Numbers) => ArrayBufferView;
  /** Of each element. */
  readonly bytes: number;
}

interface ViewConstructor<View> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, offset: number, count: number): View;
}

function codec<View extends Numbers & ArrayBufferView>(
  view: ViewConstructor<View>,
  write: (numbers: Numbers) => View,
): Codec {
  return { read: (buffer, offset, count) => new view(buffer, offset, count), write, bytes: view.BYTES_PER_ELEMENT };
}

const plain = (numbers: Numbers) => numbers as ArrayLike<number>;
const wide = (numbers: Numbers) => numbers as ArrayLike<bigint>;

/** Sets each number to what is made of another one. A loop: `from` asks an iterator for each, which is ten times as slow. */
function fill<View extends Uint8Array | Uint16Array | Uint32Array | Float32Array>(
  out: View,
  numbers: ArrayLike<number>,
  make: (number: number) => number,
): View {
  for (let at = 0; at < out.length; at++) out[at] = make(numbers[at]!);
  return out;
}

const CODECS: Readonly<Record<Exclude<Datatype, "BYTES">, Codec>> = {
  BOOL: codec(Uint8Array, (numbers) => fill(new Uint8Array(numbers.length), plain(numbers), (one) => (one ? 1 : 0))),
  UINT8: codec(Uint8Array, (numbers) => new Uint8Array(plain(numbers))),
  UINT16: codec(Uint16Array, (numbers) => new Uint16Array(plain(numbers))),
  UINT32: codec(Uint32Array, (numbers) => new Uint32Array(plain(numbers))),
  UINT64: codec(BigUint64Array, (numbers) => new BigUint64Array(wide(numbers))),
  INT8: codec(Int8Array, (numbers) => new Int8Array(plain(numbers))),
  INT16: codec(Int16Array, (numbers) => new Int16Array(plain(numbers))),
  INT32: codec(Int32Array, (numbers) => new Int32Array(plain(numbers))),
  INT64: codec(BigInt64Array, (numbers) => new BigInt64Array(wide(numbers))),
  FP32: codec(Float32Array, (numbers) => new Float32Array(plain(numbers))),
  FP64: codec(Float64Array, (numbers) => new Float64Array(plain(numbers))),
  FP16: {
    read: (buffer, offset, count) => fill(new Float32Array(count), new Uint16Array(buffer, offset, count), readHalf),
    write: (numbers) => fill(new Uint16Array(numbers.length), plain(numbers), writeHalf),
    bytes: 2,
  },
  BF16: {
    read(buffer, offset, count) {
      const bits = fill(new Uint32Array(count), new Uint16Array(buffer, offset, count), (half) => half << 16);
      return new Float32Array(bits.buffer);
    },
    write(numbers) {
      const bits = new Uint32Array(new Float32Array(plain(numbers)).buffer);
      return fill(new Uint16Array(bits.length), bits, cutFloat);
    },
    bytes: 2,
  },
};

/** The upper half of an FP32, rounded to the nearest, to the even one between two. */
function cutFloat(bits: number): number {
  const isNotANumber = (bits & 0x7f_ff_ff_ff) > 0x7f_80_00_00;
  // What is left of it in the upper half may be nothing, and nothing is infinity.
  if (isNotANumber) return (bits >>> 16) | 0x40;
  return (bits + 0x7f_ff + ((bits >>> 16) & 1)) >>> 16;
}

/**
 * The elements of a tensor that is not of BYTES. Borrowed where the data begins at a multiple of their width and they are a
 * type of the language, which FP16 and BF16 are not: use them at once or copy.
 */
export function numbersOf({ datatype, data }: Pick<Tensor, "datatype" | "data">): Numbers {
  assert(datatype !== "BYTES", "elements of BYTES are no numbers");
  const { read, bytes } = CODECS[datatype];
  const count = data.byteLength / bytes;
  if (data.byteOffset % bytes === 0) return read(data.buffer, data.byteOffset, count);
  return read(new Uint8Array(data).buffer, 0, count);
}

/** A tensor of numbers, 64-bit ones as bigint. They are copied, and rounded as their datatype needs. */
export function createNumberTensor(
  name: string,
  datatype: Exclude<Datatype, "BYTES">,
  { shape, numbers }: { readonly shape: readonly number[]; readonly numbers: Numbers },
): Tensor {
  const { buffer, byteOffset, byteLength } = CODECS[datatype].write(numbers);
  return { name, datatype, shape, data: new Uint8Array(buffer, byteOffset, byteLength) };
}

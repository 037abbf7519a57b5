import { badModelFile, type GgufHeader, ggufU32 } from "./gguf.ts";

/** Elements and bytes of a block, by the type code of a tensor. Codes that are not here may be newer than this table. */
const BLOCKS: Readonly<Record<number, readonly [elements: number, bytes: number]>> = {
  0: [1, 4], // f32
  1: [1, 2], // f16
  2: [32, 18], // q4_0
  3: [32, 20], // q4_1
  6: [32, 22], // q5_0
  7: [32, 24], // q5_1
  8: [32, 34], // q8_0
  9: [32, 36], // q8_1
  10: [256, 84], // q2_k
  11: [256, 110], // q3_k
  12: [256, 144], // q4_k
  13: [256, 176], // q5_k
  14: [256, 210], // q6_k
  15: [256, 292], // q8_k
  16: [256, 66], // iq2_xxs
  17: [256, 74], // iq2_xs
  18: [256, 98], // iq3_xxs
  19: [256, 50], // iq1_s
  20: [32, 18], // iq4_nl
  21: [256, 110], // iq3_s
  22: [256, 82], // iq2_s
  23: [256, 136], // iq4_xs
  24: [1, 1], // i8
  25: [1, 2], // i16
  26: [1, 4], // i32
  27: [1, 8], // i64
  28: [1, 8], // f64
  29: [256, 56], // iq1_m
  30: [1, 2], // bf16
  34: [256, 54], // tq1_0
  35: [256, 66], // tq2_0
  39: [32, 17], // mxfp4
  40: [64, 36], // nvfp4
};

const USUAL_ALIGNMENT_BYTES = 32;
const MOST_NAME_BYTES = 256;
const MOST_DIMENSIONS = 8;

/** What is missing to go on. */
export interface GgufMissing {
  /** At least so many from the start of the file; above what was given. */
  readonly neededBytes: number;
}

/** One description of a tensor: where its data begins behind all descriptions, and how long it is at least. */
interface Described {
  readonly name: string;
  readonly offsetBytes: number;
  readonly dataBytes: number;
}

/**
 * Checks that every tensor that a header announces is described, and lies within a file of `fileBytes`. `bytes` are the
 * first ones of the file; when they do not reach, the answer says how many are needed. Throws BAD_MODEL_FILE.
 */
export function checkGgufTensors(header: GgufHeader, bytes: Uint8Array, fileBytes: number): GgufMissing | undefined {
  const reader = new Reader(header, bytes);
  const found: Described[] = [];
  for (let each = 0; each < header.tensors; each++) {
    const described = reader.tensor();
    if (!described) return { neededBytes: reader.at };
    found.push(described);
  }
  const alignment = ggufU32(header, "general.alignment") ?? USUAL_ALIGNMENT_BYTES;
  if (alignment === 0) fail(header, "its alignment is 0");
  const dataStart = Math.ceil(reader.at / alignment) * alignment;
  for (const { name, offsetBytes, dataBytes } of found) {
    if (dataStart + offsetBytes + dataBytes <= fileBytes) continue;
    fail(header, `its tensor ${name} ends beyond the end of the file, at ${fileBytes} bytes`);
  }
  return undefined;
}

function fail(header: GgufHeader, detail: string): never {
  throw badModelFile(header.name, detail);
}

/** Reads descriptions one after the other; `at` is the next byte, or the least length that is needed. */
class Reader {
  readonly #header: GgufHeader;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at: number;

  constructor(header: GgufHeader, bytes: Uint8Array) {
    this.#header = header;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = header.headerBytes;
  }

  /** The next description; undefined when the bytes end before it does. */
  tensor(): Described | undefined {
    const name = this.#name();
    const count = name === undefined || !this.#has(4) ? undefined : this.#u32();
    if (name === undefined || count === undefined) return undefined;
    if (count > MOST_DIMENSIONS) fail(this.#header, `its tensor ${name} has ${count} dimensions`);
    if (!this.#has(8 * count + 12)) return undefined;
    let elements = 1;
    for (let each = 0; each < count; each++) elements *= this.#u64();
    const [blockElements, blockBytes] = BLOCKS[this.#u32()] ?? [1, 0];
    return { name, offsetBytes: this.#u64(), dataBytes: Math.ceil(elements / blockElements) * blockBytes };
  }

  #name(): string | undefined {
    if (!this.#has(8)) return undefined;
    const byteLength = this.#u64();
    if (byteLength > MOST_NAME_BYTES) fail(this.#header, `it holds a tensor with a name of ${byteLength} bytes`);
    if (!this.#has(byteLength)) return undefined;
    const start = this.at;
    this.at += byteLength;
    const name = new TextDecoder().decode(this.#bytes.subarray(start, this.at));
    // It goes into a sentence.
    return name.replaceAll(/[^\x21-\x7e]/g, "?");
  }

  #has(byteLength: number): boolean {
    if (this.at + byteLength <= this.#bytes.length) return true;
    this.at += byteLength;
    return false;
  }

  #u32(): number {
    this.at += 4;
    return this.#view.getUint32(this.at - 4, true);
  }

  /** Numbers beyond 2^53 lose their last digits, and are too large for any file all the same. */
  #u64(): number {
    this.at += 8;
    return Number(this.#view.getBigUint64(this.at - 8, true));
  }
}

/** A value of a GGUF header. Numbers are written as u32 or, marked so, as f32. */
export type GgufValue =
  | string
  | number
  | boolean
  | { readonly f32: number }
  | readonly string[]
  | Uint8Array
  | Int32Array
  | Float32Array;

/** A tensor: its size per dimension, fastest first, and what fills it. */
export interface GgufTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly fill: (index: number) => number;
  /** `q4_k`: blocks of 256 numbers along the first dimension, whose quants `fill` draws. Default f32. */
  readonly type?: "f32" | "q4_k";
}

/** Numbers of `ggml_type`, and bytes per block of numbers. */
const TYPES = { f32: { code: 0, numbers: 1, bytes: 4 }, q4_k: { code: 12, numbers: 256, bytes: 144 } } as const;
/** 2^-6 and 2^-3 as half precision: the scale and the offset of a block. */
const HALF_SCALE = 0x2400;
const HALF_OFFSET = 0x3000;

/** A block is two halves, twelve bytes of scales and 128 bytes of quants. */
function fillQ4K(bytes: Buffer, fill: GgufTensor["fill"]): void {
  for (let at = 0; at + 144 <= bytes.length; at += 144) {
    bytes.writeUInt16LE(HALF_SCALE, at);
    bytes.writeUInt16LE(HALF_OFFSET, at + 2);
    bytes.fill(0x41, at + 4, at + 16);
    for (let i = at + 16; i < at + 144; i++) bytes[i] = Math.floor((fill(i) + 1) * 127.9);
  }
}

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const f32 = (value: number) => Buffer.from(Float32Array.of(value).buffer);
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

function encode(value: GgufValue): Buffer {
  if (typeof value === "string") return Buffer.concat([u32(8), text(value)]);
  if (typeof value === "boolean") return Buffer.concat([u32(7), Buffer.of(value ? 1 : 0)]);
  if (typeof value === "number") return Buffer.concat([u32(4), u32(value)]);
  if (value instanceof Uint8Array) return Buffer.concat([u32(9), u32(0), u64(value.length), value]);
  if (value instanceof Int32Array) {
    return Buffer.concat([u32(9), u32(5), u64(value.length), Buffer.from(Int32Array.from(value).buffer)]);
  }
  if (value instanceof Float32Array) {
    return Buffer.concat([u32(9), u32(6), u64(value.length), Buffer.from(Float32Array.from(value).buffer)]);
  }
  if ("f32" in value) return Buffer.concat([u32(6), f32(value.f32)]);
  return Buffer.concat([u32(9), u32(8), u64(value.length), ...value.map(text)]);
}

/** The bytes of a GGUF file, version 3. */
export function buildGguf(values: Readonly<Record<string, GgufValue>>, tensors: readonly GgufTensor[]): Buffer {
  const align = (size: number) => size + ((32 - (size % 32)) % 32);
  const pairs = Object.entries(values).map(([key, value]) => Buffer.concat([text(key), encode(value)]));
  const infos: Buffer[] = [];
  const data: Buffer[] = [];
  let offset = 0;
  for (const { name, shape, fill, type = "f32" } of tensors) {
    const count = shape.reduce((product, size) => product * size, 1);
    const { code, numbers, bytes: blockBytes } = TYPES[type];
    infos.push(Buffer.concat([text(name), u32(shape.length), ...shape.map(u64), u32(code), u64(offset)]));
    const bytes = Buffer.alloc(align((count / numbers) * blockBytes));
    if (type === "q4_k") fillQ4K(bytes, fill);
    else for (let i = 0; i < count; i++) bytes.writeFloatLE(fill(i), i * 4);
    data.push(bytes);
    offset += bytes.length;
  }
  const head = Buffer.concat([Buffer.from("GGUF"), u32(3), u64(infos.length), u64(pairs.length), ...pairs, ...infos]);
  return Buffer.concat([head, Buffer.alloc(align(head.length) - head.length), ...data]);
}

/** Numbers that look random, the same for the same seed. */
export function noise(seed: number, scale: number): (index: number) => number {
  return (index) => scale * (((Math.imul(index + 1, 2654435761) ^ Math.imul(seed + 1, 40503)) >>> 8) / 2 ** 23 - 1);
}

/** A value of a GGUF header. Numbers are written as u32 or, marked so, as f32. */
export type GgufValue = string | number | boolean | { readonly f32: number } | readonly string[] | Int32Array;

/** A tensor: its size per dimension, fastest first, and what fills it. */
export interface GgufTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly fill: (index: number) => number;
}

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const f32 = (value: number) => Buffer.from(Float32Array.of(value).buffer);
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

function encode(value: GgufValue): Buffer {
  if (typeof value === "string") return Buffer.concat([u32(8), text(value)]);
  if (typeof value === "boolean") return Buffer.concat([u32(7), Buffer.of(value ? 1 : 0)]);
  if (typeof value === "number") return Buffer.concat([u32(4), u32(value)]);
  if (value instanceof Int32Array) {
    return Buffer.concat([u32(9), u32(5), u64(value.length), Buffer.from(Int32Array.from(value).buffer)]);
  }
  if ("f32" in value) return Buffer.concat([u32(6), f32(value.f32)]);
  return Buffer.concat([u32(9), u32(8), u64(value.length), ...value.map(text)]);
}

/** The bytes of a GGUF file, version 3, all tensors f32. */
export function buildGguf(values: Readonly<Record<string, GgufValue>>, tensors: readonly GgufTensor[]): Buffer {
  const align = (size: number) => size + ((32 - (size % 32)) % 32);
  const pairs = Object.entries(values).map(([key, value]) => Buffer.concat([text(key), encode(value)]));
  const infos: Buffer[] = [];
  const data: Buffer[] = [];
  let offset = 0;
  for (const { name, shape, fill } of tensors) {
    const count = shape.reduce((product, size) => product * size, 1);
    infos.push(Buffer.concat([text(name), u32(shape.length), ...shape.map(u64), u32(0), u64(offset)]));
    const bytes = Buffer.alloc(align(count * 4));
    for (let i = 0; i < count; i++) bytes.writeFloatLE(fill(i), i * 4);
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

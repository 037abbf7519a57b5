import { assert } from "#lib/base/errors";
import { GGUF_TYPE } from "./gguf.ts";

/** One metadata value. */
export interface GgufField {
  /** Printable ASCII, such as `general.name`. */
  readonly key: string;
  /** Code of {@link GGUF_TYPE}. */
  readonly type: number;
  /** Code of {@link GGUF_TYPE}, set for arrays. */
  readonly elementType?: number;
  /** Elements, set for arrays. */
  readonly count?: number;
  /** The value in the bytes of the format: an array without its element type and count. Borrowed. */
  readonly content: Uint8Array;
}

/** A tensor to write. */
export interface GgufTensor {
  /** Such as `blk.0.attn_q.weight`. */
  readonly name: string;
  /** From the fastest to the slowest. */
  readonly dimensions: readonly number[];
  /** Type code of ggml, such as 0 for f32; not one of {@link GGUF_TYPE}. */
  readonly elementType: number;
  /** In the element type's own format. Borrowed. */
  readonly data: Uint8Array;
}

const ALIGNMENT_BYTES = 32;

function pad(length: number): number {
  return Math.ceil(length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

function bytesOf(byteLength: number, fill: (view: DataView) => void): Uint8Array {
  const content = new Uint8Array(byteLength);
  fill(new DataView(content.buffer));
  return content;
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function place(parts: readonly Uint8Array[], whole: Uint8Array): void {
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(sizeOf(parts));
  place(parts, whole);
  return whole;
}

function stringBytes(text: string | Uint8Array): Uint8Array {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const content = new Uint8Array(8 + bytes.length);
  new DataView(content.buffer).setUint32(0, bytes.length, true);
  content.set(bytes, 8);
  return content;
}

/** A string field. */
export function stringField(key: string, value: string): GgufField {
  return { key, type: GGUF_TYPE.string, content: stringBytes(value) };
}

/** A u32 field. */
export function u32Field(key: string, value: number): GgufField {
  return { key, type: GGUF_TYPE.u32, content: bytesOf(4, (view) => view.setUint32(0, value, true)) };
}

/** An f32 field. */
export function f32Field(key: string, value: number): GgufField {
  return { key, type: GGUF_TYPE.f32, content: bytesOf(4, (view) => view.setFloat32(0, value, true)) };
}

/** A bool field. */
export function boolField(key: string, value: boolean): GgufField {
  return { key, type: GGUF_TYPE.bool, content: Uint8Array.of(value ? 1 : 0) };
}

/** An array of strings; bytes are written as they are. */
export function stringsField(key: string, values: readonly (string | Uint8Array)[]): GgufField {
  const content = join(values.map(stringBytes));
  return { key, type: GGUF_TYPE.array, elementType: GGUF_TYPE.string, count: values.length, content };
}

/** An array of i32. */
export function i32sField(key: string, values: readonly number[]): GgufField {
  const content = bytesOf(values.length * 4, (view) => {
    for (const [at, value] of values.entries()) view.setInt32(at * 4, value, true);
  });
  return { key, type: GGUF_TYPE.array, elementType: GGUF_TYPE.i32, count: values.length, content };
}

function u64(value: number): Uint8Array {
  return bytesOf(8, (view) => view.setBigUint64(0, BigInt(value), true));
}

function u32(value: number): Uint8Array {
  return bytesOf(4, (view) => view.setUint32(0, value, true));
}

function fieldParts(field: GgufField): Uint8Array[] {
  const parts = [stringBytes(field.key), u32(field.type)];
  if (field.type === GGUF_TYPE.array) {
    assert(field.elementType !== undefined && field.count !== undefined, "an array field knows its elements");
    parts.push(u32(field.elementType), u64(field.count));
  }
  parts.push(field.content);
  return parts;
}

/**
 * Writes a GGUF file, version 3, little endian, aligned to 32 bytes. The same fields and tensors in the same order give
 * the same bytes. Holds the whole file in memory: meant for vocabularies and small models.
 */
export function writeGguf(fields: readonly GgufField[], tensors: readonly GgufTensor[] = []): Uint8Array {
  const magic = new TextEncoder().encode("GGUF");
  const parts = [magic, u32(3), u64(tensors.length), u64(fields.length), ...fields.flatMap(fieldParts)];
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(stringBytes(tensor.name), u32(tensor.dimensions.length), ...tensor.dimensions.map(u64));
    parts.push(u32(tensor.elementType), u64(offset));
    offset += pad(tensor.data.length);
  }
  const headerBytes = pad(sizeOf(parts));
  const file = new Uint8Array(headerBytes + offset);
  place(parts, file);
  let at = headerBytes;
  for (const tensor of tensors) {
    file.set(tensor.data, at);
    at += pad(tensor.data.length);
  }
  return file;
}

import { StatorError } from "#lib/base/errors";

/** Type codes of GGUF values. */
export const GGUF_TYPE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

/** Bytes of one value by type code; 0 for strings and arrays. */
const TYPE_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8] as const;

/** What a header may hold before it is refused. All are far above every model in the field. */
export interface GgufLimits {
  /** Metadata values. */
  readonly keys: number;
  /** Of one key. */
  readonly keyBytes: number;
  /** Of one string, alone or in an array. */
  readonly stringBytes: number;
  /** Elements of one array. */
  readonly arrayCount: number;
  /** That the file announces. */
  readonly tensors: number;
  /** Of the metadata: everything before the tensor descriptions. */
  readonly headerBytes: number;
}

/** The limits that apply when none are given. */
export const GGUF_LIMITS: GgufLimits = {
  keys: 4096,
  keyBytes: 256,
  stringBytes: 4 << 20,
  arrayCount: 4 << 20,
  tensors: 1 << 17,
  headerBytes: 128 << 20,
};

/** Where a value lies. */
export interface GgufEntry {
  /** Code of {@link GGUF_TYPE}. */
  readonly type: number;
  /** Of an array the type of its elements, never an array again; else equal to `type`. */
  readonly elementType: number;
  /** Elements of an array; else 1. */
  readonly count: number;
  /** First byte of the (first) value in the header. */
  readonly startByte: number;
  /** The byte behind the last value in the header. */
  readonly endByte: number;
}

/** The metadata of a GGUF file. It borrows the bytes it was read from; values are decoded when asked for. */
export interface GgufHeader {
  /** For error sentences. */
  readonly name: string;
  /** 2 or 3. */
  readonly version: number;
  /** That the file announces; none of them was read. */
  readonly tensors: number;
  /** By key, in the order of the file. */
  readonly entries: ReadonlyMap<string, GgufEntry>;
  /** From the start of the file on, at least as far as the metadata goes. Borrowed. */
  readonly bytes: Uint8Array;
  /** Length of the metadata: where the tensor descriptions begin. */
  readonly headerBytes: number;
}

/** A header, or the least number of bytes from the start of the file that are needed to go on. */
export type GgufRead =
  | { readonly header: GgufHeader; readonly neededBytes?: undefined }
  | { readonly header?: undefined; readonly neededBytes: number };

/** What to do about most files that are no use. */
const USUAL_HINT = "Fetch it again, in full, or choose another GGUF file.";

/** The error for a file that is no model, or none that this version knows. `detail` goes on from "cannot be used as a model:". */
export function badModelFile(
  path: string,
  detail: string,
  about: { readonly hint?: string; readonly cause?: unknown } = {},
): StatorError {
  const { hint = USUAL_HINT, cause } = about;
  return new StatorError("BAD_MODEL_FILE", { path, detail, hint }, { cause });
}

/** Thrown inside the reader when the bytes end early; never leaves this file. */
class NeedsMore extends Error {
  readonly neededBytes: number;
  constructor(neededBytes: number) {
    super("the bytes end early");
    this.neededBytes = neededBytes;
  }
}

const MAGIC = 0x46554747; // "GGUF"
const FIXED_BYTES = 24;

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #name: string;
  readonly #limits: GgufLimits;
  at = 0;

  constructor(bytes: Uint8Array, name: string, limits: GgufLimits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
    this.#limits = limits;
  }

  fail(detail: string): never {
    throw badModelFile(this.#name, detail);
  }

  /** Moves over `byteLength` bytes and returns where they began. */
  skip(byteLength: number): number {
    const start = this.at;
    const end = start + byteLength;
    if (end > this.#limits.headerBytes) this.fail(`its header is longer than ${this.#limits.headerBytes} bytes`);
    if (end > this.#bytes.length) throw new NeedsMore(end);
    this.at = end;
    return start;
  }

  u32(): number {
    return this.#view.getUint32(this.skip(4), true);
  }

  /** A 64-bit count that must not exceed `limit`. */
  count(limit: number, what: string): number {
    const start = this.skip(8);
    const low = this.#view.getUint32(start, true);
    if (this.#view.getUint32(start + 4, true) !== 0 || low > limit) this.fail(`it declares more than ${limit} ${what}`);
    return low;
  }

  key(): string {
    const byteLength = this.count(this.#limits.keyBytes, "bytes for a key");
    if (byteLength === 0) this.fail("it holds an empty key");
    const start = this.skip(byteLength);
    let key = "";
    for (let at = start; at < start + byteLength; at++) {
      const byte = this.#bytes[at] ?? 0;
      if (byte < 0x21 || byte > 0x7e) this.fail("it holds a key that is not printable ASCII");
      key += String.fromCharCode(byte);
    }
    return key;
  }

  #string(): void {
    this.skip(this.count(this.#limits.stringBytes, "bytes for a string"));
  }

  entry(key: string): GgufEntry {
    const type = this.u32();
    let elementType = type;
    let count = 1;
    if (type === GGUF_TYPE.array) {
      elementType = this.u32();
      count = this.count(this.#limits.arrayCount, `values for ${key}`);
    }
    if (elementType >= TYPE_BYTES.length || elementType === GGUF_TYPE.array) {
      this.fail(`${key} has the unknown type ${type === elementType ? type : `array of ${elementType}`}`);
    }
    const startByte = this.at;
    if (elementType === GGUF_TYPE.string) for (let each = 0; each < count; each++) this.#string();
    else this.skip(count * (TYPE_BYTES[elementType] ?? 0));
    return { type, elementType, count, startByte, endByte: this.at };
  }

  fixed(): { version: number; tensors: number; keys: number } {
    this.skip(FIXED_BYTES);
    this.at = 0;
    if (this.u32() !== MAGIC) this.fail("it is not a GGUF file");
    const version = this.u32();
    if (version > 0xffff) this.fail("it is a big-endian GGUF file");
    if (version !== 2 && version !== 3) this.fail(`its GGUF version is ${version}, and only 2 and 3 are known`);
    const tensors = this.count(this.#limits.tensors, "tensors");
    const keys = this.count(this.#limits.keys, "keys");
    return { version, tensors, keys };
  }
}

/**
 * Reads the metadata of a GGUF file (version 2 or 3, little endian) from the first bytes of the file. When they do not
 * reach, the answer says how many are needed at least; call again with more (twice as many is a good step).
 * Nothing is copied or decoded but the keys. Throws BAD_MODEL_FILE, with `name` as its path.
 */
export function readGgufHeader(bytes: Uint8Array, name: string, limits: GgufLimits = GGUF_LIMITS): GgufRead {
  const reader = new Reader(bytes, name, limits);
  // A file that is short but wrong in its first bytes is refused at once, not asked for more.
  if (bytes.length >= 4 && bytes.length < FIXED_BYTES) {
    const magic = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    if (magic !== MAGIC) reader.fail("it is not a GGUF file");
  }
  try {
    const { version, tensors, keys } = reader.fixed();
    const entries = new Map<string, GgufEntry>();
    for (let each = 0; each < keys; each++) {
      const key = reader.key();
      if (entries.has(key)) reader.fail(`it holds ${key} twice`);
      entries.set(key, reader.entry(key));
    }
    return { header: { name, version, tensors, entries, bytes, headerBytes: reader.at } };
  } catch (caught) {
    if (caught instanceof NeedsMore) return { neededBytes: caught.neededBytes };
    throw caught;
  }
}

/** Reads a header from bytes that must hold all of it. Throws BAD_MODEL_FILE when they end early too. */
export function parseGgufHeader(bytes: Uint8Array, name: string, limits: GgufLimits = GGUF_LIMITS): GgufHeader {
  const { header } = readGgufHeader(bytes, name, limits);
  if (!header) throw badModelFile(name, "it ends in the middle of its header");
  return header;
}

function typeName(type: number): string {
  return Object.entries(GGUF_TYPE).find(([, code]) => code === type)?.[0] ?? String(type);
}

function expect(header: GgufHeader, key: string, type: number, elementType: number): GgufEntry | undefined {
  const entry = header.entries.get(key);
  if (entry && (entry.type !== type || entry.elementType !== elementType)) {
    const wanted = type === elementType ? typeName(type) : `array of ${typeName(elementType)}`;
    throw badModelFile(header.name, `${key} is not of type ${wanted}`);
  }
  return entry;
}

function viewOf(header: GgufHeader): DataView {
  return new DataView(header.bytes.buffer, header.bytes.byteOffset, header.bytes.byteLength);
}

/** A string value, with broken UTF-8 replaced; undefined when the key is absent. Another type throws BAD_MODEL_FILE. */
export function ggufString(header: GgufHeader, key: string): string | undefined {
  const entry = expect(header, key, GGUF_TYPE.string, GGUF_TYPE.string);
  if (!entry) return undefined;
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(
    header.bytes.subarray(entry.startByte + 8, entry.endByte),
  );
}

/** A u32 value; undefined when the key is absent. Another type throws BAD_MODEL_FILE. */
export function ggufU32(header: GgufHeader, key: string): number | undefined {
  const entry = expect(header, key, GGUF_TYPE.u32, GGUF_TYPE.u32);
  return entry && viewOf(header).getUint32(entry.startByte, true);
}

/** A number of any type; undefined when the key is absent or holds something else. */
export function ggufNumber(header: GgufHeader, key: string): number | undefined {
  const entry = header.entries.get(key);
  if (!entry) return undefined;
  const view = viewOf(header);
  const at = entry.startByte;
  switch (entry.type) {
    case GGUF_TYPE.u8:
      return view.getUint8(at);
    case GGUF_TYPE.i8:
      return view.getInt8(at);
    case GGUF_TYPE.u16:
      return view.getUint16(at, true);
    case GGUF_TYPE.i16:
      return view.getInt16(at, true);
    case GGUF_TYPE.u32:
      return view.getUint32(at, true);
    case GGUF_TYPE.i32:
      return view.getInt32(at, true);
    case GGUF_TYPE.f32:
      return view.getFloat32(at, true);
    case GGUF_TYPE.u64:
      return Number(view.getBigUint64(at, true));
    case GGUF_TYPE.i64:
      return Number(view.getBigInt64(at, true));
    case GGUF_TYPE.f64:
      return view.getFloat64(at, true);
    default:
      return undefined;
  }
}

/** A bool value; undefined when the key is absent. Another type throws BAD_MODEL_FILE. */
export function ggufBool(header: GgufHeader, key: string): boolean | undefined {
  const entry = expect(header, key, GGUF_TYPE.bool, GGUF_TYPE.bool);
  return entry && header.bytes[entry.startByte] !== 0;
}

/** The content of an array, where numbers may be read from: it lies at any place in the file. */
function arrayCopy(header: GgufHeader, key: string, elementType: number): ArrayBuffer | undefined {
  const entry = expect(header, key, GGUF_TYPE.array, elementType);
  return entry && new Uint8Array(header.bytes.subarray(entry.startByte, entry.endByte)).buffer;
}

/** An array of i32, copied; undefined when the key is absent. Another type throws BAD_MODEL_FILE. */
export function ggufI32s(header: GgufHeader, key: string): Int32Array | undefined {
  const copy = arrayCopy(header, key, GGUF_TYPE.i32);
  return copy && new Int32Array(copy);
}

/** Where each string of an array lies, in bytes of the header. */
export interface GgufSpans {
  /** First byte of each string, behind its length. */
  readonly starts: Uint32Array;
  /** The byte behind each string. */
  readonly ends: Uint32Array;
}

/** An array of f32, copied; undefined when the key is absent. Another type throws BAD_MODEL_FILE. */
export function ggufF32s(header: GgufHeader, key: string): Float32Array | undefined {
  const copy = arrayCopy(header, key, GGUF_TYPE.f32);
  return copy && new Float32Array(copy);
}

/** The places of an array's strings; undefined when the key is absent. Another type throws BAD_MODEL_FILE. */
export function ggufSpans(header: GgufHeader, key: string): GgufSpans | undefined {
  const entry = expect(header, key, GGUF_TYPE.array, GGUF_TYPE.string);
  if (!entry) return undefined;
  const view = viewOf(header);
  const starts = new Uint32Array(entry.count);
  const ends = new Uint32Array(entry.count);
  let at = entry.startByte;
  for (let each = 0; each < entry.count; each++) {
    const byteLength = view.getUint32(at, true);
    starts[each] = at + 8;
    at += 8 + byteLength;
    ends[each] = at;
  }
  return { starts, ends };
}

/** Ends strings at their first NUL, in place: the library reads the strings of an array as C strings. */
export function endAtNul(bytes: Uint8Array, { starts, ends }: GgufSpans): void {
  for (let each = 0; each < starts.length; each++) {
    let at = starts[each]!;
    const end = ends[each]!;
    while (at < end && bytes[at] !== 0) at++;
    ends[each] = at;
  }
}

/** The strings of an array, with broken UTF-8 replaced; undefined when the key is absent. */
export function ggufStrings(header: GgufHeader, key: string): string[] | undefined {
  const spans = ggufSpans(header, key);
  if (!spans) return undefined;
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return Array.from(spans.starts, (start, each) => decoder.decode(header.bytes.subarray(start, spans.ends[each])));
}

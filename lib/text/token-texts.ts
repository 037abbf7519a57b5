import { endAtNul, type GgufSpans } from "./gguf.ts";

const encoder = new TextEncoder();

/** Bytes of a text that are sorted by at once: what an id leaves of a 64-bit number. */
const KEY_BYTES = 5;
/** Texts that can be sorted so; more than any vocabulary has. */
const MOST_KEYS = 1 << 24;
/** So few are sorted by comparing them. */
const FEW = 24;

/** Strings as they lie in a file; borrowed. */
export interface Strings extends GgufSpans {
  /** In which the places are counted. */
  readonly bytes: Uint8Array;
}

/**
 * The texts of a vocabulary's tokens as the bytes of its file, which it borrows: no string is made before it is asked
 * for. Texts are in the form of the file, end at a NUL as the library reads them, and an empty one reads `[EMPTY_<id>]`.
 */
export class TokenTexts {
  readonly size: number;
  /** A token whose text an earlier one has; undefined when all differ. */
  readonly double: number | undefined;
  readonly #bytes: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #ends: Uint32Array;
  /** Ids in the order of their texts' bytes. */
  readonly #sorted: Uint32Array;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /** Keeps the spans and cuts them at NULs. Takes a tenth of a second for 100,000 tokens. */
  constructor(bytes: Uint8Array, { starts, ends }: GgufSpans) {
    this.size = starts.length;
    this.#starts = starts;
    this.#ends = ends;
    endAtNul(bytes, { starts, ends });
    this.#bytes = nameEmpty(bytes, starts, ends);
    this.#sorted = this.#sort();
    this.double = this.#firstDouble();
  }

  /** All texts as they lie, by id; borrowed, not to be changed. */
  get strings(): Strings {
    return { bytes: this.#bytes, starts: this.#starts, ends: this.#ends };
  }

  /** Bytes of a token's text; a view. None for an id outside the vocabulary. */
  bytesOf(id: number): Uint8Array {
    return this.#bytes.subarray(this.#starts[id] ?? 0, this.#ends[id] ?? 0);
  }

  /** A token's text, with broken UTF-8 replaced. */
  text(id: number): string {
    return this.#decoder.decode(this.bytesOf(id));
  }

  /** The token that has a text. */
  find(text: string): number | undefined {
    const wanted = encoder.encode(text);
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const id = this.#sorted[middle]!;
      const order = Buffer.compare(this.bytesOf(id), wanted);
      if (order === 0) return id;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  /** Sorting needs no hash that a hostile file could make collide. */
  #sort(): Uint32Array {
    const ids = new Uint32Array(this.size);
    for (let id = 0; id < ids.length; id++) ids[id] = id;
    this.#sortFrom(ids, 0);
    return ids;
  }

  /**
   * Sorts ids whose texts have the same first `depth` bytes. Numbers sort much faster than a comparison of ours: a text's
   * next bytes and its place here make one number, and texts whose next bytes are the same are sorted by those that follow.
   */
  #sortFrom(ids: Uint32Array, depth: number): void {
    if (ids.length <= FEW || ids.length >= MOST_KEYS) {
      ids.sort((left, right) => this.#compare(left, right) || left - right);
      return;
    }
    const keys = new BigUint64Array(ids.length);
    const halves = new Uint32Array(keys.buffer);
    for (let at = 0; at < ids.length; at++) {
      const from = this.#starts[ids[at]!]! + depth;
      const end = this.#ends[ids[at]!]!;
      const byte = (place: number) => (from + place < end ? this.#bytes[from + place]! : 0);
      halves[at * 2 + 1] = ((byte(0) << 24) | (byte(1) << 16) | (byte(2) << 8) | byte(3)) >>> 0;
      halves[at * 2] = ((byte(4) << 24) | at) >>> 0;
    }
    keys.sort();
    const given = ids.slice();
    for (let at = 0; at < ids.length; at++) ids[at] = given[halves[at * 2]! & (MOST_KEYS - 1)]!;
    const isSame = (left: number, right: number) =>
      halves[left * 2 + 1] === halves[right * 2 + 1] && halves[left * 2]! >>> 24 === halves[right * 2]! >>> 24;
    for (let start = 0; start < ids.length; ) {
      let end = start + 1;
      while (end < ids.length && isSame(start, end)) end++;
      // Texts that end here are equal, and in order of their ids.
      const goesOn = this.bytesOf(ids[start]!).length > depth + KEY_BYTES;
      if (end - start > 1 && goesOn) this.#sortFrom(ids.subarray(start, end), depth + KEY_BYTES);
      start = end;
    }
  }

  #firstDouble(): number | undefined {
    let first: number | undefined;
    for (let at = 1; at < this.size; at++) {
      const id = this.#sorted[at]!;
      if (this.#compare(this.#sorted[at - 1]!, id) === 0) first = Math.min(first ?? id, id);
    }
    return first;
  }

  /** Orders two tokens by the bytes of their texts; makes nothing, for it is called millions of times. */
  #compare(left: number, right: number): number {
    const bytes = this.#bytes;
    const leftStart = this.#starts[left]!;
    const rightStart = this.#starts[right]!;
    const leftLength = this.#ends[left]! - leftStart;
    const rightLength = this.#ends[right]! - rightStart;
    const common = Math.min(leftLength, rightLength);
    for (let at = 0; at < common; at++) {
      const difference = bytes[leftStart + at]! - bytes[rightStart + at]!;
      if (difference !== 0) return difference;
    }
    return leftLength - rightLength;
  }
}

/** Gives empty texts their names, behind the bytes of all others; the bytes themselves when none is empty. */
function nameEmpty(bytes: Uint8Array, starts: Uint32Array, ends: Uint32Array): Uint8Array {
  const empty: number[] = [];
  for (let id = 0; id < starts.length; id++) if (starts[id] === ends[id]) empty.push(id);
  if (empty.length === 0) return bytes;
  const names = empty.map((id) => encoder.encode(`[EMPTY_${id}]`));
  const all = new Uint8Array(names.reduce((sum, name) => sum + name.length, bytes.length));
  all.set(bytes);
  let at = bytes.length;
  for (const [place, name] of names.entries()) {
    const id = empty[place]!;
    all.set(name, at);
    starts[id] = at;
    at += name.length;
    ends[id] = at;
  }
  return all;
}

import type { SegmentEncoder } from "./tokenizer.ts";

/** Words that are remembered: one per place of a table of a megabyte. */
const PLACES = 16_384;
/** A place is a row of this many 32-bit numbers, one cache line: the word's characters, four to a number, its length and how many tokens it has, the tokens. */
const ROW = 16;
const KEYS = 6;
const SIZES_AT = KEYS;
const TOKENS_AT = KEYS + 1;
/** A longer word, or one of more tokens, is encoded each time: it hardly comes again. */
const LONGEST_WORD = KEYS * 4;
const MOST_TOKENS = ROW - TOKENS_AT;
/** Tokens for which a place to write them is kept. */
const KEPT_TOKENS = 65_536;

const SPACE = 0x20;
const HASH_START = 0x811c9dc5 | 0;
const HASH_PRIME = 0x01000193;

function isLetter(unit: number): boolean {
  const lower = unit | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/**
 * Encodes text word by word and remembers the words. Byte-level vocabularies cut text into words before merging, so a
 * word has the same tokens wherever it stands, and most words of most texts were seen before. Only ASCII goes this way:
 * there the rule means the same to everybody, while classes of other characters depend on the edition of Unicode.
 *
 * `rule` is global and matches the whole text without gaps. Every rule of ours takes a run of letters, with one space
 * before it, as one word, so these are cut by hand; the rule is asked for everything else.
 */
export function createWordEncoder(encoder: SegmentEncoder, rule: RegExp): SegmentEncoder {
  const table = new WordTable(encoder);
  const next = new RegExp(rule.source, `${rule.flags.replace("g", "")}y`);
  const kept = new Uint32Array(KEPT_TOKENS);
  return {
    encode(text) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is all of ASCII
      if (text === "" || !/^[\x00-\x7f]*$/.test(text)) return encoder.encode(text);
      // A token stands for at least one byte.
      const out = text.length <= KEPT_TOKENS ? kept : new Uint32Array(text.length);
      let count = 0;
      for (let at = 0; at < text.length; ) {
        const end = wordEnd(text, at, next);
        count = table.put(text, at, end, out, count);
        at = end;
      }
      return out.slice(0, count);
    },
  };
}

/** Where the word that begins at `at` ends. */
function wordEnd(text: string, at: number, next: RegExp): number {
  let end = text.charCodeAt(at) === SPACE ? at + 1 : at;
  if (isLetter(text.charCodeAt(end))) {
    do end++;
    while (isLetter(text.charCodeAt(end)));
    return end;
  }
  next.lastIndex = at;
  return next.test(text) ? next.lastIndex : text.length;
}

/** Remembers words, one per place: a word that comes to a place which is taken puts the other one out. */
class WordTable {
  readonly #encoder: SegmentEncoder;
  readonly #rows = new Int32Array(PLACES * ROW);
  /** The word that is looked for. */
  readonly #key = new Int32Array(KEYS);

  constructor(encoder: SegmentEncoder) {
    this.#encoder = encoder;
  }

  /** Writes the tokens of the word from `start` to `end`, which is not empty, to `out` at `count`. Returns where the next go. */
  put(text: string, start: number, end: number, out: Uint32Array, count: number): number {
    const length = end - start;
    if (length > LONGEST_WORD) return append(this.#encoder.encode(text.slice(start, end)), out, count);
    const row = this.#place(text, start, end) * ROW;
    const rows = this.#rows;
    const sizes = rows[row + SIZES_AT] as number;
    if ((sizes & 0xff) !== length || !this.#isAt(row, length))
      return this.#learn(text.slice(start, end), row, out, count);
    const tokens = sizes >> 8;
    for (let at = 0; at < tokens; at++) out[count + at] = rows[row + TOKENS_AT + at] as number;
    return count + tokens;
  }

  /** Packs the word into the key; its place. */
  #place(text: string, start: number, end: number): number {
    const key = this.#key;
    let hash = HASH_START ^ (end - start);
    for (let at = start, part = 0; at < end; part++) {
      const stop = Math.min(end, at + 4);
      let packed = 0;
      while (at < stop) packed = (packed << 8) | text.charCodeAt(at++);
      key[part] = packed;
      hash = Math.imul(hash ^ packed, HASH_PRIME);
      hash ^= hash >>> 15;
    }
    return hash & (PLACES - 1);
  }

  #isAt(row: number, length: number): boolean {
    for (let part = 0; part * 4 < length; part++) if (this.#rows[row + part] !== this.#key[part]) return false;
    return true;
  }

  #learn(word: string, row: number, out: Uint32Array, count: number): number {
    const tokens = this.#encoder.encode(word);
    if (tokens.length <= MOST_TOKENS) {
      this.#rows.set(this.#key, row);
      this.#rows[row + SIZES_AT] = word.length | (tokens.length << 8);
      this.#rows.set(tokens, row + TOKENS_AT);
    }
    return append(tokens, out, count);
  }
}

function append(tokens: Uint32Array, out: Uint32Array, count: number): number {
  out.set(tokens, count);
  return count + tokens.length;
}

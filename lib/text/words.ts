import type { SegmentEncoder } from "./tokenizer.ts";

/** Words that are remembered: a table of this many places, about 2 MB when full. */
const PLACES = 16_384;
/** A longer word is encoded each time: it hardly comes again. */
const LONGEST_WORD = 64;
/** Words of up to so many units are copied when they are cut out; longer ones would keep the whole text alive. */
const COPIED_UNITS = 12;
/** Tokens for which a place to write them is kept. */
const KEPT_TOKENS = 65_536;

const SPACE = 0x20;
const HASH_START = 0x811c9dc5 | 0;
const HASH_PRIME = 0x01000193;

/** Tokens of a word: most are one token. */
type WordTokens = number | readonly number[];

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
 * before it, as one word, so these are cut by hand, and hashed on the way; the rule is asked for everything else.
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
        const tokens = table.tokensOf(text, at, end);
        if (typeof tokens === "number") out[count++] = tokens;
        else for (const token of tokens) out[count++] = token;
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
  readonly #words = new Array<string>(PLACES).fill("");
  readonly #tokens = new Array<WordTokens>(PLACES).fill(0);

  constructor(encoder: SegmentEncoder) {
    this.#encoder = encoder;
  }

  /** Tokens of the word from `start` to `end`, which is not empty. */
  tokensOf(text: string, start: number, end: number): WordTokens {
    if (end - start > LONGEST_WORD) return this.#encode(text.slice(start, end));
    let hash = HASH_START;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ text.charCodeAt(at), HASH_PRIME);
    const place = (hash ^ (hash >>> 15)) & (PLACES - 1);
    if (this.#isAt(place, text, start, end)) return this.#tokens[place] as WordTokens;
    const word = text.slice(start, end);
    const tokens = this.#encode(word);
    this.#words[place] = word.length > COPIED_UNITS ? Buffer.from(word, "latin1").toString("latin1") : word;
    this.#tokens[place] = tokens;
    return tokens;
  }

  #isAt(place: number, text: string, start: number, end: number): boolean {
    const word = this.#words[place] as string;
    if (word.length !== end - start) return false;
    for (let at = 0; at < word.length; at++) if (word.charCodeAt(at) !== text.charCodeAt(start + at)) return false;
    return true;
  }

  #encode(word: string): WordTokens {
    const tokens = this.#encoder.encode(word);
    return tokens.length === 1 ? (tokens[0] as number) : [...tokens];
  }
}

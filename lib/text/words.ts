import type { SegmentEncoder } from "./tokenizer.ts";

/** Words of one generation of the cache: two generations of short words take about 2 MB. */
const GENERATION_WORDS = 8_192;
/** A longer word is encoded each time: it hardly comes again. */
const LONGEST_WORD = 64;
/** Words of up to so many units are copied when they are cut out; longer ones would keep the whole text alive. */
const COPIED_UNITS = 12;

/** Tokens of a word: most are one token. */
type WordTokens = number | readonly number[];

/**
 * Encodes text word by word and remembers the words. Byte-level vocabularies cut text into words before merging, so a
 * word has the same tokens wherever it stands, and most words of most texts were seen before: about a fifth of the cost
 * of the encoder inside. Only ASCII goes this way: there the rule means the same to everybody, while classes of other
 * characters depend on the edition of Unicode. `rule` is global and matches the whole text without gaps.
 */
export function createWordEncoder(encoder: SegmentEncoder, rule: RegExp): SegmentEncoder {
  let young = new Map<string, WordTokens>();
  let old = new Map<string, WordTokens>();
  const keep = (word: string, tokens: WordTokens): WordTokens => {
    if (young.size >= GENERATION_WORDS) {
      old = young;
      young = new Map();
    }
    young.set(word.length > COPIED_UNITS ? Buffer.from(word, "latin1").toString("latin1") : word, tokens);
    return tokens;
  };
  const lookUp = (word: string): WordTokens => {
    const known = young.get(word);
    if (known !== undefined) return known;
    const before = old.get(word);
    if (before !== undefined) return keep(word, before);
    const encoded = encoder.encode(word);
    const tokens = encoded.length === 1 ? encoded[0]! : [...encoded];
    return word.length > LONGEST_WORD ? tokens : keep(word, tokens);
  };
  return {
    encode(text) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is all of ASCII
      const words = /^[\x00-\x7f]*$/.test(text) ? text.match(rule) : undefined;
      if (!words) return encoder.encode(text);
      const all: number[] = [];
      for (const word of words) {
        const tokens = lookUp(word);
        if (typeof tokens === "number") all.push(tokens);
        else for (const token of tokens) all.push(token);
      }
      return Uint32Array.from(all);
    },
  };
}

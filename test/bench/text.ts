/** Numbers below `count`; a request's body has hundreds, so that they must cost next to nothing. */
type Draw = (count: number) => number;

/** How the words of one script are made. */
interface Script {
  readonly name: string;
  /** Percent of all words. */
  readonly percent: number;
  readonly word: (draw: Draw) => string;
  /** What ends a sentence of it. */
  readonly stop: string;
}

/** Different words that there are; a text of 200,000 words has most of them. */
export const LEXICON_WORDS = 80_000;

const letters = (text: string): string[] => Array.from(text);
const range = (first: number, last: number, step = 1): string[] =>
  Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, at) => String.fromCodePoint(first + at * step));

/** Uniform 32 bits from a seed (mulberry32, Ettinger 2017). */
function drawFrom(seed: number): Draw {
  let state = seed | 0;
  return (count) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * count);
  };
}

const oneOf = (draw: Draw, from: readonly string[]): string => from[draw(from.length)]!;

/** Words of `least` to `most` syllables, each a draw from every list in turn. */
function syllables(lists: readonly (readonly string[])[], least: number, most: number) {
  return (draw: Draw): string => {
    let word = "";
    for (let left = least + draw(most - least + 1); left > 0; left--) {
      for (const list of lists) word += oneOf(draw, list);
    }
    return word;
  };
}

const ENGLISH = [
  ["b", "br", "c", "ch", "d", "f", "g", "gr", "h", "j", "l", "m", "n", "p", "qu", "r", "s", "st", "t", "th", "tr", "w"],
  ["a", "e", "i", "o", "u", "ea", "ou", "io"],
  ["", "", "n", "r", "s", "t", "l", "ck", "ng", "ment"],
];
const ACCENTED = [
  letters("bcčçdfghjklłmnñprřsšśtvžź"),
  letters("aáàâãäåąeéèêëęiíîïoóôõöøuúûüůyý"),
  ["", "n", "ß", "r"],
];
const CYRILLIC = [letters("бвгджзклмнпрстфхцчшщ"), letters("аеиоуыэюя"), ["", "", "н", "л", "ть", "ст"]];
const GREEK = [letters("βγδζθκλμνξπρστφχψ"), letters("αεηιουωάέήίόύώ"), ["", "", "ν", "ς"]];
const DEVANAGARI = [range(0x915, 0x939), ["", "ा", "ि", "ी", "ु", "े", "ो", "्य", "्र"]];
const EMOJI = letters("😀😂🥰😎🤔😭👍👏🙏💪🎉🔥⭐🚀🐱🦆🌍🌧🍕🍜⚽🎸🏠🚲💡📚🔒");

const SCRIPTS: readonly Script[] = [
  { name: "Latin", percent: 36, word: syllables(ENGLISH, 2, 4), stop: ". " },
  { name: "Latin with accents", percent: 14, word: syllables(ACCENTED, 2, 4), stop: ". " },
  { name: "Cyrillic", percent: 14, word: syllables(CYRILLIC, 2, 4), stop: ". " },
  { name: "Greek", percent: 8, word: syllables(GREEK, 2, 4), stop: "; " },
  { name: "Han", percent: 10, word: syllables([range(0x4e00, 0x9fa0, 7)], 2, 3), stop: "。" },
  { name: "Hangul", percent: 4, word: syllables([range(0xac00, 0xd7a0, 13)], 2, 3), stop: ". " },
  { name: "Arabic", percent: 8, word: syllables([letters("ابتثجحخدذرزسشصضطعغفقكلمنهوي")], 3, 6), stop: "؟ " },
  { name: "Devanagari", percent: 5, word: syllables(DEVANAGARI, 2, 4), stop: "। " },
  { name: "Emoji", percent: 1, word: syllables([EMOJI, ["", "🏽", "\u200d🔥"]], 1, 4), stop: "! " },
];

/** The words of each script, all different, always the same; takes about a tenth of a second. */
function makeLexicon(): ReadonlyMap<Script, readonly string[]> {
  const draw = drawFrom(20_261);
  const taken = new Set<string>();
  return new Map(
    SCRIPTS.map((script) => {
      const words: string[] = [];
      while (words.length < (LEXICON_WORDS * script.percent) / 100) {
        const word = script.word(draw);
        if (taken.has(word)) continue;
        taken.add(word);
        words.push(word);
      }
      return [script, words];
    }),
  );
}

/** Words by script, then sentences from them. */
const lexicon = makeLexicon();

/** All words that {@link TextWriter} uses, script by script. */
export function allWords(): string[] {
  return [...lexicon.values()].flat();
}

const SENTENCE_WORDS = 9;
const BY_PERCENT = SCRIPTS.flatMap((script) => new Array<Script>(script.percent).fill(script));

/**
 * Writes text that no cache has seen: sentences of one script each, all words of it equally likely, with a number now and
 * then. One seed gives one text; what a writer has written it does not write again.
 */
export class TextWriter {
  readonly #draw: Draw;

  constructor(seed: number) {
    this.#draw = drawFrom(Math.imul(seed + 1, 2_654_435_761));
  }

  /** So many words, with punctuation. */
  words(count: number): string {
    let text = "";
    for (let left = count; left > 0; left -= SENTENCE_WORDS) text += this.#sentence(Math.min(left, SENTENCE_WORDS));
    return text;
  }

  #sentence(count: number): string {
    const draw = this.#draw;
    const script = BY_PERCENT[draw(100)]!;
    const words = lexicon.get(script)!;
    const said: string[] = [];
    while (said.length < count) said.push(draw(32) === 0 ? String(draw(1_000_000)) : oneOf(draw, words));
    return said.join(" ") + script.stop;
  }
}

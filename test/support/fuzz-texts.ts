import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { TORTURE } from "../fixtures/text/torture.ts";

/** A text that chance made. */
export interface FuzzText {
  readonly text: string;
  /** Texts that are made from it begin with this one. */
  readonly seed: bigint;
}

/** What texts for one vocabulary are made of. */
export interface FuzzWords {
  /** Bytes of token i: `bytes[offsets[i] .. offsets[i + 1]]`. */
  readonly pieces: { readonly bytes: Uint8Array; readonly offsets: Uint32Array };
  /** Special tokens, as they stand in text. */
  readonly specials: readonly string[];
}

/** Longest text, in UTF-16 units. */
const LONGEST = 100_000;
const LOG_LONGEST = Math.log(LONGEST);

/** Texts of many kinds and sizes, at least so many bytes of UTF-8 together: the same for the same seed. */
export function* fuzzTexts(words: FuzzWords, { seed, bytes }: { seed: bigint; bytes: number }): Generator<FuzzText> {
  for (let left = bytes; left > 0; ) {
    const chance = new SeededChance(seed);
    const next = chance.id();
    const text = fuzzText(chance, words);
    yield { text, seed };
    left -= Buffer.byteLength(text);
    seed = next;
  }
}

/** Makes a stretch of a text, mostly a short one. */
type Kind = (chance: Chance, words: FuzzWords) => string;

/** Small texts are as many as large ones, by their number of digits. Most are of one kind, some of all, few are one run. */
function fuzzText(chance: Chance, words: FuzzWords): string {
  const length = Math.ceil(Math.exp(chance.next() * LOG_LONGEST));
  const how = chance.next();
  if (how < 0.05) return repeated(chance).repeat(length).slice(0, length);
  const only = how < 0.6 ? of(chance, KINDS) : undefined;
  let text = "";
  while (text.length < length) text += (only ?? of(chance, KINDS))(chance, words);
  // Half a character at the end is one of the cases.
  return text.slice(0, length);
}

function of<Item>(chance: Chance, items: readonly Item[]): Item {
  return items[pick(chance, items.length)] as Item;
}

/** 1 or more, small numbers mostly. */
function few(chance: Chance, most: number): number {
  return 1 + Math.floor(chance.next() ** 2 * most);
}

function many(count: number, make: () => string): string {
  let text = "";
  for (; count > 0; count--) text += make();
  return text;
}

const range = (first: number, last: number): string[] =>
  Array.from({ length: last - first + 1 }, (_, at) => String.fromCodePoint(first + at));

const PRINTABLE = range(0x20, 0x7e);
const LETTERS = range(0x61, 0x7a);
const MARKS = [...range(0x300, 0x36f), "\u0483", "\u05b0", "\u064b", "\u093c", "\u0e31", "\u1ab0", "\u20e3", "\u3099"];
const SPACES = [
  ...range(0x09, 0x0d),
  ...["    ", "  ", " ", " ", "\n", "\n\n", "\r\n", "\t\t", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u180e"],
  ...range(0x2000, 0x200b),
  ...["\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\u2581", "\ufeff"],
];
const DIGITS = [...range(0x30, 0x39), ...range(0x30, 0x39), ..."٣٤१२๕〇½²③Ⅷ𝟙፩௰"];
const ENDINGS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'Re", "'ſ", "’s", "n't", "'x", "''"];
const EMOJI = [..."👍😀🫠🧑👩👨❤☺🏳🇩🇪🇯🇵©™🦙🌫🚀✅#*5"];
const JOINERS = ["\u200d", "\ufe0f", "\u20e3", "🏽", "🏿", "\u200d🌈", "\u{e0067}", "\u{e007f}", "", "", " "];
const SIGNS = [..."!?.,;:()[]{}<>|/\\@#$%^&*-_=+`~\"'…—–“”‘’«»¿¡§¶†‡•€£¥₿→∑∞≈。、！？（）「」·"];
const BREAKS = [" ", " ", " ", ", ", ". ", "\n", " — ", "", "-", "\u3000"];

/** First and last code points of blocks of letters, with what stands between them. */
const SCRIPTS: readonly (readonly [first: number, last: number])[] = [
  "41-7a c0-24f 250-2af 370-3ff 400-52f 531-58f 590-5ff 600-6ff 700-74f 780-7bf 900-97f 980-9ff a00-a7f b80-bff c00-c7f",
  "d00-d7f e00-e7f f00-fff 1000-109f 10a0-10ff 1100-11ff 1200-137f 13a0-13ff 1780-17ff 1800-18af 1e00-1eff 1f00-1fff",
  "2c00-2c5f 3040-30ff 3400-4dbf 4e00-9fff 4e00-5fff a000-a48f ac00-d7a3 f900-faff fb00-fdff ff00-ffef 10300-1034f",
  "10400-1044f 12000-123ff 1d400-1d7ff 1e900-1e95f 20000-2a6df 2f800-2fa1f",
]
  .join(" ")
  .split(" ")
  .map((block) => {
    const [first = "", last = ""] = block.split("-");
    return [Number.parseInt(first, 16), Number.parseInt(last, 16)];
  });

function word(chance: Chance): string {
  const letters = many(few(chance, 12), () => of(chance, LETTERS));
  const how = chance.next();
  return how < 0.7
    ? letters
    : how < 0.9
      ? letters.replace(/^./, (first) => first.toUpperCase())
      : letters.toUpperCase();
}

/** Bytes of tokens glued together; what is no UTF-8 then becomes U+FFFD. */
function glued(chance: Chance, { pieces: { bytes, offsets } }: FuzzWords): string {
  const parts = Array.from({ length: few(chance, 30) }, () => {
    const id = pick(chance, offsets.length - 1);
    return bytes.subarray(offsets[id], offsets[id + 1]);
  });
  return Buffer.concat(parts).toString();
}

/** A special token whole, broken, doubled, or with something next to it. */
function special(chance: Chance, { specials }: FuzzWords): string {
  if (specials.length === 0) return "<s>";
  const text = of(chance, specials);
  const cut = pick(chance, text.length + 1);
  switch (pick(chance, 8)) {
    case 0:
      return text.slice(0, cut);
    case 1:
      return text.slice(cut);
    case 2:
      return text.slice(0, cut) + text;
    case 3:
      return text.slice(0, cut) + of(chance, SPACES) + text.slice(cut);
    case 4:
      return of(chance, SPACES) + text + of(chance, SPACES);
    case 5:
      return text.toUpperCase();
    default:
      return text;
  }
}

function codePoint(chance: Chance): string {
  const below = of(chance, [0x80, 0x800, 0x3000, 0x10000, 0x20000, 0x110000]);
  return String.fromCodePoint(pick(chance, below));
}

/** What runs are made of. */
function repeated(chance: Chance): string {
  return of(chance, [codePoint, () => of(chance, SPACES), () => of(chance, PRINTABLE)])(chance);
}

const KINDS: readonly Kind[] = [
  (chance) => many(20, () => of(chance, PRINTABLE)),
  (chance) => word(chance) + (chance.next() < 0.1 ? of(chance, ENDINGS) : "") + of(chance, BREAKS),
  (chance) => "\t ".charAt(pick(chance, 2)).repeat(pick(chance, 9)) + word(chance) + of(chance, SIGNS) + word(chance),
  (chance) => many(few(chance, 8), () => of(chance, DIGITS)) + (chance.next() < 0.5 ? of(chance, SIGNS) : " "),
  (chance) => many(few(chance, 6), () => of(chance, SIGNS)) + (chance.next() < 0.2 ? of(chance, SPACES) : ""),
  glued,
  (chance) => {
    const [first, last] = of(chance, SCRIPTS);
    return many(few(chance, 15), () => String.fromCodePoint(first + pick(chance, last - first + 1)));
  },
  (chance) => {
    const [first, last] = of(chance, SCRIPTS);
    return (
      of(chance, BREAKS) + many(few(chance, 9), () => String.fromCodePoint(first + pick(chance, last - first + 1)))
    );
  },
  (chance) => many(few(chance, 4), () => of(chance, EMOJI) + of(chance, JOINERS)),
  (chance) => of(chance, PRINTABLE) + many(few(chance, 6), () => of(chance, MARKS)),
  (chance) => many(few(chance, 12), () => of(chance, SPACES)) + (chance.next() < 0.3 ? of(chance, PRINTABLE) : ""),
  (chance) => repeated(chance).repeat(few(chance, 100)),
  special,
  (chance) => String.fromCharCode(0xd800 + pick(chance, 0x800)) + of(chance, PRINTABLE),
  (chance) => many(8, () => codePoint(chance)),
  (chance) => of(chance, TORTURE),
];

/**
 * The shortest part of a text that still has a property of the whole, as far as leaving out one stretch after the other
 * finds it.
 */
export async function shortestWith(text: string, has: (part: string) => Promise<boolean>): Promise<string> {
  let characters = [...text];
  for (let size = characters.length >> 1; size >= 1; size = size === 1 ? 0 : size >> 1) {
    for (let at = 0; at < characters.length; ) {
      const rest = characters.toSpliced(at, size);
      if (rest.length > 0 && (await has(rest.join("")))) characters = rest;
      else at += size;
    }
  }
  return characters.join("");
}

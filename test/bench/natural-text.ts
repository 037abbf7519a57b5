import { pick, SeededChance } from "#lib/base/chance";
import { TextWriter } from "./text.ts";

/** What a text is like. */
export const TEXT_KINDS = ["prose", "code", "chinese", "mixed"] as const;

/** One of {@link TEXT_KINDS}. */
export type TextKind = (typeof TEXT_KINDS)[number];

const list = (words: string): readonly string[] => words.trim().split(/\s+/);

/** The most frequent words of English, roughly in order. */
const FUNCTION_WORDS = list(`
  the of and to a in is that for it was on as with be by at this from are or have an they which you not but had his we
  were their can one all there has if more when will would who about so what up said out into some than its time only
  could new them other these also two may then do first any my now such like our over me even most made after many did
  before must through years where much way well should down because each just those people how too good very make still
  own see work long here between both being under never know same last since go used while without against another`);
const NOUNS = list(`
  answer bridge captain change circle city cloud coast colour copy corner council country culture danger daughter degree
  detail doctor dream effect engine evening evidence example family farmer field figure forest friend future garden
  glass government ground harbour history horse hospital house idea industry island journey kitchen language letter
  library light machine manner market matter measure member memory message minister minute moment mountain music nature
  neighbour night notice number object office opinion order painter paper party passage pattern place planet point
  power pressure price problem process product promise purpose question railway reason record region report result
  river road room sailor school science season secret service shadow shape signal silence sister soldier sound source
  space speech spirit station stone storm story street student subject summer surface system table teacher theory
  thought tower trade travel valley value village visitor voice water weather window winter wonder writer`);
const VERBS = list(`
  accept allow appear approach ask avoid become begin believe break bring build call carry catch choose climb collect
  compare consider contain cover create cross decide deliver demand describe discover doubt draw enter escape exist
  expect explain explore express finish follow force forget gather guess happen hear hope imagine improve join judge
  keep laugh lead learn leave listen look lose mention move need observe offer open prepare prevent protect prove
  publish reach receive remain remember remove repeat replace require return search seem serve settle speak spend
  stand start study suffer suggest support suppose surround teach tell think touch treat trust turn understand wait
  walk wander want warn watch wish write`);
const ADJECTIVES = list(`
  able ancient bitter blue bold brief bright broad calm certain clear clever cold common complete curious dark deep
  distant early easy empty entire equal exact false familiar famous final foreign formal free fresh general gentle
  grand great heavy hidden high honest human huge kind large late little local lonely loud lucky modern narrow native
  natural noble obvious old open painful patient perfect plain pleasant poor possible private proper proud public pure
  quick quiet rare ready real recent rich rough round sacred separate serious sharp short silent simple slow small
  smooth social solid special steady strange strict strong sudden sweet tall tender thick tiny tired total usual vast
  warm weak wide wild wise young`);

const inflected = (stem: string, suffix: string): string =>
  stem.endsWith("e") && /^[aeiy]/.test(suffix) ? stem.slice(0, -1) + suffix : stem + suffix;

/** All forms, so that a text of a megabyte has some thousands of different words, as real ones do. */
function englishWords(): readonly string[] {
  const forms = (stems: readonly string[], suffixes: readonly string[]) =>
    suffixes.flatMap((suffix) => stems.map((stem) => inflected(stem, suffix)));
  return [
    ...FUNCTION_WORDS,
    ...interleaved([NOUNS, VERBS, ADJECTIVES]),
    ...interleaved([forms(NOUNS, ["s"]), forms(VERBS, ["ed", "ing", "s"]), forms(ADJECTIVES, ["ly", "er", "ness"])]),
    ...interleaved([forms(NOUNS, ["less", "like"]), forms(VERBS, ["er", "able"]), forms(ADJECTIVES, ["est", "ish"])]),
    ...interleaved([VERBS.map((verb) => `re${verb}`), ADJECTIVES.map((adjective) => `un${adjective}`)]),
  ];
}

function interleaved(lists: readonly (readonly string[])[]): string[] {
  const longest = Math.max(...lists.map(({ length }) => length));
  return Array.from({ length: longest }, (_, at) => lists.flatMap((each) => each.slice(at, at + 1))).flat();
}

/** The most frequent characters of Chinese, roughly in order. */
const HAN = Array.from(
  "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经" +
    "么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又" +
    "关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通" +
    "教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市" +
    "直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张" +
    "该交规万取拉格望觉术领共确传师观清今切院让识候带导争运笔房步离早往须城越热",
);

/** Han characters that hardly anybody writes. */
const RARE_HAN = { first: 0x4e00, count: 20_900 } as const;

const EMOJI = list("😀 😂 🥰 😎 🤔 😭 👍 👏 🙏 💪 🎉 🔥 ⭐ 🚀 🐱 🌍 🍕 ⚽ 💡 👍🏽 🙋🏿 👩‍💻 👨‍👩‍👧 🏳️‍🌈 🇧🇷 🇯🇵 ❤️ 1️⃣");
const SYLLABLES = list("ba ca da fi go hu ja ke lo mi na or pe qui ra si tu va we xo yl zen dor mar len tris vek bran");
const OPERATORS = list("= += == !== < > <= && || + - * / % ?? | & <<");
const TYPES = list("string number boolean void int float bytes Uint8Array");

/** Draws from a list, the first ones far more often: by the law of Zipf and Mandelbrot. */
class Ranked {
  readonly #items: readonly string[];
  readonly #sums: Float64Array;

  constructor(items: readonly string[]) {
    this.#items = items;
    let sum = 0;
    this.#sums = Float64Array.from(items, (_, rank) => {
      sum += 1 / (rank + 2.7);
      return sum;
    });
  }

  draw(chance: SeededChance): string {
    const wanted = chance.next() * this.#sums[this.#sums.length - 1]!;
    let [low, high] = [0, this.#sums.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sums[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    return this.#items[low]!;
  }
}

const ENGLISH = new Ranked(englishWords());
const STEMS = new Ranked(interleaved([NOUNS, VERBS, ADJECTIVES]));
const CHINESE = new Ranked(chineseWords());

/** Words of one to four characters, always the same. */
function chineseWords(): readonly string[] {
  const chance = new SeededChance(20_261n);
  const characters = new Ranked(HAN);
  const word = (length: number) => Array.from({ length }, () => characters.draw(chance)).join("");
  const longer = Array.from({ length: 9000 }, (_, at) => word(at % 11 === 0 ? 4 : at % 5 === 0 ? 3 : 2));
  return [...interleaved([HAN.slice(0, 200), longer.slice(0, 400)]), ...HAN.slice(200), ...longer.slice(400)];
}

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);

/**
 * Writes text that looks like what people send: few words are most of it, some are new in every text. One seed gives one
 * text; what a writer has written it does not write again. For what a tokenizer makes of natural text; text in which all
 * words are equally likely is of `TextWriter`.
 */
export class NaturalWriter {
  readonly #chance: SeededChance;
  readonly #others: TextWriter;
  readonly #write: () => string;

  constructor(kind: TextKind, seed: number) {
    this.#chance = new SeededChance(BigInt(seed));
    this.#others = new TextWriter(seed);
    this.#write = {
      prose: () => this.#paragraph(),
      code: () => this.#code(),
      chinese: () => this.#chinese(),
      mixed: () => this.#mixed(),
    }[kind];
  }

  /** At least so many bytes of UTF-8, and not many more than a paragraph above. */
  bytes(least: number): string {
    const parts: string[] = [];
    for (let left = least; left > 0; left -= Buffer.byteLength(parts.at(-1)!)) parts.push(this.#write());
    return parts.join("");
  }

  /** So many UTF-16 units, cut off anywhere. */
  units(count: number): string {
    let text = "";
    while (text.length < count) text += this.#write();
    return text.slice(0, count).toWellFormed();
  }

  #below(count: number): number {
    return pick(this.#chance, count);
  }

  #oneOf(items: readonly string[]): string {
    return items[this.#below(items.length)]!;
  }

  /** Several of something. */
  #some(least: number, most: number, write: () => string): string[] {
    return Array.from({ length: least + this.#below(most - least + 1) }, write);
  }

  /** A word that nobody wrote before. */
  #invented(): string {
    return this.#some(2, 4, () => this.#oneOf(SYLLABLES)).join("");
  }

  #word(): string {
    const draw = this.#below(200);
    if (draw < 5) return capital(this.#invented());
    if (draw < 7) return this.#invented();
    if (draw < 10) return String(this.#below(10 ** (1 + this.#below(4))));
    if (draw < 12) return `${STEMS.draw(this.#chance)}'s`;
    if (draw < 14) return this.#oneOf(["don't", "I'll", "it's", "we've", "can't", "you're"]);
    if (draw < 16) return `${STEMS.draw(this.#chance)}-${STEMS.draw(this.#chance)}`;
    return ENGLISH.draw(this.#chance);
  }

  #sentence(): string {
    const words = this.#some(6, 26, () => this.#word());
    const comma = this.#below(words.length);
    if (comma < words.length - 3 && comma > 1) words[comma] += this.#oneOf([",", ",", ",", ";", " –"]);
    const text = capital(words.join(" "));
    return this.#below(12) === 0
      ? `“${text},” said ${capital(this.#invented())}.`
      : text + this.#oneOf(list(". . . . ? !"));
  }

  #paragraph(): string {
    return `${this.#some(3, 8, () => this.#sentence()).join(" ")}\n\n`;
  }

  #name(): string {
    const parts = this.#some(1, 3, () => STEMS.draw(this.#chance));
    if (this.#below(8) === 0) parts.push(this.#invented());
    const style = this.#below(10);
    if (style < 3) return parts.join("_");
    if (style < 4) return parts.map(capital).join("");
    return style < 5 ? parts.join("_").toUpperCase() : parts[0]! + parts.slice(1).map(capital).join("");
  }

  #value(): string {
    switch (this.#below(9)) {
      case 0:
        return String(this.#below(1000));
      case 1:
        return `0x${this.#below(2 ** 32).toString(16)}`;
      case 2:
        return `"${this.#some(1, 5, () => this.#word()).join(" ")}"`;
      case 3:
        return `${this.#name()}(${this.#some(0, 3, () => this.#name()).join(", ")})`;
      case 4:
        return `${this.#name()}[${this.#name()}]`;
      case 5:
        return `${this.#name()}.${this.#name()}`;
      default:
        return this.#name();
    }
  }

  #condition(): string {
    return `${this.#value()} ${this.#oneOf(OPERATORS.slice(2, 8))} ${this.#value()}`;
  }

  #lines(depth: number): string[] {
    const indent = "  ".repeat(depth);
    const inner = () => (depth < 5 ? this.#some(1, 3, () => this.#lines(depth + 1).join("\n")) : []);
    switch (this.#below(9)) {
      case 0:
        return [`${indent}if (${this.#condition()}) {`, ...inner(), `${indent}}`];
      case 1:
        return [`${indent}for (const ${this.#name()} of ${this.#value()}) {`, ...inner(), `${indent}}`];
      case 2:
        return [`${indent}// ${this.#sentence()}`];
      case 3:
        return [`${indent}return ${this.#value()};`, ""];
      case 4:
        return [`${indent}const ${this.#name()}: ${this.#oneOf(TYPES)} = ${this.#value()};`];
      case 5:
        return [`${indent}${this.#name()}.${this.#name()}(${this.#some(0, 3, () => this.#value()).join(", ")});`];
      default:
        return [`${indent}${this.#name()} ${this.#oneOf(OPERATORS)} ${this.#value()};`];
    }
  }

  #code(): string {
    const parameters = this.#some(0, 3, () => `${this.#name()}: ${this.#oneOf(TYPES)}`).join(", ");
    const body = this.#some(3, 9, () => this.#lines(1).join("\n"));
    return `/** ${this.#sentence()} */\nfunction ${this.#name()}(${parameters}) {\n${body.join("\n")}\n}\n\n`;
  }

  #chineseWord(): string {
    const draw = this.#below(100);
    if (draw < 1) return capital(this.#invented());
    if (draw < 3) return String(this.#below(3000));
    if (draw < 5) return String.fromCodePoint(RARE_HAN.first + this.#below(RARE_HAN.count));
    return CHINESE.draw(this.#chance);
  }

  #clause(): string {
    return this.#some(3, 10, () => this.#chineseWord()).join("");
  }

  #chinese(): string {
    const sentence = () => {
      const text = this.#some(1, 4, () => this.#clause()).join(this.#oneOf(list("， ， ， 、 ；")));
      return this.#below(10) === 0 ? `“${text}。”` : text + this.#oneOf(list("。 。 。 ？ ！"));
    };
    return `${this.#some(3, 8, sentence).join("")}\n`;
  }

  /** What people send each other: several languages, pictures, addresses. */
  #mixed(): string {
    switch (this.#below(6)) {
      case 0:
        return `${this.#sentence()} ${this.#some(1, 5, () => this.#oneOf(EMOJI)).join("")}\n`;
      case 1:
        return `${this.#chinese().trim()}${this.#oneOf(EMOJI)}\n`;
      case 2:
        return `https://${this.#invented()}.example/${this.#some(1, 4, () => this.#name()).join("/")}?q=${this.#below(1e6)}\n`;
      case 3:
        return `- **${this.#name()}**: ${this.#sentence()}\n`;
      default:
        return `${this.#others.words(12)}${this.#oneOf(EMOJI)} #${this.#name()}\n`;
    }
  }
}

import { readFileSync } from "node:fs";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import type { Llama, Vocab } from "#lib/native/llama";
import { parseGgufHeader } from "#lib/text/gguf";
import { type SpecialToken, specialTokens, TOKEN_BIT, tokenBits } from "#lib/text/special";
import { readTokens } from "#lib/text/tokenizer";
import { checkVocabulary, extractVocabulary, VOCABULARY_FORMAT, type Vocabulary } from "#lib/text/vocabulary";
import type { ModelText, RenderedPrompt } from "#services/frontend/text/model-text";
import type { TextOpener } from "#services/frontend/tokenize/open-text";
import { shortestWith } from "./fuzz-texts.ts";

/** The ids of one text from both sides. */
interface Ids {
  readonly ours: Uint32Array;
  readonly theirs: Uint32Array;
}

/** Tokens that the library puts around a text. */
interface Frame {
  readonly first: readonly number[];
  readonly last: readonly number[];
}

/** The bits of a token's type that the library tells. */
const NATIVE_BITS = 31;

/** How long a text may be of which prompts are made too. */
const PROMPT_UNITS = 8192;

/** One vocabulary, opened as the frontend opens it, and whole, as the engine's library does. */
export class TwoEncoders {
  readonly name: string;
  readonly vocabulary: Vocabulary;
  /** In search order. */
  readonly specials: readonly SpecialToken[];
  readonly theirs: Vocab;
  readonly #text: ModelText;
  readonly #frame: Frame;
  readonly #controls: readonly SpecialToken[];

  private constructor(name: string, vocabulary: Vocabulary, { text, theirs }: { text: ModelText; theirs: Vocab }) {
    this.name = name;
    this.vocabulary = vocabulary;
    this.specials = specialTokens(vocabulary, tokenBits(vocabulary));
    this.theirs = theirs;
    this.#text = text;
    this.#controls = this.specials.filter(({ bits }) => (bits & TOKEN_BIT.control) !== 0);
    const [one, two] = theirs.tokenize("", { addSpecial: true });
    const onlyLast = two === undefined && !theirs.addBos;
    this.#frame = {
      first: one === undefined || onlyLast ? [] : [one],
      last: onlyLast && one !== undefined ? [one] : two === undefined ? [] : [two],
    };
  }

  /** Opens the vocabulary of a file. Throws what the frontend's rooms say of one that they cannot open. */
  static async open(name: string, file: string, { llama, opener }: { llama: Llama; opener: TextOpener }) {
    const artifact = extractVocabulary(parseGgufHeader(readFileSync(file), name));
    const text = await opener.open({
      tokenizer: artifact,
      tokenizerFormat: VOCABULARY_FORMAT,
      template: undefined,
    });
    return new TwoEncoders(name, checkVocabulary(artifact), { text, theirs: await llama.openVocab(file) });
  }

  /** Throws unless all tokens are the same bytes and of the same type on both sides, and texts are framed by the same. */
  compareTokens(): void {
    const { pieces, bos = -1, eos = -1 } = readTokens(this.vocabulary);
    const { bytes, offsets, attributes } = this.theirs.pieceTable();
    const wrong = attributes.findIndex((bits, id) => {
      const bytesOf = (from: Uint8Array, places: Uint32Array) => from.subarray(places[id], places[id + 1]);
      const isSame = Buffer.compare(bytesOf(bytes, offsets), bytesOf(pieces.bytes, pieces.offsets)) === 0;
      return !isSame || bits !== ((pieces.attributes[id] ?? 0) & NATIVE_BITS);
    });
    if (wrong >= 0) throw new Error(`${this.name}: token ${wrong} is another in the library`);
    if (bos !== this.theirs.bos || eos !== this.theirs.eos)
      throw new Error(`${this.name}: ${bos} and ${eos} frame texts`);
  }

  /** Throws unless both sides make the same of a text, in which special tokens are parsed. */
  async compare(text: string): Promise<void> {
    await this.#expectSame(text, (part) => this.#idsOf(part));
    await this.#expectSame(text, (part) => this.#idsOf(part, true));
  }

  /** Compares a text as `compare` does, its UTF-8 sometimes, and prompts around it where it is short. */
  async compareRandomly(text: string, seed: bigint): Promise<void> {
    const says = ` (FUZZ_SEED=${seed} begins with it)`;
    const asUtf8 = new SeededChance(seed).next() < 0.1;
    await this.#expectSame(text, (part) => this.#idsOf(part, asUtf8), says);
    if (text.length > PROMPT_UNITS || this.#controls.length === 0) return;
    await this.#expectSame(text, (part) => this.#promptIdsOf(part, seed), ` in a prompt${says}`);
  }

  /** The ids of a text as the frontend makes them, without the tokens around it. */
  async plainIds(text: string): Promise<Uint32Array> {
    const { first, last } = this.#frame;
    const ids = await this.#text.encodeText(text);
    return ids.subarray(first.length, ids.length - last.length);
  }

  /** Closes both sides. */
  async close(): Promise<void> {
    this.theirs.close();
    await this.#text.close();
  }

  async #idsOf(text: string, asUtf8 = false): Promise<Ids> {
    const utf8 = Buffer.from(text);
    const theirs = this.theirs.tokenize(utf8, { parseSpecial: true, addSpecial: true });
    return { ours: await this.#text.encodeText(asUtf8 ? utf8 : text), theirs };
  }

  /** A prompt with the text as its content, cut into messages. Between control tokens the library looks for none. */
  async #promptIdsOf(text: string, seed: bigint): Promise<Ids> {
    const { prompt, parts } = makePrompt(text, this.#controls, new SeededChance(seed));
    const [first] = this.#frame.first;
    const theirs = first === undefined || parts[0] === first ? [] : [first];
    for (const part of parts) {
      if (typeof part === "number") theirs.push(part);
      else for (const id of this.theirs.tokenize(part, { parseSpecial: false })) theirs.push(id);
    }
    return { ours: await this.#text.encodePrompt(prompt), theirs: Uint32Array.from(theirs) };
  }

  async #expectSame(text: string, idsOf: (part: string) => Promise<Ids>, says = ""): Promise<void> {
    const differs = async (part: string): Promise<boolean> => {
      const { ours, theirs } = await idsOf(part);
      return differ(ours, theirs);
    };
    if (!(await differs(text))) return;
    const shortest = await shortestWith(text, differs);
    const { ours, theirs } = await idsOf(shortest);
    const sides = `${ours.join(" ")} here and ${theirs.join(" ")} in the library`;
    throw new Error(`${this.name}${says}: ${JSON.stringify(shortest)} is ${sides}`);
  }
}

/** Whether two lists of ids are not the same. */
export function differ(one: Uint32Array, other: Uint32Array): boolean {
  return one.length !== other.length || one.some((id, at) => id !== other[at]);
}

/** A prompt whose contents are the text, and the parts that the library is to encode: control tokens and what is between. */
function makePrompt(
  text: string,
  controls: readonly SpecialToken[],
  chance: Chance,
): { prompt: RenderedPrompt; parts: (number | string)[] } {
  const content: number[] = [];
  const parts: (number | string)[] = [];
  let whole = "";
  let from = 0;
  while (from < text.length || parts.length === 0) {
    const control = controls[pick(chance, controls.length)]!;
    // One that eats white space meets none.
    const guard = (control.bits & (TOKEN_BIT.stripLeft | TOKEN_BIT.stripRight)) !== 0 ? "x" : "";
    const end = from + 1 + pick(chance, text.length);
    const head = guard + (chance.next() < 0.5 ? "user\n" : "");
    const said = text.slice(from, end);
    const start = whole.length + control.text.length + head.length;
    content.push(start, start + said.length);
    parts.push(control.id, head + said + guard);
    whole += control.text + head + said + guard;
    from = end;
  }
  return { prompt: { text: whole, content }, parts };
}

import { boolField, i32sField, stringField, stringsField, u32Field, writeGguf } from "#lib/text/gguf-write";
import { byteCharacters } from "#lib/text/pieces";
import { allWords } from "./text.ts";

/** Tokens of the vocabularies that benchmarks look at, special ones included. */
export const VOCABULARY_SIZES = { "2k": 2_048, "32k": 32_768, "128k": 131_072 } as const;

/** Name of a vocabulary. */
export type VocabularyName = keyof typeof VOCABULARY_SIZES;

/** Longest context of a model with such a vocabulary. */
export const CONTEXT_TOKENS = 131_072;

const SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const TEMPLATE =
  "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/** What merges never cross, roughly as the word rules of real vocabularies have it. */
const WORD = /[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+/gu;
/** A pair of symbols is one number: no vocabulary has as many as this. */
const SYMBOLS = 2 ** 20;
/** Of the pairs of a round, the part that is merged before they are counted anew. */
const ROUND_SHARE = 1 / 12;

/** Every word of the texts, in the symbols that it has so far: bytes at first. */
function startingWords(): Int32Array[] {
  const encoder = new TextEncoder();
  const pieces = allWords().flatMap((word) => [` ${word}`, word].flatMap((form) => form.match(WORD) ?? []));
  return [...new Set(pieces)].map((piece) => Int32Array.from(encoder.encode(piece)));
}

/** Puts one symbol in place of each chosen pair of a word. */
function mergeIn(word: Int32Array, chosen: ReadonlyMap<number, number>): Int32Array {
  let length = 0;
  for (let at = 0; at < word.length; at++) {
    const merged = chosen.get(word[at]! * SYMBOLS + (word[at + 1] ?? -1));
    word[length++] = merged ?? word[at]!;
    if (merged !== undefined) at++;
  }
  return word.subarray(0, length);
}

/** Merges in order, as pairs of symbols; the symbol that a merge makes is 256 and its place. */
function learnMerges(count: number): [left: number, right: number][] {
  const merges: [number, number][] = [];
  const made = new Set<string>();
  const texts: string[] = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
  let words = startingWords();
  while (merges.length < count) {
    const seen = new Map<number, number>();
    for (const word of words) {
      for (let at = 1; at < word.length; at++) {
        const pair = word[at - 1]! * SYMBOLS + word[at]!;
        seen.set(pair, (seen.get(pair) ?? 0) + 1);
      }
    }
    const most = Math.max(200, Math.ceil(seen.size * ROUND_SHARE));
    const best = [...seen].sort((one, other) => other[1] - one[1] || one[0] - other[0]).slice(0, most);
    const chosen = new Map<number, number>();
    for (const [pair] of best) {
      const [left, right] = [Math.floor(pair / SYMBOLS), pair % SYMBOLS];
      const text = texts[left]! + texts[right]!;
      if (merges.length === count || made.has(text)) continue;
      made.add(text);
      chosen.set(pair, texts.push(text) - 1);
      merges.push([left, right]);
    }
    if (chosen.size === 0) throw new Error(`The texts have no more than ${merges.length} merges`);
    words = words.map((word) => mergeIn(word, chosen)).filter((word) => word.length > 1);
  }
  return merges;
}

/** Token texts in the form of the file, in the order of their ids. */
function tokenTexts(merges: readonly (readonly [number, number])[]): string[] {
  const texts = [...byteCharacters()];
  for (const [left, right] of merges) texts.push(texts[left]! + texts[right]!);
  return texts;
}

/**
 * Every way to put a token together from two that come before it, as files have it whose vocabulary was a list of ranks
 * (Llama 3 has 280,147 merges for 128,000 tokens): what a process keeps grows with them.
 */
function allSplits(texts: readonly string[]): string[] {
  const rank = new Map(texts.map((text, id) => [text, id]));
  return texts.slice(256).flatMap((text, at) => {
    const splits: string[] = [];
    for (let cut = 1; cut < text.length; cut++) {
      const [left, right] = [text.slice(0, cut), text.slice(cut)];
      const id = at + 256;
      if ((rank.get(left) ?? id) < id && (rank.get(right) ?? id) < id) splits.push(`${left} ${right}`);
    }
    return splits;
  });
}

/** The fields of a model file with a byte-level vocabulary of this size, learned from the words of the benchmarks. */
export function vocabularyFields(size: number) {
  const texts = tokenTexts(learnMerges(size - 256 - SPECIALS.length));
  const tokens = [...texts, ...SPECIALS];
  const types = tokens.map((_, id) => (id < texts.length ? 1 : 3));
  return [
    stringField("tokenizer.ggml.model", "gpt2"),
    stringField("tokenizer.ggml.pre", "llama-bpe"),
    stringsField("tokenizer.ggml.tokens", tokens),
    i32sField("tokenizer.ggml.token_type", types),
    stringsField("tokenizer.ggml.merges", allSplits(texts)),
    u32Field("tokenizer.ggml.bos_token_id", tokens.indexOf("<|endoftext|>")),
    u32Field("tokenizer.ggml.eos_token_id", tokens.indexOf("<|im_end|>")),
    boolField("tokenizer.ggml.add_bos_token", false),
    stringField("tokenizer.chat_template", TEMPLATE),
  ];
}

/** A model file without weights: for mocks, and for whoever reads the vocabulary alone. */
export function vocabularyModel(name: VocabularyName): Uint8Array {
  return writeGguf([
    stringField("general.architecture", "llama"),
    stringField("general.name", `bench-${name}`),
    u32Field("llama.context_length", CONTEXT_TOKENS),
    ...vocabularyFields(VOCABULARY_SIZES[name]),
  ]);
}

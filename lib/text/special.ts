import type { Vocabulary } from "./vocabulary.ts";

/** Bits that say what a token is. The first five are those of the native piece table. */
export const TOKEN_BIT = {
  control: 1,
  endOfGeneration: 2,
  byte: 4,
  userDefined: 8,
  unused: 16,
  unknown: 32,
  /** Eats the white space before it. */
  stripLeft: 64,
  /** Eats the white space after it. */
  stripRight: 128,
} as const;

/** A token that is found in text as a whole, before anything else is cut. */
export interface SpecialToken {
  /** Of the vocabulary. */
  readonly id: number;
  /** As it stands in text, such as `<|im_end|>`. */
  readonly text: string;
  /** {@link TOKEN_BIT}. */
  readonly bits: number;
}

const TYPE_BITS: Readonly<Record<number, number>> = {
  2: TOKEN_BIT.unknown,
  3: TOKEN_BIT.control,
  4: TOKEN_BIT.userDefined,
  5: TOKEN_BIT.unused,
  6: TOKEN_BIT.byte,
};

/**
 * Texts by which llama.cpp 0.5.0 recognizes tokens whatever their declared type: they become control tokens. Those of
 * `end` end a generation. A fill-in-the-middle role takes one token, and only where the file names none.
 */
const KNOWN = {
  end: [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
  ],
  userDefined: ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"],
} as const;

const FILL_IN: readonly (readonly [keys: readonly string[], ends: boolean, texts: readonly string[]])[] = [
  [
    ["fim_pre", "prefix"],
    false,
    [
      "<|fim_prefix|>",
      "<fim-prefix>",
      "<fim_prefix>",
      "<｜fim▁begin｜>",
      "<PRE>",
      "▁<PRE>",
      "<|code_prefix|>",
      "<|prefix|>",
    ],
  ],
  [
    ["fim_suf", "suffix"],
    false,
    [
      "<|fim_suffix|>",
      "<fim-suffix>",
      "<fim_suffix>",
      "<｜fim▁hole｜>",
      "<SUF>",
      "▁<SUF>",
      "<|code_suffix|>",
      "<|suffix|>",
    ],
  ],
  [
    ["fim_mid", "middle"],
    false,
    [
      "<|fim_middle|>",
      "<fim-middle>",
      "<fim_middle>",
      "<｜fim▁end｜>",
      "<MID>",
      "▁<MID>",
      "<|code_middle|>",
      "<|middle|>",
    ],
  ],
  [["fim_pad"], true, ["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]],
  [["fim_rep"], true, ["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"]],
  [["fim_sep"], true, ["<|file_sep|>"]],
];

/** What the marking of tokens works on. */
interface Marking {
  readonly bits: Uint8Array;
  readonly vocabulary: Vocabulary;
}

function mark({ bits }: Marking, id: number, bit: number): void {
  bits[id] = (bits[id] ?? 0) | bit;
}

function markFillIn(marking: Marking): void {
  const { vocabulary } = marking;
  for (const [keys, ends, texts] of FILL_IN) {
    let id = keys.map((key) => vocabulary.ids.get(key)).find((each) => each !== undefined);
    if (id === undefined) {
      const found = texts.map((text) => vocabulary.texts.find(text)).filter((each) => each !== undefined);
      if (found.length === 0) continue;
      // The library takes whichever comes first in its hash table; with one candidate that is this one.
      id = Math.min(...found);
      mark(marking, id, TOKEN_BIT.control);
    }
    if (ends) mark(marking, id, TOKEN_BIT.endOfGeneration);
  }
}

function markEnds(marking: Marking): void {
  const { bits, vocabulary } = marking;
  for (const text of KNOWN.end) {
    const id = vocabulary.texts.find(text);
    if (id !== undefined) mark(marking, id, TOKEN_BIT.control | TOKEN_BIT.endOfGeneration);
  }
  for (const text of KNOWN.userDefined) {
    const id = vocabulary.texts.find(text);
    if (id !== undefined) bits[id] = TOKEN_BIT.userDefined | ((bits[id] ?? 0) & TOKEN_BIT.endOfGeneration);
  }
  const ids = ["eos", "eot", "eom"].map((key) => vocabulary.ids.get(key));
  for (const id of [defaultEos(vocabulary), ...ids]) {
    if (id !== undefined) mark(marking, id, TOKEN_BIT.endOfGeneration);
  }
  const ends = (text: string): boolean => {
    const id = vocabulary.texts.find(text);
    return id !== undefined && ((bits[id] ?? 0) & TOKEN_BIT.endOfGeneration) !== 0;
  };
  const calls = ends("<|call|>") || ends("<|calls|>");
  if (calls && ends("<|end|>") && (ends("<|return|>") || ends("<|flush|>"))) {
    bits[vocabulary.texts.find("<|end|>") ?? 0] = TOKEN_BIT.userDefined;
  }
  if (ends("<|tool_response>") && ends("</s>")) bits[vocabulary.texts.find("</s>") ?? 0] = 0;
}

/** The end token that the library assumes where the file names none. */
function defaultEos(vocabulary: Vocabulary): number | undefined {
  if (vocabulary.ids.has("eos")) return undefined;
  const id = { gpt2: 11, llama: 2, gemma4: undefined, bert: undefined, t5: 1 }[vocabulary.kind];
  return id !== undefined && id < vocabulary.size ? id : undefined;
}

function markStripping(marking: Marking): void {
  const { bits, vocabulary } = marking;
  const { nameHint, pre } = vocabulary;
  const left = (text: string) => {
    const id = vocabulary.texts.find(text);
    if (id !== undefined) mark(marking, id, TOKEN_BIT.stripLeft);
  };
  if (["jina-v2-de", "jina-v2-es", "jina-v2-code"].some((each) => pre.includes(each))) left("<mask>");
  else if (nameHint === "modern-bert") left("[MASK]");
  else if (nameHint !== undefined) {
    for (let id = 0; id < bits.length; id++) if (isSpecial(bits[id] ?? 0)) mark(marking, id, TOKEN_BIT.stripRight);
    const end = vocabulary.texts.find("</s>");
    if (end !== undefined) mark(marking, end, TOKEN_BIT.stripRight);
    for (const text of ["<unk>", "<s>", "<|endoftext|>"]) {
      const id = vocabulary.texts.find(text);
      if (id !== undefined) bits[id] = (bits[id] ?? 0) & ~TOKEN_BIT.stripRight;
    }
  }
}

function isSpecial(bits: number): boolean {
  return (bits & (TOKEN_BIT.control | TOKEN_BIT.userDefined | TOKEN_BIT.unknown)) !== 0;
}

/** What each token is, one value of {@link TOKEN_BIT} bits per id, by the rules of llama.cpp 0.5.0. */
export function tokenBits(vocabulary: Vocabulary): Uint8Array {
  const bits = Uint8Array.from({ length: vocabulary.size }, (_, id) => TYPE_BITS[vocabulary.types[id] ?? 1] ?? 0);
  const marking = { bits, vocabulary };
  markFillIn(marking);
  for (let id = 0; id < bits.length; id++) {
    const control = ((bits[id] ?? 0) & TOKEN_BIT.control) !== 0;
    if (control && vocabulary.texts.text(id).includes("unused")) mark(marking, id, TOKEN_BIT.unused);
  }
  markEnds(marking);
  markStripping(marking);
  return bits;
}

/**
 * The tokens that are searched for in text, in the order in which they are: longest (in bytes of UTF-8) first.
 * `bits` is that of {@link tokenBits}.
 */
export function specialTokens(vocabulary: Vocabulary, bits: Uint8Array): SpecialToken[] {
  const found: { token: SpecialToken; byteLength: number }[] = [];
  const encoder = new TextEncoder();
  for (let id = 0; id < vocabulary.size; id++) {
    if (!isSpecial(bits[id] ?? 0)) continue;
    const text = vocabulary.texts.text(id);
    found.push({ token: { id, text, bits: bits[id] ?? 0 }, byteLength: encoder.encode(text).length });
  }
  return found.sort((left, right) => right.byteLength - left.byteLength).map(({ token }) => token);
}

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { StatorError } from "#lib/base/errors";
import { byteCharacters } from "./pieces.ts";
import type { SegmentEncoder } from "./tokenizer.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** How text is cut into words before merging, by the name of the rule in the file. */
interface WordRule {
  readonly names: readonly string[];
  readonly pattern: string;
  /** A word that is a token is one, whatever the merges say. */
  readonly ignoreMerges?: boolean;
}

const CONTRACTIONS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const TAIL = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const THREE_DIGITS = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${TAIL}`;
const ONE_DIGIT = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${TAIL}`;

const WORD_RULES: readonly WordRule[] = [
  {
    names: ["gpt-2", "phi-2", "gigachat", "a.x-4.0", "mellum", "exaone4", "mpt", "olmo", "jais", "trillion"],
    pattern: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  },
  {
    names: ["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
    pattern: THREE_DIGITS,
    ignoreMerges: true,
  },
  { names: ["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], pattern: THREE_DIGITS },
  {
    names: ["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open"],
    pattern: ONE_DIGIT,
  },
];

/**
 * The rule by which a byte-level vocabulary cuts text into words, as a global pattern; undefined where it is not known,
 * or where words do not decide (a vocabulary of another kind).
 */
export function wordRule(vocabulary: Vocabulary): RegExp | undefined {
  const rule = vocabulary.kind === "gpt2" && WORD_RULES.find(({ names }) => names.includes(vocabulary.pre));
  return rule ? new RegExp(rule.pattern, "gu") : undefined;
}

function unsupported(vocabulary: Vocabulary, detail: string): StatorError {
  return new StatorError("UNSUPPORTED_FEATURE", {
    feature: `Tokenizing for ${vocabulary.name} without the native layer`,
    detail: `${detail}; npm run build:native makes it possible`,
  });
}

function mergeTexts(vocabulary: Vocabulary): string[] {
  const merges = vocabulary.merges();
  if (!merges) return [];
  const { bytes, starts, ends } = merges;
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return Array.from(starts, (start, at) => decoder.decode(bytes.subarray(start, ends[at])));
}

/** Splits merges at their space and leaves repeated ones out: the first counts. */
function mergePairs(vocabulary: Vocabulary, ids: ReadonlyMap<string, number>): [string, string][] {
  const seen = new Set<string>();
  const pairs: [string, string][] = [];
  for (const merge of mergeTexts(vocabulary)) {
    const space = merge.indexOf(" ", 1);
    if (space < 0 || seen.has(merge)) continue;
    seen.add(merge);
    const left = merge.slice(0, space);
    const right = merge.slice(space + 1);
    if (!ids.has(left + right)) throw unsupported(vocabulary, `its merge "${merge.slice(0, 40)}" makes no token`);
    pairs.push([left, right]);
  }
  return pairs;
}

/**
 * The vocabulary as a tokenizer.json, without special tokens: text is cut at those before it comes to it. Throws
 * UNSUPPORTED_FEATURE with the reason for a vocabulary that cannot be written so.
 */
export function tokenizerJson(vocabulary: Vocabulary): object {
  if (vocabulary.kind !== "gpt2") throw unsupported(vocabulary, `its tokenizer is of the kind ${vocabulary.kind}`);
  const rule = WORD_RULES.find(({ names }) => names.includes(vocabulary.pre));
  if (!rule) throw unsupported(vocabulary, `its word rule "${vocabulary.pre.slice(0, 40)}" is not known`);
  const ids = new Map(Array.from({ length: vocabulary.size }, (_, id) => [vocabulary.texts.text(id), id]));
  if (byteCharacters().some((character) => !ids.has(character))) {
    throw unsupported(vocabulary, "its vocabulary does not cover every byte");
  }
  return {
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: rule.pattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: null,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: rule.ignoreMerges ?? false,
      vocab: Object.fromEntries(ids),
      merges: mergePairs(vocabulary, ids),
    },
  };
}

/**
 * An encoder in JavaScript alone, for byte-level vocabularies whose word rule is known; about six times slower than the
 * native one, with equal results. Blocks the thread while it loads (half a second for 100,000 tokens) and encodes
 * (about 0.4 M tokens per second). Throws UNSUPPORTED_FEATURE with the reason for other vocabularies.
 */
export function createBytePairEncoder(vocabulary: Vocabulary): SegmentEncoder {
  const library = new LibraryTokenizer(tokenizerJson(vocabulary), {});
  return {
    encode(text) {
      return text === ""
        ? new Uint32Array(0)
        : Uint32Array.from(library.encode(text, { add_special_tokens: false }).ids);
    },
  };
}

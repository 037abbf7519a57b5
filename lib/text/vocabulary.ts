import { equalBytes } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { characterMapFault } from "./character-map.ts";
import {
  badModelFile,
  endAtNul,
  GGUF_TYPE,
  type GgufEntry,
  type GgufHeader,
  type GgufSpans,
  ggufBool,
  ggufF32s,
  ggufI32s,
  ggufSpans,
  ggufString,
  ggufU32,
  parseGgufHeader,
} from "./gguf.ts";
import { type GgufField, stringField, writeGguf } from "./gguf-write.ts";
import { type Strings, TokenTexts } from "./token-texts.ts";

/** Format of the artifact that {@link extractVocabulary} makes, as it stands in a model card. */
export const VOCABULARY_FORMAT = "gguf-vocabulary-v1";

/** Format of the chat template artifact: Jinja source as UTF-8. */
export const TEMPLATE_FORMAT = "jinja";

/** Kinds of tokenizer that may reach native code. Others have loaders that trust their input. */
export const TOKENIZER_KINDS = ["gpt2", "llama", "gemma4", "bert", "t5"] as const;

/** One of {@link TOKENIZER_KINDS}. */
export type TokenizerKind = (typeof TOKENIZER_KINDS)[number];

const P = "tokenizer.ggml.";
const { u8, i8, u32, bool, string, array, i32, f32 } = GGUF_TYPE;

/** A key with its type and the element types that it may have. */
type Key = readonly [key: string, type: number, ...elementTypes: number[]];

/** Every key that an artifact of any kind may hold after its head, in order. */
const KEYS: readonly Key[] = [
  [`${P}model`, string, string],
  [`${P}pre`, string, string],
  [`${P}tokens`, array, string],
  [`${P}token_type`, array, i32],
  [`${P}token_type_count`, u32, u32],
  [`${P}scores`, array, f32],
  [`${P}merges`, array, string],
  ...["bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask", "cls"].map(
    (name) => [`${P}${name}_token_id`, u32, u32] as const,
  ),
  ...["fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep", "prefix", "suffix", "middle"].map(
    (name) => [`${P}${name}_token_id`, u32, u32] as const,
  ),
  ...["add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces"].map(
    (name) => [`${P}${name}`, bool, bool] as const,
  ),
  [`${P}normalizer.lowercase`, bool, bool],
  [`${P}normalizer.strip_accents`, bool, bool],
];

const CHARACTER_MAP = `${P}precompiled_charsmap`;
const UNIGRAM_KEYS: readonly Key[] = [...KEYS, [CHARACTER_MAP, array, u8, i8]];

/** The keys of an artifact: what a kind does not read stays out of it. */
function keysOf(kind: TokenizerKind): readonly Key[] {
  return kind === "t5" ? UNIGRAM_KEYS : KEYS;
}

/** Model names that change how the library strips spaces around special tokens; nothing else of a name matters. */
const NAME_HINTS = ["phi-3", "phi3", "modern-bert"] as const;

/** A vocabulary as its file has it; it borrows the bytes of the file. */
export interface Vocabulary {
  /** For error sentences. */
  readonly name: string;
  /** Which rules turn text into its tokens. */
  readonly kind: TokenizerKind;
  /** Name of the rule that cuts text into words before merging; empty when the file has none. */
  readonly pre: string;
  /** Part of the model's name that the special-token rules look at. */
  readonly nameHint: string | undefined;
  /** Tokens; ids lie below it. */
  readonly size: number;
  /** Of all tokens, in the form of the file: byte-level, or with a mark for spaces. */
  readonly texts: TokenTexts;
  /** 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly types: Int32Array;
  /** Ids by the key's short name, such as `bos`, `eos`, `eot`; absent ones are missing. */
  readonly ids: ReadonlyMap<string, number>;
  /** Whether a begin token is put in front; undefined leaves that to the kind. */
  readonly addBos: boolean | undefined;
  /** Whether an end token is put behind; undefined leaves that to the kind. */
  readonly addEos: boolean | undefined;
  /** The merges, `left right` each, first rank first, found anew by each call; undefined where the file has none. */
  readonly merges: () => Strings | undefined;
  /** Scores of all tokens, copied anew by each call; undefined where the file has none. */
  readonly scores: () => Float32Array | undefined;
  /** Id of the token for what has none; undefined where neither the file nor the library names one. */
  readonly unknown: number | undefined;
  /** How text is changed before it is cut. */
  readonly normal: NormalForm;
  /** What characters are replaced by before that, precompiled, as the file has it; borrowed. Undefined for nothing. */
  readonly characterMap: Uint8Array | undefined;
}

/** How a vocabulary's text is changed before it is cut into pieces; each is what the library assumes where a file is silent. */
export interface NormalForm {
  /** A space goes in front of text that begins, or that follows a special token. */
  readonly addSpacePrefix: boolean;
  /** Runs of spaces become one, those at the ends go. */
  readonly removeExtraSpaces: boolean;
  /** Capital letters become small ones. */
  readonly lowercase: boolean;
  /** Accents are taken off. */
  readonly stripAccents: boolean;
}

function fail(header: GgufHeader, detail: string): never {
  throw badModelFile(header.name, detail);
}

function kindOf(header: GgufHeader): TokenizerKind {
  const model = ggufString(header, `${P}model`);
  if (model === undefined) fail(header, "it has no tokenizer");
  const kind = TOKENIZER_KINDS.find((each) => each === model);
  if (kind) return kind;
  throw new StatorError("UNSUPPORTED_FEATURE", {
    feature: `A tokenizer of the kind ${model.slice(0, 40)}`,
    detail: `choose a model with one of the known kinds ${TOKENIZER_KINDS.join(", ")}`,
  });
}

function checkBytesPresent(header: GgufHeader, texts: TokenTexts): void {
  for (let byte = 0; byte < 256; byte++) {
    const code = `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
    if (texts.find(code) === undefined) fail(header, `its vocabulary has no token ${code}`);
  }
}

function idsOf(header: GgufHeader, size: number): Map<string, number> {
  const ids = new Map<string, number>();
  for (const [key, type] of KEYS) {
    if (type !== u32 || !key.endsWith("_token_id")) continue;
    const id = ggufU32(header, key);
    if (id !== undefined && id < size) ids.set(key.slice(P.length, -"_token_id".length), id);
  }
  return ids;
}

/**
 * Checks what can be told without a look at the tokens: the kind is known, no key is of another type, tokens and merges are
 * there, or the scores of a kind that is nothing without them. Returns the kind and the places of the tokens' texts.
 * Throws BAD_MODEL_FILE, or UNSUPPORTED_FEATURE for a foreign kind.
 */
export function checkVocabularyKeys(header: GgufHeader): { readonly kind: TokenizerKind; readonly spans: GgufSpans } {
  const kind = kindOf(header);
  for (const [key, type, ...elementTypes] of keysOf(kind)) {
    const entry = header.entries.get(key);
    if (entry && (entry.type !== type || !elementTypes.includes(entry.elementType))) {
      fail(header, `${key} has another type`);
    }
  }
  const spans = ggufSpans(header, `${P}tokens`);
  if (!spans || spans.starts.length === 0) fail(header, "it has no vocabulary");
  if ((kind === "gpt2" || kind === "gemma4") && !header.entries.has(`${P}merges`)) fail(header, "it has no merges");
  if (kind === "t5" && !header.entries.has(`${P}scores`)) fail(header, "it has no scores");
  return { kind, spans };
}

/** The unknown tokens that the library assumes where the file names none. */
const DEFAULT_UNKNOWN = { gpt2: undefined, llama: 0, gemma4: undefined, bert: 100, t5: 2 } as const;

function normalFormOf(header: GgufHeader, kind: TokenizerKind): NormalForm {
  const flag = (name: string) => ggufBool(header, `${P}${name}`);
  const lowercase = flag("normalizer.lowercase") ?? true;
  return {
    addSpacePrefix: flag("add_space_prefix") ?? kind === "llama",
    removeExtraSpaces: flag("remove_extra_whitespaces") ?? false,
    lowercase,
    stripAccents: flag("normalizer.strip_accents") ?? lowercase,
  };
}

function characterMapOf(header: GgufHeader): Uint8Array | undefined {
  const entry = header.entries.get(CHARACTER_MAP);
  if (!entry) return undefined;
  const map = header.bytes.subarray(entry.startByte, entry.endByte);
  const fault = characterMapFault(map);
  if (fault !== undefined) fail(header, fault);
  return map;
}

function mergesOf(header: GgufHeader): Strings | undefined {
  const spans = ggufSpans(header, `${P}merges`);
  if (!spans) return undefined;
  endAtNul(header.bytes, spans);
  return { bytes: header.bytes, ...spans };
}

/** Reads and checks the vocabulary of a header. Throws BAD_MODEL_FILE, or UNSUPPORTED_FEATURE for a foreign kind. */
export function readVocabulary(header: GgufHeader): Vocabulary {
  const { kind, spans } = checkVocabularyKeys(header);
  const size = spans.starts.length;
  // Without these checks the library would abort the process.
  const texts = new TokenTexts(header.bytes, spans);
  if (texts.double !== undefined) fail(header, `its vocabulary holds token ${texts.double} twice`);
  const types = ggufI32s(header, `${P}token_type`) ?? new Int32Array(size).fill(1);
  if (types.length < size) fail(header, "it has fewer token types than tokens");
  if ((header.entries.get(`${P}scores`)?.count ?? size) < size) fail(header, "it has fewer scores than tokens");
  if (kind === "llama") checkBytesPresent(header, texts);
  const ids = idsOf(header, size);
  const unknown = ids.get("unknown") ?? DEFAULT_UNKNOWN[kind];
  const modelName = ggufString(header, "general.name")?.toLowerCase() ?? "";
  return {
    name: header.name,
    kind,
    pre: ggufString(header, `${P}pre`) ?? "",
    nameHint: NAME_HINTS.find((hint) => modelName.includes(hint)),
    size,
    texts,
    types,
    ids,
    addBos: ggufBool(header, `${P}add_bos_token`),
    addEos: ggufBool(header, `${P}add_eos_token`),
    merges: () => mergesOf(header),
    scores: () => ggufF32s(header, `${P}scores`),
    unknown: unknown !== undefined && unknown < size ? unknown : undefined,
    normal: normalFormOf(header, kind),
    characterMap: kind === "t5" ? characterMapOf(header) : undefined,
  };
}

function copyField(header: GgufHeader, key: string, entry: GgufEntry): GgufField {
  const content = header.bytes.subarray(entry.startByte, entry.endByte);
  if (entry.type !== array) return { key, type: entry.type, content };
  return { key, type: entry.type, elementType: entry.elementType, count: entry.count, content };
}

/**
 * The vocabulary of a model as a GGUF file of its own: no tensors, no name, no template, keys in a fixed order, so that
 * models with the same vocabulary give the same bytes whatever their weights. The library loads it vocabulary-only.
 * Throws BAD_MODEL_FILE, or UNSUPPORTED_FEATURE for a foreign kind of tokenizer.
 * @param vocabulary that of the header, where it was read already
 */
export function extractVocabulary(header: GgufHeader, vocabulary = readVocabulary(header)): Uint8Array {
  return writeArtifact(header, vocabulary);
}

function writeArtifact(header: GgufHeader, { kind, nameHint }: Vocabulary): Uint8Array {
  const fields = [stringField("general.architecture", "llama")];
  if (nameHint !== undefined) fields.push(stringField("general.name", nameHint));
  for (const [key] of keysOf(kind)) {
    const entry = header.entries.get(key);
    if (entry) fields.push(copyField(header, key, entry));
  }
  return writeGguf(fields);
}

/**
 * Checks an artifact that came from elsewhere before native code sees it: it must be exactly what
 * {@link extractVocabulary} makes of it, so no other key, type, order, tensor or trailing byte gets through. Returns the
 * vocabulary, which borrows the bytes. Throws BAD_MODEL_FILE or UNSUPPORTED_FEATURE.
 * @param name what to call it in an error sentence
 */
export function checkVocabulary(bytes: Uint8Array, name = "The vocabulary"): Vocabulary {
  const header = parseGgufHeader(bytes, name);
  const vocabulary = readVocabulary(header);
  if (!equalBytes(writeArtifact(header, vocabulary), bytes)) fail(header, "it is not a plain vocabulary");
  return vocabulary;
}

/** The chat template of a model file; undefined when it has none. */
export function chatTemplateOf(header: GgufHeader): string | undefined {
  return ggufString(header, "tokenizer.chat_template");
}

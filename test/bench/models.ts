import { readFileSync } from "node:fs";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { loadNative, type NativeAddon } from "#lib/native/addon";
import { parseGgufHeader } from "#lib/text/gguf";
import { readTokens } from "#lib/text/tokenizer";
import { checkVocabulary, extractVocabulary, VOCABULARY_FORMAT, type Vocabulary } from "#lib/text/vocabulary";
import { TokenLines } from "#lib/tokens/token-line";
import type { ModelText } from "#services/frontend/text/model-text";
import { Gate, type PromptEncoder } from "#services/frontend/tokenize/encoder";
import { openNativeEncoder } from "#services/frontend/tokenize/native-encoder";
import { createTextOpener } from "#services/frontend/tokenize/open-text";
import { fetchRealVocabularies } from "../support/real-vocabularies.ts";

/** Vocabularies of real models by how many tokens they have. */
const REAL_VOCABULARIES = { "152k": "qwen2", "128k": "llama-bpe", "32k-scored": "llama-spm" } as const;

/** One of them. */
export type RealVocabularySize = keyof typeof REAL_VOCABULARIES;

/** What the frontend opens a model's texts with. */
export interface TextModel {
  readonly addon: NativeAddon;
  /** The artifact of the vocabulary. */
  readonly bytes: Uint8Array;
  readonly vocabulary: Vocabulary;
}

/** The file of such a vocabulary, or why a case has to be skipped. */
export function realVocabularyFile(
  size: RealVocabularySize,
): { readonly path: string } | { readonly path: undefined; readonly reason: string } {
  const name = REAL_VOCABULARIES[size];
  try {
    const file = fetchRealVocabularies().find((each) => each.name === name);
    return file ? { path: file.path } : { path: undefined, reason: `There is no vocabulary ${name}` };
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : error;
    return { path: undefined, reason: `its vocabulary cannot be had: ${why}` };
  }
}

/** A model with such a vocabulary, or why a case has to be skipped. */
export function realModel(size: RealVocabularySize): TextModel | string {
  const native = loadNative();
  if (!native.addon) return native.unavailable;
  const file = realVocabularyFile(size);
  if (file.path === undefined) return file.reason;
  const bytes = extractVocabulary(parseGgufHeader(readFileSync(file.path), size));
  return { addon: native.addon, bytes, vocabulary: checkVocabulary(bytes) };
}

/** What the frontend holds for what was encoded before, unless told otherwise. */
const CACHE_BYTES = 16 << 20;

/** Opens the encoder that the frontend uses. Throws where the addon does not know the vocabulary. */
export async function openFrontendEncoder({ addon, bytes, vocabulary }: TextModel): Promise<PromptEncoder> {
  const encoder = await openNativeEncoder(vocabulary, bytes, {
    specials: readTokens(vocabulary).specials,
    ...{ addon, library: () => undefined, gate: new Gate(256), cacheBytes: CACHE_BYTES, lines: new TokenLines(addon) },
    onLibrary: (why) => {
      throw new Error(why);
    },
  });
  if (!encoder) throw new Error("The addon does not know the vocabulary");
  return encoder;
}

/** Opens a model's texts as the frontend does, with a chat template. */
export function openModelText(
  { addon, bytes }: TextModel,
  template: string,
  lines = new TokenLines(addon),
): Promise<ModelText> {
  const opener = createTextOpener({ addon, lines, clock: systemClock, log: silentLog });
  return opener.open({ tokenizer: bytes, tokenizerFormat: VOCABULARY_FORMAT, template });
}

/** Tokens in a block of what is hashed. */
export const BLOCK_TOKENS = 16;

/** The hashes of every block of a prompt, one for all that is before it. */
export function hashesOf(addon: NativeAddon, ids: Uint32Array): BigUint64Array {
  const blocks = Math.floor(ids.length / BLOCK_TOKENS);
  const sequence = new BigUint64Array(blocks);
  addon.hashBlocks(ids, BLOCK_TOKENS, 1337n, new BigUint64Array(blocks), sequence);
  return sequence;
}

/** A template that writes control tokens around each message. */
export const MARKS_TEMPLATE =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/** A template that writes no control token at all. */
export const PLAIN_TEMPLATE =
  "{% for m in messages %}{{ 'User' if m.role == 'user' else 'Assistant' }}: {{ m.content }}\n{% endfor %}" +
  "{% if add_generation_prompt %}Assistant:{% endif %}";

import { readFileSync } from "node:fs";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { loadNative, type NativeAddon } from "#lib/native/addon";
import { parseGgufHeader } from "#lib/text/gguf";
import { readTokens } from "#lib/text/tokenizer";
import { checkVocabulary, extractVocabulary, VOCABULARY_FORMAT, type Vocabulary } from "#lib/text/vocabulary";
import { PromptHashes } from "#lib/tokens/prompt-hashes";
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
    ...{ addon, library: () => undefined, gate: new Gate(256), cacheBytes: CACHE_BYTES },
    onLibrary: (why) => {
      throw new Error(why);
    },
  });
  if (!encoder) throw new Error("The addon does not know the vocabulary");
  return encoder;
}

/** Opens a model's texts as the frontend does, with a chat template. */
export function openModelText({ addon, bytes }: TextModel, template: string): Promise<ModelText> {
  const opener = createTextOpener({ addon, clock: systemClock, log: silentLog });
  return opener.open({ tokenizer: bytes, tokenizerFormat: VOCABULARY_FORMAT, template });
}

/** Tokens in a block of what is hashed. */
const BLOCK_TOKENS = 16;

/** Blocks that a router with the addon hashes at a time. */
const STEP_BLOCKS = 128;

/** Hashes the blocks of prompts as a router does that finds all of each cached. */
export class BlockHashes {
  readonly #hashes: PromptHashes;

  constructor({ addon }: TextModel) {
    this.#hashes = new PromptHashes(addon, { blockTokens: BLOCK_TOKENS, stepBlocks: STEP_BLOCKS });
  }

  /** Local hashes of the complete blocks, valid until the next prompt. */
  of(ids: Uint32Array): BigUint64Array {
    const hashes = this.#hashes.open(ids, 1337n);
    while (hashes.hashed < hashes.length) hashes.contents(hashes.hashed + 1);
    return hashes.contents(0).subarray(0, hashes.length);
  }
}

/** A template that writes control tokens around each message. */
export const MARKS_TEMPLATE =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/** A template that writes no control token at all. */
export const PLAIN_TEMPLATE =
  "{% for m in messages %}{{ 'User' if m.role == 'user' else 'Assistant' }}: {{ m.content }}\n{% endfor %}" +
  "{% if add_generation_prompt %}Assistant:{% endif %}";

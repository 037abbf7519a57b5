import { type SpecialToken, specialTokens, tokenBits } from "#lib/text/special";
import { frameOf } from "#lib/text/tokenizer";
import type { Vocabulary } from "#lib/text/vocabulary";
import type { EncoderOptions, NativeAddon, NativeEncoder, NativeVocabulary } from "./addon.ts";
import type { Vocab } from "./llama.ts";

/** What an encoder may hold and hold up, and what is known already. */
export interface EncoderSettings {
  /** Bytes of memory beside its tables, for words. */
  readonly memoryBytes: number;
  /** Text is encoded on the calling thread up to so many bytes. */
  readonly inlineBytes: number;
  /** The special tokens, for who has read them; read from the vocabulary otherwise. */
  readonly specials?: readonly SpecialToken[];
  /** The vocabulary in the engine library, which then encodes the plain parts in place of the addon. */
  readonly library?: Vocab;
}

/** Threads that may be on their way through one encoder: the caller's, and the two that take what is long. */
const LANES = 3;

function nativeVocabulary(vocabulary: Vocabulary): NativeVocabulary {
  const { kind, pre, texts, types, unknown, normal, characterMap } = vocabulary;
  return {
    ...{ kind, pre, texts: texts.strings, types, unknown, characterMap },
    ...normal,
    scores: vocabulary.scores(),
    merges: vocabulary.merges(),
  };
}

/**
 * Opens an encoder of whole texts for a vocabulary, which is read during the call alone. Rejects with UNSUPPORTED where
 * the addon does not know it, and with INVALID_ARGUMENT where it contradicts itself.
 */
export function openEncoder(
  addon: NativeAddon,
  vocabulary: Vocabulary,
  { memoryBytes, inlineBytes, specials, library }: EncoderSettings,
): Promise<NativeEncoder> {
  const { first, last } = frameOf(vocabulary);
  const options: EncoderOptions = {
    ...{ first, last, inlineBytes, library },
    specials: specials ?? specialTokens(vocabulary, tokenBits(vocabulary)),
    wordBytes: Math.floor(memoryBytes / LANES),
  };
  return addon.openEncoder(nativeVocabulary(vocabulary), options);
}

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { StatorError } from "#lib/base/errors";
import { nativeErrorCode } from "#lib/native/addon";
import type { Llama, Vocab } from "#lib/native/llama";
import { badModelFile } from "#lib/text/gguf";
import { specialTokens, tokenBits } from "#lib/text/special";
import type { SegmentEncoder } from "#lib/text/tokenizer";
import type { Vocabulary } from "#lib/text/vocabulary";
import type { Gate, RemoteEncoder } from "./remote-encoder.ts";
import type { WholeEncoders } from "./whole.ts";

/** A vocabulary in the native library: on the calling thread for short texts, on its own threads for long ones. */
export interface NativeVocabulary {
  /** Encodes on the calling thread: for short texts. */
  readonly local: SegmentEncoder;
  /** Encodes elsewhere: for long ones. It owns the vocabulary in the library. */
  readonly remote: RemoteEncoder;
}

/**
 * Opens a checked vocabulary with the library, by way of a file that is gone when this returns. Throws BAD_MODEL_FILE
 * when the library refuses it.
 */
export async function openNativeVocabulary(
  llama: Llama,
  { vocabulary, bytes, gate, wholes }: { vocabulary: Vocabulary; bytes: Uint8Array; gate: Gate; wholes: WholeEncoders },
): Promise<NativeVocabulary> {
  const folder = await mkdtemp(path.join(tmpdir(), "stator-vocabulary-"));
  let vocab: Vocab;
  try {
    const file = path.join(folder, "vocabulary.gguf");
    await writeFile(file, bytes, { mode: 0o600 });
    vocab = await llama.openVocab(file);
  } catch (caught) {
    if (nativeErrorCode(caught) === undefined) throw caught;
    const detail = "llama.cpp does not know this tokenizer";
    throw badModelFile(vocabulary.name, detail, { cause: caught });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (vocab.size !== vocabulary.size) {
    vocab.close();
    throw new StatorError("CONTRACT_MISMATCH", {
      what: vocabulary.name,
      detail: "llama.cpp counts other tokens in it",
    });
  }
  const specials = specialTokens(vocabulary, tokenBits(vocabulary));
  const whole = wholes.open(specials, (text) => vocab.tokenizeAsync(text));
  return {
    local: { encode: (text) => vocab.tokenize(text) },
    remote: {
      encode: (texts) => gate.run(() => Promise.all(texts.map((text) => vocab.tokenizeAsync(text)))),
      encodeWhole: (text) => gate.run(() => whole.encode(text)),
      close: () => {
        whole.close();
        vocab.close();
      },
    },
  };
}

import { isUtf8 } from "node:buffer";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { StatorError } from "#lib/base/errors";
import { type NativeAddon, type NativeEncoder, nativeErrorCode } from "#lib/native/addon";
import { openEncoder } from "#lib/native/encoder";
import type { Llama, Vocab } from "#lib/native/llama";
import { badModelFile } from "#lib/text/gguf";
import type { SpecialToken } from "#lib/text/special";
import type { Vocabulary } from "#lib/text/vocabulary";
import type { Gate, PromptEncoder } from "./encoder.ts";
import { PromptMemory, type PromptTally } from "./prompt-memory.ts";
import type { Piece, PromptText } from "./prompt-text.ts";

/** What a native encoder is opened with. */
export interface NativeEncoderOptions {
  /** Encodes. */
  readonly addon: NativeAddon;
  /** Opens the engine library for vocabularies that the addon does not know; undefined where there is none. */
  readonly library: () => Llama | undefined;
  /** For long texts. */
  readonly gate: Gate;
  /** Of the vocabulary. */
  readonly specials: readonly SpecialToken[];
  /** Bytes of memory for what was encoded before: half of it for prompts, half for words. */
  readonly cacheBytes: number;
  /** Of the process: what is remembered of prompts. Default: nobody counts. */
  readonly tally?: PromptTally;
  /** Told, with why, when the library encodes in place of the addon. */
  readonly onLibrary: (why: string) => void;
}

/** New text of at most so many bytes is encoded at once: below a millisecond by the addon, about one by the library. */
const INLINE_BYTES = { addon: 32_768, library: 8192 } as const;

const NO_CONTENT = new Uint32Array(0);
const NO_RANGES: readonly number[] = [];

/** Opens a vocabulary in the engine library, by way of a file that is gone when this returns. */
async function openInLibrary(llama: Llama, vocabulary: Vocabulary, bytes: Uint8Array): Promise<Vocab> {
  const folder = await mkdtemp(path.join(tmpdir(), "stator-vocabulary-"));
  try {
    const file = path.join(folder, "vocabulary.gguf");
    await writeFile(file, bytes, { mode: 0o600 });
    const vocab = await llama.openVocab(file);
    if (vocab.size === vocabulary.size) return vocab;
    vocab.close();
    const detail = "llama.cpp counts other tokens in it";
    throw new StatorError("CONTRACT_MISMATCH", { what: vocabulary.name, detail });
  } catch (caught) {
    if (nativeErrorCode(caught) === undefined) throw caught;
    throw badModelFile(vocabulary.name, "llama.cpp does not know this tokenizer", { cause: caught });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function open(
  vocabulary: Vocabulary,
  bytes: Uint8Array,
  { addon, library, specials, cacheBytes, onLibrary }: NativeEncoderOptions,
): Promise<{ encoder: NativeEncoder; inlineBytes: number } | undefined> {
  const settingsFor = (by: keyof typeof INLINE_BYTES) => ({
    ...{ memoryBytes: Math.floor(cacheBytes / 2), inlineBytes: INLINE_BYTES[by], specials },
  });
  try {
    const encoder = await openEncoder(addon, vocabulary, settingsFor("addon"));
    return { encoder, inlineBytes: INLINE_BYTES.addon };
  } catch (caught) {
    const code = nativeErrorCode(caught);
    if (code === undefined || !(caught instanceof Error)) throw caught;
    if (code !== "UNSUPPORTED") throw badModelFile(vocabulary.name, caught.message, { cause: caught });
    const llama = library();
    if (!llama) return undefined;
    onLibrary(caught.message);
    const vocab = await openInLibrary(llama, vocabulary, bytes);
    try {
      const encoder = await openEncoder(addon, vocabulary, { ...settingsFor("library"), library: vocab });
      return { encoder, inlineBytes: INLINE_BYTES.library };
    } finally {
      vocab.close();
    }
  }
}

type Given = string | readonly string[] | Uint8Array;

function isBytes(text: Given): text is Uint8Array {
  return text instanceof Uint8Array;
}

function lengthOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

function promptText(text: Given, content: readonly number[] = NO_RANGES): PromptText {
  const pieces: readonly Piece[] = isBytes(text) ? [wellFormed(text)] : typeof text === "string" ? [text] : text;
  return {
    pieces: pieces.every(({ length }) => length > 0) ? pieces : pieces.filter(({ length }) => length > 0),
    content,
  };
}

function wellFormed(text: Uint8Array): Uint8Array {
  return isUtf8(text) ? text : Buffer.from(new TextDecoder("utf-8", { ignoreBOM: true }).decode(text));
}

/**
 * Opens an encoder in native code: the addon's own, else the engine library's behind the same special tokens and memory;
 * undefined where neither can. Throws BAD_MODEL_FILE for a vocabulary that contradicts itself.
 * @param bytes the artifact from which the vocabulary was read
 */
export async function openNativeEncoder(
  vocabulary: Vocabulary,
  bytes: Uint8Array,
  options: NativeEncoderOptions,
): Promise<PromptEncoder | undefined> {
  const opened = await open(vocabulary, bytes, options);
  if (!opened) return undefined;
  const { encoder, inlineBytes } = opened;
  const { gate, cacheBytes, tally } = options;
  const memory = new PromptMemory(Math.floor(cacheBytes / 2), tally);
  return {
    encode(given, { chat, content }) {
      const text = promptText(given, content);
      const known = memory.find(text, chat);
      const { pieces, content: ranges, before } = memory.rest(text, known);
      if (gate.isFull && lengthOf(pieces) > inlineBytes) gate.check();
      const places = ranges.length > 0 ? Uint32Array.from(ranges) : NO_CONTENT;
      // All are bytes or none is, and bytes are in one piece.
      const rest = pieces[0] instanceof Uint8Array ? pieces[0] : (pieces as readonly string[]);
      const encoding = encoder.encode(rest, places, chat, before);
      if (!(encoding instanceof Promise)) return memory.add(text, known, encoding);
      return gate.count(encoding.then((made) => memory.add(text, known, made)));
    },
    close() {
      memory.close();
      encoder.close();
    },
  };
}

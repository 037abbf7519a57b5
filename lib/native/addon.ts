import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { SpecialToken } from "#lib/text/special";
import type { Strings } from "#lib/text/token-texts";
import type { NormalForm } from "#lib/text/vocabulary";
import type { Llama, LlamaOptions, Vocab } from "./llama.ts";
import type { NativeMover, NativeMoverOptions } from "./mover.ts";
import type { NixlProber } from "./nixl.ts";

/**
 * The revision of everything `stator.node` exports. An addon that was built from older or newer sources is refused,
 * never called: raise it with every change of an exported name, argument or meaning.
 */
export const ADDON_REVISION = 10;

/** The command that builds the native layer. */
export const BUILD_COMMAND = "npm run build:native";

/**
 * The raw exports of `stator.node`. Every function checks its arguments and throws a {@link NativeError} with the code
 * `INVALID_ARGUMENT` before it touches anything; none of them blocks for longer than its doc comment says.
 */
export interface NativeAddon extends NixlProber {
  /** Equals {@link ADDON_REVISION} in an addon that fits this file. */
  readonly revision: number;

  /** XXH3-64 of the bytes with a seed, as an unsigned 64-bit value. Borrows the bytes; about 30 GB/s. */
  xxh3(bytes: Uint8Array, seed: bigint): bigint;

  /**
   * Hashes every complete block of `blockTokens` token ids (ids as little-endian u32): `local[i]` is the XXH3-64 of
   * block i with `seed`; `sequence[0] = local[0]`, `sequence[i] = XXH3(LE64(sequence[i-1]) || LE64(local[i]), 1337)`.
   * Both outputs must hold `floor(tokens.length / blockTokens)` values. Returns that count.
   */
  hashBlocks(
    tokens: Uint32Array,
    blockTokens: number,
    seed: bigint,
    local: BigUint64Array,
    sequence: BigUint64Array,
  ): number;

  /**
   * Writes the local hashes of blocks `from` to `to - 1` at their own indices of `local`, without those of sequences.
   * The call itself costs as much as some dozen blocks: ask for many at once.
   * @param aheadTokens 0, or 1 for hashes that look one token into the next block
   * @param objects for each object and block the block's place, ascending, and the object's hash: the hashes follow the
   * ids of their block in ascending order
   */
  hashContents(
    tokens: Uint32Array,
    blockTokens: number,
    aheadTokens: number,
    seed: bigint,
    from: number,
    to: number,
    local: BigUint64Array,
    objects?: { readonly blocks: Uint32Array; readonly hashes: BigUint64Array },
  ): void;

  /**
   * The draw of one generated token, in [0, 1). It depends on its arguments alone, so a request that moves to another
   * worker continues with the same draws.
   *
   * Formula: Philox4x32-10 (Salmon et al., 2011) with key = (low 32 bits of seed, high 32 bits) and counter =
   * (position, choice, lane, 0); of the four output words x0..x3 the draw is
   * `((x0 >>> 5) * 2^26 + (x1 >>> 6)) / 2^53`. Lane 0 is the token's own draw; lane 1 is used when a grammar rejected
   * the token that lane 0 chose (using lane 0 again would bias the second choice).
   *
   * Golden vectors (tested): (0n, 0, 0) = 0.39904647231489565,
   * (1337n, 0, 1) = 0.8200935792323353, (0xffffffffffffffffn, 3, 4095) = 0.35301017074181296.
   */
  uniformDraw(seed: bigint, choice: number, position: number, lane?: number): number;

  /** Gives the free memory of malloc's heaps back to the system. Blocks for some milliseconds. */
  trimMemory(): void;

  /**
   * Opens an encoder of whole texts, on a thread of its own: a fifth of a second for 150,000 tokens. The vocabulary is
   * read until the promise settles and not kept. Rejects with `UNSUPPORTED` for a vocabulary that the addon does not
   * know, and with `INVALID_ARGUMENT` for one that contradicts itself.
   */
  openEncoder(vocabulary: NativeVocabulary, options: EncoderOptions): Promise<NativeEncoder>;

  /** Opens what moves blocks between processes, on threads of its own. */
  openMover(options: NativeMoverOptions): NativeMover;

  /**
   * Opens libllama and its back ends, once per process: a second call with the same folder returns the same libraries,
   * with another folder it throws. Blocks for about 20 ms. Throws `LIBRARY_MISSING`, `LIBRARY_MISMATCH` or
   * `LIBRARY_CANARY` before anything of the library was used.
   */
  openLlama(options: LlamaOptions): Llama;
}

/** A vocabulary as the addon takes it. Everything is borrowed until the encoder is open. */
export interface NativeVocabulary extends NormalForm {
  /** `tokenizer.ggml.model` of its file. */
  readonly kind: string;
  /** Name of its word rule; empty where the file has none. */
  readonly pre: string;
  /** Of all tokens; no two are equal. */
  readonly texts: Strings;
  /** By id, as in the file: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly types: Int32Array;
  /** By id; undefined where the file has none. */
  readonly scores: Float32Array | undefined;
  /** `left right` each, first rank first; undefined where the file has none. */
  readonly merges: Strings | undefined;
  /** Id of the token for what has none; undefined for no such token. */
  readonly unknown: number | undefined;
  /** The precompiled character map of a unigram vocabulary; undefined for none. */
  readonly characterMap: Uint8Array | undefined;
}

/** How an encoder is opened. */
export interface EncoderOptions {
  /** In search order, longest first. */
  readonly specials: readonly SpecialToken[];
  /** The token that is put in front of a text; undefined for none. */
  readonly first: number | undefined;
  /** The token that is put behind a text; undefined for none. */
  readonly last: number | undefined;
  /** Bytes for words, for each thread that encodes: three at most. */
  readonly wordBytes: number;
  /** Text is encoded on the calling thread up to so many bytes. */
  readonly inlineBytes: number;
  /** The vocabulary in the engine library, which then encodes the plain parts; it may be closed afterwards. */
  readonly library: Vocab | undefined;
}

/** What stands before a text that is encoded, as `Before` of native/text/prompt.h has it. */
export const BEFORE = { nothing: 0, special: 1, plain: 2 } as const;

/** Numbers that tell of one cut. */
export const CUT_NUMBERS = 5;

/** A text in tokens, and where it may be cut. Both arrays are the caller's. */
export interface NativeEncoding {
  /** Of a whole text its buffer is an eighth longer, with nothing in it: more ids fit behind these. */
  readonly ids: Uint32Array;
  /**
   * Places that nothing reaches over, whatever follows: the tokens of a longer text are those before a cut and those of the
   * rest, encoded alone. In order, at least 256 bytes apart; of each five numbers: its end in UTF-16 units; the same in bytes
   * of UTF-8; tokens before it; how much behind it must be the same too, in bytes of a text that came so, else in units; what
   * the rest stands behind, of `BEFORE`.
   */
  readonly cuts: Uint32Array;
}

/** An encoder of whole texts. */
export interface NativeEncoder {
  /**
   * The tokens of a text: special ones where their texts stand, plain ones between them, the frame around them. At once
   * where it is short, else from a thread, in any order. Throws `CLOSED` after `close`.
   * @param text in one piece or several, or valid UTF-8; copied where the answer is a promise. A lone surrogate is U+FFFD.
   * @param content where it is somebody else's and names no control token: start and end in UTF-16 units, ascending
   * @param isChat a rendered chat prompt: it keeps a begin token that its template wrote, and gets no end token
   * @param before what the cut said behind which this is the rest of a text, of `BEFORE`
   */
  encode(
    text: string | readonly string[] | Uint8Array,
    content: Uint32Array,
    isChat: boolean,
    before: number,
  ): NativeEncoding | Promise<NativeEncoding>;
  /** Bytes of its tables and memories now. */
  memoryBytes(): number;
  /** Frees it when what is under way is done. */
  close(): void;
}

/**
 * Every code that a native failure carries.
 * `INVALID_ARGUMENT` a value that the call refuses, nothing happened · `CLOSED` the object was closed ·
 * `LIBRARY_MISSING` a shared library cannot be opened · `LIBRARY_MISMATCH` its version is not the one we were built
 * for · `LIBRARY_CANARY` its defaults differ, so its structures may too · `FILE_MISSING` no such file or unreadable ·
 * `FILE_CORRUPT` not a GGUF file, or one that the library refuses · `OUT_OF_MEMORY` weights or cache do not fit ·
 * `ABORTED` stopped by its caller · `UNSUPPORTED` this model cannot do it · `NO_SPACE` no free cells in the cache ·
 * `INTERNAL` our fault.
 */
export const NATIVE_ERROR_CODES = [
  "INVALID_ARGUMENT",
  "CLOSED",
  "LIBRARY_MISSING",
  "LIBRARY_MISMATCH",
  "LIBRARY_CANARY",
  "FILE_MISSING",
  "FILE_CORRUPT",
  "OUT_OF_MEMORY",
  "ABORTED",
  "UNSUPPORTED",
  "NO_SPACE",
  "INTERNAL",
] as const;

/** One of {@link NATIVE_ERROR_CODES}. */
export type NativeErrorCode = (typeof NATIVE_ERROR_CODES)[number];

/** What the addon throws and rejects with: an Error whose message is one sentence. */
export interface NativeError extends Error {
  /** By which callers decide; the message is for people. */
  readonly code: NativeErrorCode;
}

/** The code of an error that the addon threw, or undefined for any other value. */
export function nativeErrorCode(error: unknown): NativeErrorCode | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return NATIVE_ERROR_CODES.find((code) => code === error.code);
}

/** The addon, or one sentence saying why there is none and what to do. */
export type NativeLoad =
  | { readonly addon: NativeAddon; readonly unavailable?: undefined }
  | { readonly addon?: undefined; readonly unavailable: string; readonly fix: string };

/** Why something native is not there, as the facts of NATIVE_UNAVAILABLE. */
export function nativeUnavailable({ unavailable, fix }: { readonly unavailable: string; readonly fix: string }): {
  readonly detail: string;
  readonly hint: string;
} {
  return { detail: unavailable.replace(/\.$/, ""), hint: `Run \`${fix}\`.` };
}

/** Where an addon may lie: beside the sources, or above `dist/`. */
const ADDON_PATHS = ["../../native/build/stator.node", "../../../native/build/stator.node"];

/**
 * Loads the addon. It never throws: without a compiler, on a foreign platform or after a half-done build the answer
 * says so.
 * @param path an absolute path instead of the usual places
 */
export function loadNative(path?: string): NativeLoad {
  const found = path ?? ADDON_PATHS.map((each) => fileURLToPath(new URL(each, import.meta.url))).find(existsSync);
  if (found === undefined || !existsSync(found)) {
    return { unavailable: "The native addon has not been built.", fix: BUILD_COMMAND };
  }
  try {
    // A boundary cast: the file is ours, and its revision is compared before anything else is called.
    const addon = createRequire(import.meta.url)(found) as NativeAddon;
    if (addon.revision === ADDON_REVISION) return { addon };
    return {
      unavailable: `The native addon has revision ${addon.revision}, not ${ADDON_REVISION}: it was built from other sources.`,
      fix: BUILD_COMMAND,
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    return { unavailable: `The native addon cannot be loaded: ${reason}.`, fix: BUILD_COMMAND };
  }
}

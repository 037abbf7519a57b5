import { ownCopy } from "#lib/base/bytes";
import { BoundedCache } from "#lib/base/collections";
import { assert } from "#lib/base/errors";
import { type PieceTable, pieceTable } from "./pieces.ts";
import { createSplitter, type SplitOptions, type Splitter } from "./segment.ts";
import { type SpecialToken, specialTokens, TOKEN_BIT, tokenBits } from "./special.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Turns plain text into tokens: the native vocabulary without special parsing, or the one in `./byte-pair.ts`. */
export interface SegmentEncoder {
  /** The tokens of a text that holds no special token. The caller keeps the array. */
  encode(text: string): Uint32Array;
}

/** How a text is encoded. */
export interface EncodeOptions {
  /** Where somebody else's text lies, in which no control token is named. Default: nowhere. */
  readonly content?: readonly number[];
  /** Text such as `<|im_end|>` becomes the control token it names. Default false: only user-defined tokens do. */
  readonly parseSpecial?: boolean;
  /** Adds the tokens that the model wants around a text. Default false. */
  readonly addSpecial?: boolean;
}

/** How a text is framed. */
export interface FrameOptions {
  /** It is a rendered chat prompt: it keeps a begin token that its template wrote, and gets no end token. */
  readonly chat: boolean;
  /** Of a rendered prompt, where somebody else's text lies, in which no control token is named (`SplitOptions`). */
  readonly content?: readonly number[];
}

/**
 * A text on its way to tokens: what the cache knew is in place, what is missing is encoded by the caller, wherever it
 * likes, and handed in.
 */
export interface Encoding {
  /** Plain texts without tokens yet, each once. */
  readonly missing: readonly string[];
  /** Length of all missing texts together, in UTF-16 units. */
  readonly missingUnits: number;
  /** Hands in the tokens of `missing[at]`, which are kept. */
  provide(at: number, tokens: Uint32Array): void;
  /** All tokens, in an array of the caller's own. Every missing text must have been provided. */
  finish(): Uint32Array;
}

/** The tokens of a vocabulary. */
export interface Tokens {
  /** Of the vocabulary: token ids lie below it. */
  readonly size: number;
  /** Id of the token that begins a text; undefined where the model has none. */
  readonly bos: number | undefined;
  /** Id of the token that ends a text; undefined where the model has none. */
  readonly eos: number | undefined;
  /** In search order, longest first. */
  readonly specials: readonly SpecialToken[];
  /** Bytes of all tokens; not to be changed. */
  readonly pieces: PieceTable;
  /** Bytes of a token, special ones as their names; a view that is borrowed. Empty for an id outside the vocabulary. */
  pieceBytes(token: number): Uint8Array;
  /** Whether the model ends its answer with it. */
  isEndToken(token: number): boolean;
  /** Whether it is a control token, which is not shown. */
  isControl(token: number): boolean;
}

/** A model's tokenizer. It holds a cache and is not to be shared between threads. */
export interface Tokenizer extends Tokens {
  /** Looks everything up that is known; the rest is for the caller to encode. */
  prepare(text: string, options?: EncodeOptions): Encoding;
  /** The same for a rendered chat prompt: specials are parsed, and a begin token that the template wrote is not doubled. */
  prepareChat(rendered: string, content?: readonly number[]): Encoding;
  /**
   * One of these two, special tokens parsed and framed, in a time that the length of the text bounds. Undefined where
   * the text has more than `mostSpecials` of them or takes many passes: encode it as a whole, where nobody waits.
   */
  prepareWithin(mostSpecials: number, text: string, options: FrameOptions): Encoding | undefined;
  /** Frames tokens of a text that was encoded as a whole, special tokens parsed; keeps the array. */
  frame(tokens: Uint32Array, options: FrameOptions): Uint32Array;
  /** Encodes on the calling thread. */
  encode(text: string, options?: EncodeOptions): Uint32Array;
  /** Encodes a rendered chat prompt on the calling thread. */
  encodeChat(rendered: string, content?: readonly number[]): Uint32Array;
  /** What the cache of plain text holds now. */
  readonly cacheWeightBytes: number;
}

/** What a tokenizer is made with. */
export interface TokenizerOptions {
  /** Encodes what `encode` and `encodeChat` do not find in the cache. */
  readonly encoder: SegmentEncoder;
  /** The tokens of the vocabulary, for who has read them; read from it otherwise. */
  readonly tokens?: Tokens;
  /** Bound on the cached texts and their tokens. Default 16 MiB. */
  readonly cacheBytes?: number;
}

const DEFAULT_CACHE_BYTES = 16 << 20;

/** What an entry of the cache costs beside its text and tokens: two objects, a map slot and a buffer. */
const ENTRY_BYTES = 400;

/** Begin and end tokens that the library assumes when the file names none. */
const DEFAULT_BOS = { gpt2: 11, llama: 1, gemma4: undefined, bert: 101, t5: undefined } as const;
const DEFAULT_EOS = { gpt2: 11, llama: 2, gemma4: undefined, bert: undefined, t5: 1 } as const;

/** Word rules of byte-level vocabularies that put a begin token in front unless the file says otherwise. */
const BOS_BY_PRE = new Set([
  ...["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
  ...["tekken", "chameleon"],
]);

/** The tokens around a text. */
export interface Frame {
  /** Begins a text, whether it is put in front or not; undefined where the model has none. */
  readonly bos: number | undefined;
  /** Ends a text; undefined where the model has none. */
  readonly eos: number | undefined;
  /** What is put in front; undefined for nothing. */
  readonly first: number | undefined;
  /** What is put behind; undefined for nothing. */
  readonly last: number | undefined;
}

/** The tokens that a vocabulary puts around a text, as the library does. */
export function frameOf(vocabulary: Vocabulary): Frame {
  const { kind, pre, ids, size } = vocabulary;
  const within = (id: number | undefined) => (id !== undefined && id < size ? id : undefined);
  const noBos = kind === "gpt2" && (pre === "glm4" || pre === "chatglm-bpe");
  const bos = ids.get("bos") ?? (noBos ? undefined : within(DEFAULT_BOS[kind]));
  const eos = ids.get("eos") ?? within(DEFAULT_EOS[kind]);
  if (kind === "bert") return { bos, eos, first: bos, last: ids.get("seperator") ?? within(102) };
  const addBos = kind === "gemma4" || (vocabulary.addBos ?? (kind === "llama" || BOS_BY_PRE.has(pre)));
  const addEos = vocabulary.addEos ?? kind === "t5";
  return { bos, eos, first: addBos ? bos : undefined, last: addEos ? eos : undefined };
}

class CachedEncoding implements Encoding {
  readonly missing: string[] = [];
  missingUnits = 0;
  readonly #cache: BoundedCache<string, Uint32Array>;
  readonly #textUnits: number;
  /** In order: a special token, known tokens, or `-1 - at` for a missing text. */
  readonly #parts: (number | Uint32Array)[] = [];
  readonly #provided: (Uint32Array | undefined)[] = [];
  readonly #places = new Map<string, number>();

  constructor(cache: BoundedCache<string, Uint32Array>, textUnits: number) {
    this.#cache = cache;
    this.#textUnits = textUnits;
  }

  special(token: number): void {
    this.#parts.push(token);
  }

  plain(text: string): void {
    const known = this.#cache.get(text);
    if (known) {
      this.#parts.push(known);
      return;
    }
    let at = this.#places.get(text);
    if (at === undefined) {
      at = this.missing.push(text) - 1;
      this.#places.set(text, at);
      this.missingUnits += text.length;
    }
    this.#parts.push(-1 - at);
  }

  /** Puts a token in front, unless the text begins with it and `once` is set. */
  frame({ first, last }: { first: number | undefined; last: number | undefined }, once: boolean): void {
    if (first !== undefined && !(once && this.#parts[0] === first)) this.#parts.unshift(first);
    if (last !== undefined) this.#parts.push(last);
  }

  provide(at: number, tokens: Uint32Array): void {
    const text = this.missing[at];
    assert(text !== undefined, "only missing texts are provided");
    this.#provided[at] = tokens;
    // A part keeps alive the text it was cut from: where that is not much longer it is kept, and weighed, with it.
    const withText = text.length * 2 >= this.#textUnits;
    const units = withText ? this.#textUnits : text.length;
    this.#cache.set(withText ? text : ownCopy(text), tokens, units * 2 + tokens.byteLength + ENTRY_BYTES);
  }

  finish(): Uint32Array {
    let count = 0;
    for (const part of this.#parts) count += typeof part === "number" && part >= 0 ? 1 : this.#tokensOf(part).length;
    const all = new Uint32Array(count);
    let at = 0;
    for (const part of this.#parts) {
      if (typeof part === "number" && part >= 0) all[at++] = part;
      else {
        const tokens = this.#tokensOf(part);
        all.set(tokens, at);
        at += tokens.length;
      }
    }
    return all;
  }

  #tokensOf(part: number | Uint32Array): Uint32Array {
    if (typeof part !== "number") return part;
    const tokens = this.#provided[-1 - part];
    assert(tokens, "every missing text is provided before the end");
    return tokens;
  }
}

/** Adds the tokens of the missing texts on the calling thread. */
function encodeMissing(encoding: Encoding, encoder: SegmentEncoder): Uint32Array {
  for (const [at, text] of encoding.missing.entries()) encoding.provide(at, encoder.encode(text));
  return encoding.finish();
}

/** The tokens of a vocabulary, which it borrows. */
export function readTokens(vocabulary: Vocabulary): Tokens {
  const bits = tokenBits(vocabulary);
  const pieces = pieceTable(vocabulary, bits);
  const { bos, eos } = frameOf(vocabulary);
  return {
    ...{ size: vocabulary.size, bos, eos, pieces },
    specials: specialTokens(vocabulary, bits),
    pieceBytes: (token) => pieces.bytes.subarray(pieces.offsets[token] ?? 0, pieces.offsets[token + 1] ?? 0),
    isEndToken: (token) => ((bits[token] ?? 0) & TOKEN_BIT.endOfGeneration) !== 0,
    isControl: (token) => ((bits[token] ?? 0) & TOKEN_BIT.control) !== 0,
  };
}

/**
 * Makes the tokenizer of a vocabulary. What it returns equals the library's encoding of the whole text: special tokens
 * cut the text before anything else, so plain text between them can be encoded, and kept, on its own. The cache is
 * keyed by the text itself, so a conversation that grows pays for its new text alone.
 */
export function createTokenizer(vocabulary: Vocabulary, options: TokenizerOptions): Tokenizer {
  const tokens = options.tokens ?? readTokens(vocabulary);
  const { specials } = tokens;
  const splitAll = createSplitter(specials);
  const splitUserDefined = createSplitter(
    specials.filter((token) => (token.bits & (TOKEN_BIT.control | TOKEN_BIT.unknown)) === 0),
  );
  const cache = new BoundedCache<string, Uint32Array>(options.cacheBytes ?? DEFAULT_CACHE_BYTES);
  const frame = frameOf(vocabulary);

  const cut = (given: string, splitter: Splitter, how?: SplitOptions): CachedEncoding | undefined => {
    // Native code reads UTF-8, in which a lone surrogate is U+FFFD: what is cut must be what is encoded.
    const text = given.isWellFormed() ? given : given.toWellFormed();
    const encoding = new CachedEncoding(cache, text.length);
    const sink = {
      plain: (start: number, end: number) => encoding.plain(text.slice(start, end)),
      special: (token: SpecialToken) => encoding.special(token.id),
    };
    return splitter.split(text, sink, how) ? encoding : undefined;
  };
  const prepare = (text: string, { parseSpecial, addSpecial, content }: EncodeOptions = {}): Encoding => {
    const encoding = cut(text, parseSpecial ? splitAll : splitUserDefined, { content });
    assert(encoding, "without a bound every text is cut");
    if (addSpecial) encoding.frame(frame, false);
    return encoding;
  };
  const prepareWithin = (most: number, text: string, { chat, content }: FrameOptions): Encoding | undefined => {
    const encoding = cut(text, splitAll, { most, content });
    encoding?.frame({ first: frame.first, last: chat ? undefined : frame.last }, chat);
    return encoding;
  };
  const prepareChat = (rendered: string, content?: readonly number[]): Encoding => {
    const encoding = prepareWithin(Number.POSITIVE_INFINITY, rendered, { chat: true, content });
    assert(encoding, "without a bound every text is cut");
    return encoding;
  };
  return {
    ...tokens,
    prepare,
    prepareChat,
    prepareWithin,
    frame(found, { chat }) {
      const first = frame.first === undefined || (chat && found[0] === frame.first) ? [] : [frame.first];
      const last = chat || frame.last === undefined ? [] : [frame.last];
      if (first.length + last.length === 0) return found;
      const framed = new Uint32Array(first.length + found.length + last.length);
      framed.set(first);
      framed.set(found, first.length);
      framed.set(last, first.length + found.length);
      return framed;
    },
    encode: (text, encodeOptions) => encodeMissing(prepare(text, encodeOptions), options.encoder),
    encodeChat: (rendered, content) => encodeMissing(prepareChat(rendered, content), options.encoder),
    get cacheWeightBytes() {
      return cache.weight;
    },
  };
}

import type { PieceTable } from "./pieces.ts";
import { TOKEN_BIT } from "./special.ts";

/** Turns the tokens of one answer into text, piece by piece. */
export interface TokenDecoder {
  /** Text that tokens `from .. to` complete; the bytes of an unfinished character wait for the next. Borrows the array. */
  push(tokens: Uint32Array, from?: number, to?: number): string;
  /** What still waits, with U+FFFD where a character stayed unfinished. */
  end(): string;
  /** Code points of all text returned so far. */
  readonly length: number;
}

/** Text of the tokens of a vocabulary, decoded when first needed. One per model; detokenizers share it. */
export interface PieceTexts {
  /** What it was made from. */
  readonly pieces: PieceTable;
  /**
   * The text of a token, when its bytes are complete UTF-8 on their own; `undefined` when they are not. A control token
   * has the empty text.
   */
  textOf(token: number): string | undefined;
  /** The bytes of a token as they enter the text: none for a control token or an id outside the vocabulary. */
  bytesOf(token: number): Uint8Array;
}

const NOTHING = new Uint8Array(0);

/** Builds the table of texts. It grows by one string per token that occurs. */
export function createPieceTexts(pieces: PieceTable): PieceTexts {
  const size = pieces.attributes.length;
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  /** null: not complete UTF-8. */
  const texts: (string | null | undefined)[] = new Array(size).fill(undefined);
  const bytesOf = (token: number): Uint8Array => {
    if (token >= size || ((pieces.attributes[token] ?? 0) & TOKEN_BIT.control) !== 0) return NOTHING;
    return pieces.bytes.subarray(pieces.offsets[token], pieces.offsets[token + 1]);
  };
  const decode = (token: number): string | null => {
    try {
      return strict.decode(bytesOf(token));
    } catch {
      return null;
    }
  };
  return {
    pieces,
    bytesOf,
    textOf(token) {
      let text = texts[token];
      if (text === undefined) {
        text = decode(token);
        if (token < size) texts[token] = text;
      }
      return text ?? undefined;
    },
  };
}

const REPLACEMENT = "\uFFFD";

/** What a lead byte of UTF-8 asks for: how many bytes follow and between which values the next must lie. */
function lead(byte: number): { more: number; low: number; high: number } | undefined {
  if (byte >= 0xc2 && byte <= 0xdf) return { more: 1, low: 0x80, high: 0xbf };
  if (byte >= 0xe0 && byte <= 0xef) {
    return { more: 2, low: byte === 0xe0 ? 0xa0 : 0x80, high: byte === 0xed ? 0x9f : 0xbf };
  }
  if (byte >= 0xf0 && byte <= 0xf4) {
    return { more: 3, low: byte === 0xf0 ? 0x90 : 0x80, high: byte === 0xf4 ? 0x8f : 0xbf };
  }
  return undefined;
}

/**
 * Turns the tokens of one answer into text as they come. Bytes of a character that is not complete are kept until it is;
 * what can be no character becomes U+FFFD, as a TextDecoder does it. Control tokens have no text. The usual token costs
 * one look-up.
 */
export class Detokenizer implements TokenDecoder {
  readonly #texts: PieceTexts;
  /** The character being read, its bytes still missing, and the bounds of the next one. */
  #codePoint = 0;
  #more = 0;
  #low = 0x80;
  #high = 0xbf;
  #length = 0;

  constructor(texts: PieceTexts) {
    this.#texts = texts;
  }

  /** Code points of all text returned so far: where the text of the next token begins. */
  get length(): number {
    return this.#length;
  }

  /** Whether bytes of an incomplete character are held back. */
  get holds(): boolean {
    return this.#more > 0;
  }

  /** The text that one token adds; may be empty. */
  pushToken(token: number): string {
    const whole = this.#more === 0 ? this.#texts.textOf(token) : undefined;
    const text = whole ?? this.#decode(this.#texts.bytesOf(token));
    this.#length += codePoints(text);
    return text;
  }

  /** The text that tokens `from .. to` of an array add. */
  push(tokens: Uint32Array, from = 0, to = tokens.length): string {
    let text = "";
    for (let at = from; at < to; at++) text += this.pushToken(tokens[at] ?? 0);
    return text;
  }

  /** No more tokens come: an incomplete character becomes U+FFFD. Returns what was held back. */
  end(): string {
    if (this.#more === 0) return "";
    this.#more = 0;
    this.#length += 1;
    return REPLACEMENT;
  }

  #decode(bytes: Uint8Array): string {
    let text = "";
    for (const byte of bytes) {
      if (this.#more > 0) {
        if (byte >= this.#low && byte <= this.#high) {
          text += this.#continue(byte);
          continue;
        }
        this.#more = 0;
        text += REPLACEMENT;
      }
      text += this.#start(byte);
    }
    return text;
  }

  #continue(byte: number): string {
    this.#codePoint = (this.#codePoint << 6) | (byte & 0x3f);
    this.#low = 0x80;
    this.#high = 0xbf;
    this.#more--;
    return this.#more === 0 ? String.fromCodePoint(this.#codePoint) : "";
  }

  #start(byte: number): string {
    if (byte < 0x80) return String.fromCharCode(byte);
    const begin = lead(byte);
    if (!begin) return REPLACEMENT;
    this.#more = begin.more;
    this.#low = begin.low;
    this.#high = begin.high;
    this.#codePoint = byte & (0x3f >> begin.more);
    return "";
  }
}

/** Code points of a text; a surrogate pair is one. */
function codePoints(text: string): number {
  let pairs = 0;
  for (let at = 0; at < text.length; at++) if ((text.charCodeAt(at) & 0xfc00) === 0xdc00) pairs++;
  return text.length - pairs;
}

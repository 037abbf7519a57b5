import { TOKEN_BIT } from "./special.ts";
import type { Vocabulary } from "./vocabulary.ts";

/**
 * The bytes of every token: those of token i are `bytes[offsets[i] .. offsets[i + 1]]`. The native vocabulary returns
 * the same shape, with the first five bits only.
 */
export interface PieceTable {
  /** Of all tokens one after another, in order of their ids. */
  readonly bytes: Uint8Array;
  /** One more than there are tokens. */
  readonly offsets: Uint32Array;
  /** {@link TOKEN_BIT} bits per token. */
  readonly attributes: Uint8Array;
}

/**
 * The 256 characters by which byte-level vocabularies write bytes (GPT-2's `bytes_to_unicode`): printable Latin-1 stands
 * for itself, the others count up from U+0100.
 */
export function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
    return String.fromCharCode(printable ? byte : next++);
  });
}

/** Bytes that grow. */
class Bytes {
  #bytes: Uint8Array;
  /** How many are in use. */
  end = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Makes room for as many more; the array may be written from `end` on. */
  reserve(count: number): Uint8Array {
    if (this.end + count > this.#bytes.length) {
      const longer = new Uint8Array(this.#bytes.length * 2 + count);
      longer.set(this.#bytes);
      this.#bytes = longer;
    }
    return this.#bytes;
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length).set(bytes, this.end);
    this.end += bytes.length;
  }

  done(): Uint8Array {
    return this.#bytes.slice(0, this.end);
  }
}

/** Appends the bytes of a token's text as the file has it. */
type Decode = (text: Uint8Array, into: Bytes) => void;

/** Characters by which bytes are written are all below this one. */
const BYTE_CHARACTERS_END = 0x144;

/** Decodes token texts that are byte-level: one character per byte, of one or two bytes in UTF-8. */
function byteLevelDecoder(): Decode {
  const byteOf = new Int16Array(BYTE_CHARACTERS_END).fill(-1);
  for (const [byte, character] of byteCharacters().entries()) byteOf[character.charCodeAt(0)] = byte;
  return (text, into) => {
    const bytes = into.reserve(text.length);
    let { end } = into;
    for (let at = 0; at < text.length; at++) {
      const first = text[at]!;
      const code = first < 0x80 ? first : ((first & 0x1f) << 6) | ((text[++at] ?? 0) & 0x3f);
      const byte = first < 0xe0 && code < BYTE_CHARACTERS_END ? byteOf[code]! : -1;
      if (byte < 0) return appendStrange(text, into, byteOf);
      bytes[end++] = byte;
    }
    into.end = end;
  };
}

/** A text with a character that stands for no byte, as the library writes it: the vocabulary is broken, and this shows it. */
function appendStrange(bytes: Uint8Array, into: Bytes, byteOf: Int16Array): void {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  for (const character of text) {
    const byte = byteOf[character.codePointAt(0)!] ?? -1;
    const code = Buffer.from(character).toString("hex");
    into.append(byte >= 0 ? Uint8Array.of(byte) : Buffer.from(`[UNK_BYTE_0x${code}${text}]`));
  }
}

/** Decodes token texts in which U+2581 stands for a space. */
const decodeMarked: Decode = (text, into) => {
  const bytes = into.reserve(text.length);
  let { end } = into;
  for (let at = 0; at < text.length; at++) {
    const isMark = text[at] === 0xe2 && text[at + 1] === 0x96 && text[at + 2] === 0x81;
    bytes[end++] = isMark ? 0x20 : text[at]!;
    if (isMark) at += 2;
  }
  into.end = end;
};

/** What the bytes of a table are begun with, per token. */
const USUAL_PIECE_BYTES = 8;

const VERBATIM = TOKEN_BIT.control | TOKEN_BIT.userDefined | TOKEN_BIT.unknown;

/** The byte of a token that is written `<0x0A>`; 0 where it is written otherwise. */
function byteOfCode(text: Uint8Array): number {
  return Number.parseInt(String.fromCharCode(text[3] ?? 0, text[4] ?? 0), 16) || 0;
}

/** The bytes of every token of a vocabulary, special ones as their names. `bits` is that of `tokenBits`. */
export function pieceTable(vocabulary: Vocabulary, bits: Uint8Array): PieceTable {
  const decode = vocabulary.kind === "gpt2" ? byteLevelDecoder() : decodeMarked;
  const offsets = new Uint32Array(vocabulary.size + 1);
  const pieces = new Bytes(vocabulary.size * USUAL_PIECE_BYTES);
  for (let id = 0; id < vocabulary.size; id++) {
    const tokenBits = bits[id] ?? 0;
    const text = vocabulary.texts.bytesOf(id);
    if (tokenBits & VERBATIM) pieces.append(text);
    else if (tokenBits & TOKEN_BIT.byte) pieces.append(Uint8Array.of(byteOfCode(text)));
    else if ((tokenBits & TOKEN_BIT.unused) === 0 && vocabulary.types[id] !== 0) decode(text, pieces);
    offsets[id + 1] = pieces.end;
  }
  return { bytes: pieces.done(), offsets, attributes: bits };
}

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

/** Decodes token texts that are byte-level: one character per byte. */
function byteLevelDecoder(): (text: string) => Uint8Array {
  const byteOf = new Map(byteCharacters().map((character, byte) => [character, byte]));
  const encoder = new TextEncoder();
  return (text) => {
    const bytes: number[] = [];
    for (const character of text) {
      const byte = byteOf.get(character);
      if (byte !== undefined) bytes.push(byte);
      else {
        // The library writes it so; a vocabulary with such a token is broken, and this shows it.
        const code = [...encoder.encode(character)].map((each) => each.toString(16).padStart(2, "0")).join("");
        bytes.push(...encoder.encode(`[UNK_BYTE_0x${code}${text}]`));
      }
    }
    return Uint8Array.from(bytes);
  };
}

/** Decodes token texts in which a mark stands for a space. */
function markedDecoder(): (text: string) => Uint8Array {
  const encoder = new TextEncoder();
  return (text) => encoder.encode(text.replaceAll("▁", " "));
}

/** What the bytes of a table are begun with, per token. */
const USUAL_PIECE_BYTES = 8;

const VERBATIM = TOKEN_BIT.control | TOKEN_BIT.userDefined | TOKEN_BIT.unknown;

/** The bytes of every token of a vocabulary, special ones as their names. `bits` is that of `tokenBits`. */
export function pieceTable(vocabulary: Vocabulary, bits: Uint8Array): PieceTable {
  const encoder = new TextEncoder();
  const decode = vocabulary.kind === "gpt2" ? byteLevelDecoder() : markedDecoder();
  const pieceOf = (id: number): Uint8Array => {
    const tokenBits = bits[id] ?? 0;
    const text = vocabulary.texts.text(id);
    if (tokenBits & VERBATIM) return encoder.encode(text);
    if (tokenBits & TOKEN_BIT.byte) return Uint8Array.of(Number.parseInt(text.slice(3, 5), 16) || 0);
    return tokenBits & TOKEN_BIT.unused || vocabulary.types[id] === 0 ? new Uint8Array(0) : decode(text);
  };
  const offsets = new Uint32Array(vocabulary.size + 1);
  let bytes = new Uint8Array(vocabulary.size * USUAL_PIECE_BYTES);
  let end = 0;
  for (let id = 0; id < vocabulary.size; id++) {
    const piece = pieceOf(id);
    if (end + piece.length > bytes.length) {
      const longer = new Uint8Array(bytes.length * 2 + piece.length);
      longer.set(bytes);
      bytes = longer;
    }
    bytes.set(piece, end);
    end += piece.length;
    offsets[id + 1] = end;
  }
  return { bytes: bytes.slice(0, end), offsets, attributes: bits };
}

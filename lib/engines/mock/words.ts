import { badModelFile } from "#lib/text/gguf";
import { type PieceTable, pieceTable } from "#lib/text/pieces";
import { TOKEN_BIT, tokenBits } from "#lib/text/special";
import type { Vocabulary } from "#lib/text/vocabulary";

/** What the mock can say in a vocabulary. */
export interface MockWords {
  /** Tokens that are a word after a space, in letters of any script and none of them upper-case, in order of their ids. */
  readonly words: Uint32Array;
  /** The token of a full stop; undefined when there is none. */
  readonly stop: number | undefined;
  /** The token that ends an answer; undefined when there is none. */
  readonly end: number | undefined;
  /** Bytes of all tokens of the vocabulary. */
  readonly pieces: PieceTable;
}

const LEAST_WORDS = 64;
const WORD = /^ [\p{Ll}\p{Lo}\p{M}]{2,}$/u;

/** Finds words in a vocabulary. Throws BAD_MODEL_FILE when it has next to none. */
export function findWords(vocabulary: Vocabulary): MockWords {
  const bits = tokenBits(vocabulary);
  const pieces = pieceTable(vocabulary, bits);
  const decoder = new TextDecoder();
  const plain: number[] = [];
  const words: number[] = [];
  let stop: number | undefined;
  for (let token = 0; token < vocabulary.size; token++) {
    if ((bits[token]! & (TOKEN_BIT.control | TOKEN_BIT.endOfGeneration)) !== 0) continue;
    const text = decoder.decode(pieces.bytes.subarray(pieces.offsets[token], pieces.offsets[token + 1]));
    if (text === ".") stop = token;
    if (WORD.test(text)) words.push(token);
    else if (/^ ?[A-Za-z]+$/.test(text)) plain.push(token);
  }
  const all = words.length >= LEAST_WORDS ? words : [...words, ...plain];
  if (all.length < LEAST_WORDS) {
    throw badModelFile(vocabulary.name, "its vocabulary has too few words");
  }
  const isEnd = (token: number | undefined) => token !== undefined && (bits[token]! & TOKEN_BIT.endOfGeneration) !== 0;
  const end =
    [vocabulary.ids.get("eot"), vocabulary.ids.get("eos")].find(isEnd) ?? bits.findIndex((_, id) => isEnd(id));
  return { words: Uint32Array.from(all), stop, end: end < 0 ? undefined : end, pieces };
}

import { ownCopy } from "#lib/base/bytes";

/** A stretch of a text: UTF-16 or UTF-8. A text has one form alone, and counts its places in it. */
export type Piece = string | Uint8Array;

/** A text in pieces, none empty. */
export interface PromptText {
  /** All strings, or all bytes. */
  readonly pieces: readonly Piece[];
  /** Where it is somebody else's: start and end in UTF-16 units, in turn, rising, whatever the form. */
  readonly content: readonly number[];
}

/** A place in a text. */
export interface Place {
  /** The piece in which it lies; behind the last one at the end. */
  readonly piece: number;
  /** How much of that piece is before it. */
  readonly offset: number;
  /** UTF-16 units of the text before it. */
  readonly units: number;
}

/** Where a text begins. */
export const START: Place = { piece: 0, offset: 0, units: 0 };

/** From `start` to before `end`: bytes as a view. */
export function cut<Form extends Piece>(piece: Form, start: number, end: number): Form {
  if (start === 0 && end === piece.length) return piece;
  return (typeof piece === "string" ? piece.slice(start, end) : piece.subarray(start, end)) as Form;
}

/** Whether two pieces are the same. */
export function same(left: Piece, right: Piece): boolean {
  if (typeof left === "string" || typeof right === "string") return left === right;
  return left.length === right.length && Buffer.compare(left, right) === 0;
}

/** The place so much further, of which the units are known. */
export function further({ pieces }: PromptText, from: Place, length: number, units: number): Place {
  let { piece } = from;
  let offset = from.offset + length;
  for (let size = pieces[piece]?.length; size !== undefined && offset >= size; size = pieces[++piece]?.length) {
    offset -= size;
  }
  return { piece, offset, units: from.units + units };
}

/** What stands behind a place, in pieces, up to so much of it. */
export function behind({ pieces }: PromptText, from: Place, length = Number.POSITIVE_INFINITY): Piece[] {
  const found: Piece[] = [];
  let { piece, offset } = from;
  for (let left = length; left > 0 && piece < pieces.length; piece++) {
    const whole = pieces[piece]!;
    const end = Math.min(whole.length, offset + left);
    found.push(cut(whole, offset, end));
    left -= end - offset;
    offset = 0;
  }
  return found;
}

/** The same as one string; bytes as Latin-1, so that equal bytes are equal strings. */
export function joined(pieces: readonly Piece[]): string {
  let text = "";
  for (const piece of pieces) {
    text +=
      typeof piece === "string" ? piece : Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString("latin1");
  }
  return text;
}

/** Bytes that are less than this of their memory are copied: the rest would stay with them. */
const LEAST_SHARE = 7 / 8;

/** A piece that keeps little alive beside itself. Bytes that are nearly all of their memory stay where they are. */
export function ownPiece(piece: Piece): Piece {
  if (typeof piece === "string") return ownCopy(piece);
  return piece.length >= LEAST_SHARE * piece.buffer.byteLength ? piece : piece.slice();
}

/** Bytes that own pieces of UTF-8 keep alive, at most. */
export function keptBytes(length: number): number {
  return Math.floor(length / LEAST_SHARE);
}

/** The first range that ends behind a place. */
function firstRange(content: readonly number[], units: number): number {
  let [low, high] = [0, content.length / 2];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (content[2 * middle + 1]! > units) high = middle;
    else low = middle + 1;
  }
  return 2 * low;
}

/** The content of so many units behind a place, or of all, counted from there. */
export function contentIn(content: readonly number[], from: number, units = Number.POSITIVE_INFINITY): number[] {
  const ranges: number[] = [];
  for (let at = firstRange(content, from); at < content.length && content[at]! < from + units; at += 2) {
    ranges.push(Math.max(0, content[at]! - from), Math.min(units, content[at + 1]! - from));
  }
  return ranges;
}

/** Units behind a place in which content lies where it is known to, of so many. */
export function agreeingContent(
  known: readonly number[],
  given: readonly number[],
  { from, units }: { readonly from: number; readonly units: number },
): number {
  let at = firstRange(given, from);
  for (let each = 0; ; each++, at++) {
    const one = each < known.length ? known[each]! : units;
    const other = at < given.length ? Math.min(units, Math.max(0, given[at]! - from)) : units;
    if (one !== other) return Math.min(one, other);
    if (one === units) return units;
  }
}

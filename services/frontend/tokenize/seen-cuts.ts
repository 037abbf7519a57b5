import { CUT_NUMBERS } from "#lib/native/addon";

/**
 * Which beginnings of texts came before, as a mark of four bytes for each cut: no texts, nothing that a collector walks.
 * A mark is of the tokens since the cut before and of where they end. A newer one may take its place, and two may be
 * alike: who asks must be right without it.
 */
export class SeenCuts {
  readonly #marks: Int32Array;

  /** At most so many bytes. */
  constructor(mostBytes: number) {
    const most = Math.floor(mostBytes / Int32Array.BYTES_PER_ELEMENT);
    // Of no mark, the logarithm is that of nothing.
    this.#marks = new Int32Array(2 ** Math.floor(Math.log2(most)));
  }

  /** What it holds, always. */
  get bytes(): number {
    return this.#marks.byteLength;
  }

  /**
   * Marks the cuts of an encoding, and answers whether the first of them was marked before.
   * @param from tokens of the text before the encoding
   * @param cuts as `NativeEncoding` has them
   */
  mark(from: number, ids: Uint32Array, cuts: Uint32Array): boolean {
    const marks = this.#marks;
    let isSeen = false;
    let id = 0;
    for (let at = 2; at < cuts.length; at += CUT_NUMBERS) {
      const end = cuts[at]!;
      let mark = from + end;
      for (; id < end; id++) mark = Math.imul(mark ^ ids[id]!, 0x9e37_79b1) ^ (mark >>> 15);
      const place = mark & (marks.length - 1);
      if (at === 2) isSeen = marks[place] === mark;
      marks[place] = mark;
    }
    return isSeen;
  }
}

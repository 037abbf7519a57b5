/** A text that is encoded as a whole. */
export interface WholeText {
  /** It is taken. */
  readonly utf8: Uint8Array;
  /** Where it is somebody else's and names no control token: start and end in UTF-16 units, in turn, rising. */
  readonly content: readonly number[];
}

/** Encodes the long texts of one vocabulary away from the event loop. */
export interface RemoteEncoder {
  /** Tokens of plain texts without special tokens, in order. Rejects with OVERLOADED when too much waits already. */
  encode(texts: readonly string[]): Promise<Uint32Array[]>;
  /** Tokens of a whole text, its special tokens found too. Rejects with OVERLOADED likewise. */
  encodeWhole(text: WholeText): Promise<Uint32Array>;
  /** What is under way is answered first. */
  close(): Promise<void> | void;
}

import type { BlockChain } from "#lib/tokens/token-chain";
import type { KvNotice } from "../engine.ts";

/** Whose tokens blocks hold: part of their names, and told in notices. */
export interface KvOwner {
  /** Blocks are shared within one salt. */
  readonly cacheSalt: string;
  /** Name of the adapter; undefined: the base model. */
  readonly adapter: string | undefined;
}

/** A sequence whose blocks are told of. */
export interface ToldSequence {
  /** Its tokens and the names of its blocks. */
  readonly chain: BlockChain;
  /** Whose tokens they are. */
  readonly owner: KvOwner;
}

/** What is told of blocks that come and go, in order; removals in a row are one notice. */
export class KvNotices {
  readonly #blockTokens: number;
  #notices: KvNotice[] = [];
  #removed: bigint[] = [];

  constructor(blockTokens: number) {
    this.#blockTokens = blockTokens;
  }

  /** Blocks of a sequence, from index `from` to `to - 1`, can be found. */
  stored({ chain, owner }: ToldSequence, from: number, to: number): void {
    if (from >= to) return;
    this.#flushRemoved();
    this.#notices.push({
      kind: "stored",
      parent: from === 0 ? undefined : chain.hash(from - 1),
      hashes: chain.hashes(from, to).slice(),
      tokens: chain.tokens(from * this.#blockTokens, to * this.#blockTokens).slice(),
      contents: chain.contents(from, to).slice(),
      cacheSalt: owner.cacheSalt,
      adapter: owner.adapter,
    });
  }

  /** A block cannot be found any more. */
  removed(hash: bigint): void {
    this.#removed.push(hash);
  }

  /** None can be found any more. */
  cleared(): void {
    // What went is in this word.
    this.#removed = [];
    this.#notices.push({ kind: "cleared" });
  }

  /** Takes the notices since the last call. */
  take(): readonly KvNotice[] {
    this.#flushRemoved();
    const notices = this.#notices;
    if (notices.length > 0) this.#notices = [];
    return notices;
  }

  #flushRemoved(): void {
    if (this.#removed.length === 0) return;
    this.#notices.push({ kind: "removed", hashes: BigUint64Array.from(this.#removed) });
    this.#removed = [];
  }
}

import type { KvStored } from "#lib/kv/event";

/** Blocks that were stored, with the tokens that are in them. */
export interface HeldRun {
  /** As it was told. */
  readonly change: KvStored;
  /** Token ids of the blocks in order. */
  readonly tokens: Uint32Array;
}

/** A run whose blocks may go one by one. */
interface Run extends HeldRun {
  /** Blocks of it that are held. */
  live: number;
}

/** Where a block is told of. */
interface Held {
  readonly run: Run;
  /** Place in the run. */
  readonly at: number;
}

/**
 * What an engine has told that it keeps: equal to its pool, and there for engines whose pool is elsewhere too. Its memory
 * is that of the blocks, with their tokens: at most twice of it.
 */
export class KvMirror {
  readonly #blockTokens: number;
  readonly #held = new Map<bigint, Held>();

  constructor(blockTokens: number) {
    this.#blockTokens = blockTokens;
  }

  /** Blocks that are held. */
  get blocks(): number {
    return this.#held.size;
  }

  /** Whether a block is held. */
  has(hash: bigint): boolean {
    return this.#held.has(hash);
  }

  /** Keeps the arrays. What is held already stays as it is. */
  store({ change, tokens }: HeldRun): void {
    const run: Run = { change, tokens, live: 0 };
    for (const [at, hash] of change.hashes.entries()) {
      if (this.#held.has(hash)) continue;
      this.#held.set(hash, { run, at });
      run.live++;
    }
  }

  /** Lets blocks go; those that are not held do nothing. */
  remove(hashes: BigUint64Array): void {
    for (const hash of hashes) {
      const held = this.#held.get(hash);
      if (!held) continue;
      this.#held.delete(hash);
      const { run } = held;
      if (--run.live > 0 && run.live * 2 < run.change.hashes.length) this.#shrink(run);
    }
  }

  clear(): void {
    this.#held.clear();
  }

  /**
   * All that is held, as it would be stored one after the other, those before them first. Blocks behind one that is not
   * held are left out: nobody could find them. Views of the arrays that are kept.
   */
  runs(): HeldRun[] {
    const runs: HeldRun[] = [];
    const told = new Set<bigint>();
    const waiting = new Map<bigint, Held[]>();
    let open: { readonly run: Run; readonly from: number; to: number } | undefined;
    const close = (): void => {
      if (open) runs.push(this.#cut(open.run, open.from, open.to));
      open = undefined;
    };
    const tell = (first: Held): void => {
      for (const next = [first]; next.length > 0; ) {
        const { run, at } = next.pop()!;
        if (open?.run === run && open.to === at) open.to++;
        else {
          close();
          open = { run, from: at, to: at + 1 };
        }
        const hash = run.change.hashes[at]!;
        told.add(hash);
        next.push(...(waiting.get(hash) ?? []));
        waiting.delete(hash);
      }
    };
    for (const held of this.#held.values()) {
      const parent = parentOf(held);
      if (parent === undefined || told.has(parent)) tell(held);
      else waiting.set(parent, [...(waiting.get(parent) ?? []), held]);
    }
    close();
    return runs;
  }

  #cut({ change, tokens }: Run, from: number, to: number): HeldRun {
    const width = this.#blockTokens;
    if (from === 0 && to === change.hashes.length) return { change, tokens };
    const { media } = change;
    return {
      tokens: tokens.subarray(from * width, to * width),
      change: {
        ...change,
        parent: from === 0 ? change.parent : change.hashes[from - 1],
        hashes: change.hashes.subarray(from, to),
        contents: change.contents.subarray(from, to),
        media: media
          .filter(({ block }) => block >= from && block < to)
          .map((each) => ({ ...each, block: each.block - from })),
      },
    };
  }

  /** Most of a run is gone: what is left of it gets arrays of its own, so that the rest is not kept for it. */
  #shrink(run: Run): void {
    const { hashes } = run.change;
    const isLeft = (at: number) => this.#held.get(hashes[at]!)?.run === run;
    for (let from = 0; from < hashes.length; from++) {
      if (!isLeft(from)) continue;
      let to = from + 1;
      while (to < hashes.length && isLeft(to)) to++;
      const { change, tokens } = this.#cut(run, from, to);
      const own = { ...change, hashes: change.hashes.slice(), contents: change.contents.slice() };
      const left: Run = { change: own, tokens: tokens.slice(), live: to - from };
      for (let at = from; at < to; at++) this.#held.set(hashes[at]!, { run: left, at: at - from });
      from = to;
    }
  }
}

function parentOf({ run: { change }, at }: Held): bigint | undefined {
  return at === 0 ? change.parent : change.hashes[at - 1];
}

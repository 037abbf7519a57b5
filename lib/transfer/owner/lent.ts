import { assert, type StatorError } from "#lib/base/errors";
import type { BlockStore, PinnedRun } from "../block-store.ts";
import type { PinBook } from "./pin-book.ts";

/** What a sequence is kept in. */
export interface LentDeps {
  /** Whose blocks they are. */
  readonly store: BlockStore;
  /** What all sequences keep together. */
  readonly pins: PinBook;
  /** Most that they may. */
  readonly maxPinned: number;
}

/** A run that is let go when nobody reads it any more. */
class HeldRun {
  readonly run: PinnedRun;
  #readers = 0;
  #isDropped = false;

  constructor(run: PinnedRun) {
    this.run = run;
  }

  async read(store: BlockStore, from: number, into: readonly Uint8Array[]): Promise<BigUint64Array> {
    this.#readers++;
    try {
      return await store.read(this.run, from, into);
    } finally {
      this.#readers--;
      this.#settle();
    }
  }

  drop(): void {
    this.#isDropped = true;
    this.#settle();
  }

  #settle(): void {
    if (this.#isDropped && this.#readers === 0) this.run.unpin();
  }
}

/** What is known of a sequence when it begins to be kept. */
export interface LentInit {
  /** Its name among the sessions. */
  readonly id: string;
  /** Where somebody may wait for it. */
  readonly room: bigint | undefined;
  /** All its tokens. */
  readonly tokens: Uint32Array;
  /** Sequence hashes of its complete blocks. */
  readonly hashes: BigUint64Array;
}

/** The blocks of one sequence that are kept for others: those that are there, and those to come while it is computed. */
export class Lent {
  readonly id: string;
  readonly room: bigint | undefined;
  readonly tokens: Uint32Array;
  readonly hashes: BigUint64Array;
  /** Called when there are more blocks, first tokens, or an end. */
  readonly watchers = new Set<() => void>();
  readonly #deps: LentDeps;
  #held: HeldRun | undefined;
  #available = 0;
  #firstTokens: Uint32Array | undefined;
  #error: StatorError | undefined;

  constructor(init: LentInit, deps: LentDeps) {
    this.id = init.id;
    this.room = init.room;
    this.tokens = init.tokens;
    this.hashes = init.hashes;
    this.#deps = deps;
  }

  /** Leading blocks that can be read. */
  get available(): number {
    return this.#available;
  }

  /** What the prefill drew; undefined while it runs. No block comes after it. */
  get firstTokens(): Uint32Array | undefined {
    return this.#firstTokens;
  }

  /** Why it is not kept any more. */
  get error(): StatorError | undefined {
    return this.#error;
  }

  /** Keeps what was computed meanwhile, within the bound. */
  grow(): void {
    if (this.#error || this.#firstTokens) return;
    const { store, pins, maxPinned } = this.#deps;
    const more = store.count(this.hashes.subarray(this.#available));
    if (more === 0) return;
    const count = this.#available + more;
    if (pins.size + pins.countNew(this.hashes.subarray(this.#available, count)) > maxPinned) return;
    const run = store.pin(this.hashes.subarray(0, count));
    assert(run.index === 0, "a run that is pinned from its sequence's start begins there");
    const before = this.#held;
    this.#held = new HeldRun(run);
    before?.drop();
    if (run.count > this.#available) pins.add(this.hashes.subarray(this.#available, run.count));
    this.#available = Math.max(this.#available, run.count);
    this.#tell();
  }

  /** The prefill is done. */
  finish(firstTokens: Uint32Array): void {
    this.grow();
    this.#firstTokens = firstTokens;
    this.#tell();
  }

  /** Reads blocks from the `from`-th on into the arrays; as `BlockStore.read`. */
  read(from: number, into: readonly Uint8Array[]): Promise<BigUint64Array> {
    assert(this.#held && from + into.length <= this.#available, "blocks are read that are kept");
    return this.#held.read(this.#deps.store, from, into);
  }

  /** Lets its blocks go when nobody reads them; who watches is told why. Once is enough. */
  end(error: StatorError): void {
    if (this.#error) return;
    this.#error = error;
    this.#deps.pins.remove(this.hashes.subarray(0, this.#available));
    this.#held?.drop();
    this.#held = undefined;
    this.#tell();
  }

  #tell(): void {
    for (const watch of [...this.watchers]) watch();
  }
}

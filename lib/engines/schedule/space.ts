/**
 * Where KV lies, for the account of blocks. A paged engine keeps each block in a place of its own and needs nothing of
 * this; an engine with sequence slots must be told which slots share which blocks. Calls change the state at once;
 * what the engine has to do for it collects in ops, which are to run before the next batch.
 */
export interface KvSpace {
  /** Makes room for a sequence that begins with these registered blocks. Its slot, or undefined when there is none now. */
  begin(matched: readonly number[]): number | undefined;
  /** The sequence gets one more block. */
  extend(slot: number, block: number): void;
  /** The sequence's block at `index` is another one now, which has the same content. */
  replace(slot: number, index: number, block: number): void;
  /** The sequence ends; its first `registered` blocks may stay as cache, everything behind them goes. */
  end(slot: number, registered: number): void;
  /** A cached block leaves the pool. */
  evicted(block: number): void;
  /** A slot that holds a registered block. */
  slotOf(block: number): number;
  /** Whether ops wait. */
  readonly hasOps: boolean;
  /** Takes the ops that wait. */
  takeOps(): Int32Array;
  /** Puts ops back that were taken and never ran. */
  returnOps(ops: Int32Array): void;
}

const NO_OPS = new Int32Array(0);

/** The space of an engine whose blocks lie anywhere. Slots mean nothing. */
export const pagedSpace: KvSpace = {
  begin: () => 0,
  extend() {},
  replace() {},
  end() {},
  evicted() {},
  slotOf: () => 0,
  hasOps: false,
  takeOps: () => NO_OPS,
  returnOps() {},
};

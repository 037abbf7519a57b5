import { KV_TIERS, type KvApplied, type KvChange, type KvStored, type KvTier } from "#lib/kv/event";
import type { Overlaps, PrefixIndex, PromptBlocks } from "#lib/routing/index/prefix-index";

/** A block: what is before it and its content make it. */
interface Block {
  /** Its number, for the keys of those that go on from it. */
  readonly id: number;
  readonly key: string;
  readonly before: Block | undefined;
  /** Blocks that go on from it. */
  after: number;
  /** Who has it: place of the tier and slot in one number. */
  readonly holders: Set<number>;
  /** Until when whom it is expected of. */
  readonly untilMs: Map<number, number>;
  /** What takes its names back when it is forgotten. */
  readonly unname: (() => void)[];
}

const NOTHING: KvApplied = { stored: 0, removed: 0, absent: 0, parentUnknown: false };

/**
 * The plainest index: one table of all blocks by all that is before them, a name for each holder and block, no budget.
 * Other indexes are compared with it.
 */
export class FlatIndex implements PrefixIndex {
  readonly evicted = 0;
  readonly bytes = 0;
  slots = 0;
  readonly #blocks = new Map<string, Block>();
  readonly #names: Map<bigint, Block>[] = [];
  /** Names by which all holders know blocks. */
  readonly #common = new Map<bigint, Block>();
  readonly #free: number[] = [];
  #made = 1;

  get entries(): number {
    let count = 0;
    for (const block of this.#blocks.values()) count += block.holders.size;
    return count;
  }

  get expected(): number {
    let count = 0;
    for (const block of this.#blocks.values()) count += block.untilMs.size;
    return count;
  }

  join(): number {
    const slot = this.#free.pop() ?? this.slots++;
    this.#names[slot] = new Map();
    return slot;
  }

  leave(slot: number): void {
    this.#clear(slot);
    this.#free.push(slot);
  }

  held(slot: number, tier: KvTier): number {
    return [...this.#blocks.values()].filter((block) => block.holders.has(laneOf(tier, slot))).length;
  }

  heldAnywhere(slot: number): number {
    return KV_TIERS.reduce((sum, tier) => sum + this.held(slot, tier), 0);
  }

  lost(): number {
    return 0;
  }

  apply(slot: number, change: KvChange): KvApplied {
    if (change.kind === "cleared") return { ...NOTHING, removed: this.#clear(slot) };
    if (change.group !== 0) return NOTHING;
    if (change.kind === "stored") return this.#store(slot, change);
    let removed = 0;
    for (const hash of change.hashes) {
      const block = this.#named(slot, hash);
      if (!block?.holders.delete(laneOf(change.tier, slot))) continue;
      removed++;
      this.#prune(block);
    }
    return { ...NOTHING, removed, absent: change.hashes.length - removed };
  }

  expect(slot: number, prompt: PromptBlocks, untilMs: number): void {
    let before: Block | undefined;
    for (const content of prompt.contents(prompt.length).subarray(0, prompt.length)) {
      before = this.#block(before, content);
      before.untilMs.set(slot, Math.max(untilMs, before.untilMs.get(slot) ?? untilMs));
    }
  }

  expire(nowMs: number): void {
    for (const block of [...this.#blocks.values()]) {
      for (const [slot, untilMs] of block.untilMs) if (untilMs <= nowMs) block.untilMs.delete(slot);
      this.#prune(block);
    }
  }

  match(prompt: PromptBlocks, into: Overlaps): void {
    const path: Block[] = [];
    for (const content of prompt.contents(prompt.length).subarray(0, prompt.length)) {
      const block = this.#blocks.get(keyOf(path.at(-1), content));
      if (!block) break;
      path.push(block);
    }
    for (let slot = 0; slot < this.slots; slot++) {
      let depth = 0;
      for (const tier of KV_TIERS) {
        const from = depth;
        const has = (block: Block) =>
          block.holders.has(laneOf(tier, slot)) || (tier === "device" && block.untilMs.has(slot));
        while (depth < path.length && has(path[depth]!)) depth++;
        into[tier][slot] = depth - from;
      }
    }
  }

  /** Whether a slot has the last block of a sequence in some tier. */
  holds(slot: number, contents: readonly bigint[]): boolean {
    let block: Block | undefined;
    for (const content of contents) {
      block = this.#blocks.get(keyOf(block, content));
      if (!block) return false;
    }
    return block !== undefined && KV_TIERS.some((tier) => block.holders.has(laneOf(tier, slot)));
  }

  /** A flat table is no place to learn from. */
  dump(): Iterable<KvChange> {
    return [];
  }

  #named(slot: number, name: bigint): Block | undefined {
    return this.#names[slot]!.get(name) ?? this.#common.get(name);
  }

  #block(before: Block | undefined, content: bigint): Block {
    const key = keyOf(before, content);
    let block = this.#blocks.get(key);
    if (!block) {
      block = { id: this.#made++, key, before, after: 0, holders: new Set(), untilMs: new Map(), unname: [] };
      this.#blocks.set(key, block);
      if (before) before.after++;
    }
    return block;
  }

  #store(slot: number, change: KvStored): KvApplied {
    let before = change.parent === undefined ? undefined : this.#named(slot, change.parent);
    if (change.parent !== undefined && !before) return { ...NOTHING, parentUnknown: true };
    let stored = 0;
    for (const [at, content] of change.contents.entries()) {
      before = this.#block(before, content);
      if (!before.holders.has(laneOf(change.tier, slot))) stored++;
      before.holders.add(laneOf(change.tier, slot));
      name(this.#names[slot]!, change.hashes[at]!, before);
      if (!this.#common.has(change.hashes[at]!)) name(this.#common, change.hashes[at]!, before);
    }
    return { ...NOTHING, stored };
  }

  #clear(slot: number): number {
    let removed = 0;
    for (const block of [...this.#blocks.values()]) {
      for (const tier of KV_TIERS) if (block.holders.delete(laneOf(tier, slot))) removed++;
      block.untilMs.delete(slot);
      this.#prune(block);
    }
    this.#names[slot] = new Map();
    return removed;
  }

  /** A block that nobody has, expects or goes on from is forgotten, and then perhaps the one before it. */
  #prune(pruned: Block): void {
    for (let block: Block | undefined = pruned; block; block = block.before) {
      if (block.holders.size > 0 || block.untilMs.size > 0 || block.after > 0) return;
      if (!this.#blocks.delete(block.key)) return;
      if (block.before) block.before.after--;
      for (const unname of block.unname) unname();
    }
  }
}

function name(names: Map<bigint, Block>, hash: bigint, block: Block): void {
  if (names.get(hash) === block) return;
  names.set(hash, block);
  block.unname.push(() => {
    if (names.get(hash) === block) names.delete(hash);
  });
}

function laneOf(tier: KvTier, slot: number): number {
  return KV_TIERS.indexOf(tier) * 65_536 + slot;
}

function keyOf(before: Block | undefined, content: bigint): string {
  return `${before?.id ?? 0}/${content}`;
}

import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { eachSeed } from "../../test/support/seeds.ts";
import { BlockPool, NO_BLOCK } from "./block-pool.ts";

/** Registers a chain of these hashes and returns its blocks, each with one reference. */
function store(pool: BlockPool, hashes: bigint[]): number[] {
  const blocks = pool.allocate(hashes.length)!;
  let parent = NO_BLOCK;
  return blocks.map((block, at) => {
    pool.complete(block);
    parent = pool.register(block, hashes[at]!, parent);
    return parent;
  });
}

function give(pool: BlockPool, blocks: number[]): void {
  for (const block of blocks.toReversed()) pool.release(block);
}

test("a block goes from reset to registered and back", () => {
  const evicted: bigint[] = [];
  const pool = new BlockPool({ blocks: 1, onEvict: (_, hash) => evicted.push(hash) });
  const [block] = pool.allocate(1)!;
  expect(pool.state(block!)).toBe("partial");
  pool.complete(block!);
  expect(pool.state(block!)).toBe("complete");
  pool.register(block!, 7n, NO_BLOCK);
  expect(pool.state(block!)).toBe("registered");
  pool.release(block!);
  expect([pool.cachedBlocks, pool.usedBlocks, pool.availableBlocks]).toEqual([1, 0, 1]);
  expect(pool.match(BigUint64Array.of(7n))).toEqual([block]);
  pool.release(block!);
  expect(pool.allocate(1)).toEqual([block]);
  expect(evicted).toEqual([7n]);
});

test("asking for one block too many changes nothing", () => {
  const pool = new BlockPool({ blocks: 4 });
  const kept = pool.allocate(2)!;
  give(pool, store(pool, [1n]));
  expect(pool.allocate(3)).toBeUndefined();
  expect([pool.resetBlocks, pool.cachedBlocks, pool.usedBlocks]).toEqual([1, 1, 2]);
  expect(pool.find(1n)).toBeDefined();
  give(pool, kept);
});

test("two requests that complete the same block share one", () => {
  const removed: bigint[] = [];
  const pool = new BlockPool({ blocks: 3, onEvict: (_, hash) => removed.push(hash) });
  const [first, second] = pool.allocate(2)!;
  pool.complete(first!);
  pool.complete(second!);
  expect(pool.register(first!, 5n, NO_BLOCK)).toBe(first);
  expect(pool.register(second!, 5n, NO_BLOCK)).toBe(first);
  expect([pool.references(first!), pool.resetBlocks]).toEqual([2, 2]);
  pool.release(first!);
  pool.release(first!);
  expect(pool.clear()).toBe(1);
  expect(removed).toEqual([5n]);
});

test("eviction goes by priority, then by the time of return", () => {
  const order: bigint[] = [];
  const pool = new BlockPool({ blocks: 3, onEvict: (_, hash) => order.push(hash) });
  const blocks = [1n, 2n, 3n].map((hash) => store(pool, [hash])[0]!);
  [5, 1, 1].forEach((priority, at) => void pool.setPriority(blocks[at]!, priority));
  for (const block of blocks) pool.release(block);
  pool.allocate(3);
  expect(order).toEqual([2n, 3n, 1n]);
});

test("leaves go before their parents, whatever their age", () => {
  const order: bigint[] = [];
  const pool = new BlockPool({ blocks: 4, onEvict: (_, hash) => order.push(hash) });
  const blocks = store(pool, [1n, 2n, 3n]);
  for (const block of blocks) pool.release(block); // head first: the head is the oldest
  pool.allocate(3);
  expect(order).toEqual([3n, 2n]);
  expect(pool.countMatch(BigUint64Array.of(1n, 2n, 3n))).toBe(1);
});

test("no more than so many stay as cache: the newest, and of a long chain its head", () => {
  const pool = new BlockPool({ blocks: 20, maxCached: 4 });
  give(pool, store(pool, [1n, 2n, 3n]));
  give(pool, store(pool, [11n, 12n]));
  expect([1n, 2n, 3n, 11n, 12n].map((hash) => pool.find(hash) !== undefined)).toEqual([true, true, false, true, true]);
  give(pool, store(pool, [21n, 22n, 23n, 24n, 25n, 26n]));
  expect(pool.countMatch(BigUint64Array.of(21n, 22n, 23n, 24n, 25n))).toBe(4);
  expect(pool.cachedBlocks).toBe(4);
});

test("blocks of higher priority stay beyond that number until they are given up for room", () => {
  const pool = new BlockPool({ blocks: 8, maxCached: 1 });
  const blocks = store(pool, [1n, 2n, 3n]);
  for (const block of blocks) pool.setPriority(block, 1);
  give(pool, blocks);
  give(pool, store(pool, [11n, 12n]));
  expect([pool.cachedBlocks, pool.countMatch(BigUint64Array.of(1n, 2n, 3n))]).toEqual([4, 3]);
  for (const block of blocks.toReversed()) pool.setPriority(block, 0);
  expect(pool.cachedBlocks).toBe(1);
  expect(pool.clear()).toBe(1);
});

test("a block that stays keeps those before it, beyond that number too, and all are given up for room, leaves first", () => {
  const evicted: bigint[] = [];
  const pool = new BlockPool({ blocks: 3, maxCached: 0, onEvict: (_, hash) => evicted.push(hash) });
  const chain = store(pool, [1n, 2n]);
  pool.setPriority(chain[1]!, 1);
  give(pool, chain);
  expect([pool.cachedBlocks, evicted]).toEqual([2, []]);
  give(pool, store(pool, [3n]));
  expect(evicted).toEqual([3n]);
  expect(pool.allocate(3)).toHaveLength(3);
  expect(evicted).toEqual([3n, 2n, 1n]);
});

test("every block begins with the usual priority, whatever it had before", () => {
  const pool = new BlockPool({ blocks: 2 });
  const [first] = store(pool, [1n]);
  pool.setPriority(first!, 5);
  pool.release(first!);
  pool.evict(first!);
  const [usual] = store(pool, [2n]);
  pool.setPriority(usual!, 0);
  pool.release(usual!);
  const [again] = store(pool, [3n]);
  pool.release(again!);
  // Of equal ones the first that was returned goes.
  give(pool, pool.allocate(1)!);
  expect([pool.find(2n), pool.find(3n)]).toEqual([undefined, again]);
});

test("a block that was evicted by name is not evicted again for room", () => {
  const evicted: bigint[] = [];
  const pool = new BlockPool({ blocks: 2, onEvict: (_, hash) => evicted.push(hash) });
  const [first, second] = [store(pool, [1n]), store(pool, [2n])];
  give(pool, first);
  give(pool, second);
  pool.evict(first[0]!);
  expect(pool.allocate(2)).toHaveLength(2);
  expect([evicted, pool.cachedBlocks, pool.usedBlocks]).toEqual([[1n, 2n], 0, 2]);
});

test("what is in use when the rest is cleared goes with its last user, and so does what follows it", () => {
  const evicted: bigint[] = [];
  const pool = new BlockPool({ blocks: 8, onEvict: (_, hash) => evicted.push(hash) });
  give(pool, store(pool, [9n]));
  const used = store(pool, [1n, 2n]);
  expect(pool.clear()).toBe(1);
  pool.doom();
  // Another one came to use the first block, and goes on from it.
  const shared = pool.match(BigUint64Array.of(1n));
  const [next] = pool.allocate(1)!;
  pool.complete(next!);
  pool.register(next!, 3n, shared[0]!);
  give(pool, used);
  expect([evicted, pool.cachedBlocks, pool.usedBlocks]).toEqual([[9n, 2n], 0, 2]);
  give(pool, [...shared, next!]);
  expect([evicted, pool.registeredBlocks]).toEqual([[9n, 2n, 3n, 1n], 0]);
  // A block that comes into such a place is as any other.
  give(pool, store(pool, [4n, 5n]));
  expect(pool.cachedBlocks).toBe(2);
});

test("a doomed block that is given back before those that follow it goes with the last of them", () => {
  const evicted: bigint[] = [];
  const pool = new BlockPool({ blocks: 4, onEvict: (_, hash) => evicted.push(hash) });
  const blocks = store(pool, [1n, 2n]);
  pool.doom();
  pool.release(blocks[0]!);
  expect(evicted).toEqual([]);
  pool.release(blocks[1]!);
  expect([evicted, pool.resetBlocks]).toEqual([[2n, 1n], 4]);
});

test("a hidden block is found by nobody, gives its name away and goes with its last user", () => {
  const evicted: [bigint, boolean][] = [];
  const pool = new BlockPool({ blocks: 4, onEvict: (_, hash, wasHidden) => evicted.push([hash, wasHidden]) });
  const old = store(pool, [1n, 2n]);
  for (const block of old) pool.hide(block);
  expect([pool.countMatch(BigUint64Array.of(1n)), pool.registeredBlocks]).toEqual([0, 0]);
  expect(() => pool.hide(old[0]!)).toThrow("hidden once");
  const [next] = pool.allocate(1)!;
  pool.complete(next!);
  expect(() => pool.register(next!, 3n, old[1]!)).toThrow("nothing follows what is hidden");
  pool.release(next!);
  const fresh = store(pool, [1n, 2n]);
  give(pool, old);
  expect(evicted).toEqual([
    [2n, true],
    [1n, true],
  ]);
  give(pool, fresh);
  expect([pool.countMatch(BigUint64Array.of(1n, 2n)), pool.cachedBlocks]).toEqual([2, 2]);
  expect(() => pool.hide(fresh[0]!)).toThrow("in use");
});

test("matches are counted from the first on without a gap", () => {
  const pool = new BlockPool({ blocks: 3 });
  store(pool, [1n, 2n, 3n]);
  const counts = [[], [9n], [9n, 1n], [1n], [1n, 9n, 3n], [1n, 2n, 3n]].map((hashes) =>
    pool.countMatch(BigUint64Array.from(hashes)),
  );
  expect(counts).toEqual([0, 0, 0, 1, 1, 3]);
});

test("the order holds no more than it needs however often blocks come and go", () => {
  const pool = new BlockPool({ blocks: 2 });
  give(pool, store(pool, [1n, 2n]));
  for (let round = 0; round < 10_000; round++) give(pool, pool.match(BigUint64Array.of(1n, 2n)));
  expect(pool.clear()).toBe(2);
});

/** What the pool promises, said plainly and slowly. */
class NaivePool {
  readonly cached = new Map<bigint, { parent: bigint; references: number; priority: number; tick: number }>();
  loose = 0;
  ticks = 0;
  readonly removed: bigint[] = [];
  readonly blocks: number;

  constructor(blocks: number) {
    this.blocks = blocks;
  }

  get free(): number {
    return this.blocks - this.loose - this.cached.size;
  }

  unreferenced(): [bigint, { parent: bigint; priority: number; tick: number }][] {
    return [...this.cached].filter(([, entry]) => entry.references === 0);
  }

  allocate(count: number): boolean {
    if (count > this.free + this.unreferenced().length) return false;
    while (this.free < count) this.evictOne();
    this.loose += count;
    return true;
  }

  evictOne(): void {
    const parents = new Set([...this.cached.values()].map((entry) => entry.parent));
    const leaves = this.unreferenced().filter(([hash]) => !parents.has(hash));
    leaves.sort(([, a], [, b]) => a.priority - b.priority || a.tick - b.tick);
    this.cached.delete(leaves[0]![0]);
    this.removed.push(leaves[0]![0]);
  }
}

test("it behaves like the naive pool", () => {
  eachSeed(150, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const removed: bigint[] = [];
    const blocks = 4 + pick(chance, 20);
    const pool = new BlockPool({ blocks, onEvict: (_, hash) => removed.push(hash) });
    const naive = new NaivePool(blocks);
    let stored = 0;
    const held: { hashes: bigint[]; blocks: number[] }[] = [];
    for (let round = 0; round < 120; round++) {
      if (pick(chance, 3) === 0 && held.length > 0) {
        const [gone] = held.splice(pick(chance, held.length), 1);
        give(pool, gone!.blocks);
        for (const hash of gone!.hashes.toReversed()) {
          const entry = naive.cached.get(hash)!;
          if (--entry.references === 0) entry.tick = ++naive.ticks;
        }
        continue;
      }
      // A hash is its path: digits 1 to 3, so that sequences share prefixes often.
      const path = Array.from({ length: 1 + pick(chance, 5) }, () => 1 + pick(chance, 3));
      const hashes = path.map((_, at) => BigInt(path.slice(0, at + 1).join("")));
      const matched = pool.match(BigUint64Array.from(hashes));
      const own = hashes.slice(0, matched.length);
      for (const hash of own) naive.cached.get(hash)!.references++;
      const rest = pool.allocate(hashes.length - matched.length);
      expect(rest !== undefined).toBe(naive.allocate(hashes.length - matched.length));
      for (const [at, block] of (rest ?? []).entries()) {
        const hash = hashes[own.length]!;
        pool.complete(block);
        const primary = pool.register(block, hash, matched.at(-1) ?? NO_BLOCK);
        expect(primary, `block ${at}`).toBe(block);
        stored++;
        matched.push(primary);
        naive.loose--;
        naive.cached.set(hash, { parent: own.at(-1) ?? 0n, references: 1, priority: 0, tick: 0 });
        own.push(hash);
      }
      held.push({ hashes: own, blocks: matched });
      expect(removed).toEqual(naive.removed);
      expect(pool.registeredBlocks).toBe(naive.cached.size);
      expect(pool.resetBlocks).toBe(naive.free);
    }
    for (const { blocks: last } of held) give(pool, last);
    pool.clear();
    expect(pool.resetBlocks).toBe(blocks);
    expect(removed.length).toBe(stored);
  });
});

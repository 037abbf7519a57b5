import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import type { KvChange, KvTier } from "#lib/kv/event";
import { FlatIndex } from "../../../test/support/flat-index.ts";
import { type Node, prompt, Sequences, stored } from "../../../test/support/sequences.ts";
import { createOverlaps } from "./prefix-index.ts";
import { MAX_HOLDERS, MIN_BUDGET_BYTES, RunIndex } from "./run-index.ts";

const scale = Number(process.env.TEST_SCALE ?? 1);
const chance = new SeededChance(11n);

/** A sequence that nobody has seen. */
function sequence(length: number): Node[] {
  return Array.from({ length }, () => ({ content: chance.id(), name: chance.id(), kids: [] }));
}

const byName = (node: Node) => node.name;

function told(nodes: readonly Node[], options: { tier?: KvTier; parent?: Node; name?: (node: Node) => bigint } = {}) {
  const name = options.name ?? byName;
  return stored(options.tier ?? "device", options.parent && name(options.parent), nodes, name);
}

function removed(nodes: readonly Node[], tier: KvTier = "device"): KvChange {
  return { kind: "removed", tier, group: 0, hashes: BigUint64Array.from(nodes, byName) };
}

function create(holders: number, budgetBytes = 16 << 20) {
  const index = new RunIndex({ budgetBytes });
  const slots = Array.from({ length: holders }, () => index.join());
  const depths = (nodes: readonly Node[]) => {
    const overlaps = createOverlaps(index.slots);
    index.match(prompt(nodes), overlaps);
    return slots.map((slot) => overlaps.device[slot]!);
  };
  return { index, slots, depths };
}

test("blocks of other groups do nothing, and what is told twice is there once", () => {
  const { index, depths } = create(1);
  const nodes = sequence(10);
  const other = { ...told(nodes), group: 1 } as KvChange;
  expect(index.apply(0, other)).toEqual({ stored: 0, removed: 0, absent: 0, parentUnknown: false });
  expect(index.apply(0, { ...removed(nodes), group: 2 } as KvChange).absent).toBe(0);
  expect(index.apply(0, told(nodes)).stored).toBe(10);
  expect(index.apply(0, told(nodes)).stored).toBe(0);
  expect(index.apply(0, told(nodes.slice(3), { parent: nodes[2]! })).stored).toBe(0);
  expect([index.entries, ...depths(nodes)]).toEqual([10, 10]);
});

test("a hole keeps what is behind it aside until it is filled", () => {
  const { index, depths } = create(2);
  const nodes = sequence(20);
  index.apply(0, told(nodes));
  expect(index.apply(0, removed(nodes.slice(7, 9))).removed).toBe(2);
  expect(depths(nodes)).toEqual([7, 0]);
  expect(index.apply(0, told(nodes.slice(7, 8), { parent: nodes[6]! })).stored).toBe(1);
  expect(depths(nodes)).toEqual([8, 0]);
  index.apply(0, told(nodes.slice(8, 9), { parent: nodes[7]! }));
  expect(depths(nodes)).toEqual([20, 0]);
});

test("tiers go on from each other, and none from one further down", () => {
  const { index, slots } = create(1);
  const nodes = sequence(12);
  index.apply(0, told(nodes.slice(0, 3)));
  index.apply(0, told(nodes.slice(2, 6), { tier: "host", parent: nodes[1]! }));
  index.apply(0, told(nodes.slice(6, 8), { tier: "external", parent: nodes[5]! }));
  index.apply(0, told(nodes.slice(8, 12), { tier: "disk", parent: nodes[7]! }));
  const overlaps = createOverlaps(slots.length);
  index.match(prompt(nodes), overlaps);
  expect([overlaps.device[0], overlaps.host[0], overlaps.disk[0], overlaps.external[0]]).toEqual([3, 3, 0, 2]);
  expect((["device", "host", "disk", "external"] as const).map((tier) => index.held(0, tier))).toEqual([3, 4, 4, 2]);
});

test("a change that goes on from nothing known is refused, and one without effect leaves nothing", () => {
  const { index } = create(2);
  const nodes = sequence(5);
  expect(index.apply(0, told(nodes.slice(1), { parent: nodes[0]! })).parentUnknown).toBe(true);
  expect(index.apply(0, removed(nodes))).toMatchObject({ removed: 0, absent: 5 });
  index.apply(1, told(nodes.slice(0, 1)));
  expect(index.apply(0, told(nodes.slice(1), { parent: nodes[0]! }))).toMatchObject({
    stored: 4,
    parentUnknown: false,
  });
  index.apply(1, { kind: "cleared" });
  expect(index.apply(0, { kind: "cleared" }).removed).toBe(4);
  expect(index.known).toEqual({ blocks: 0, runs: 0 });
});

test("holders that call blocks otherwise find their own, also under a name that means another block elsewhere", () => {
  const { index, depths } = create(3);
  const [one, other] = [sequence(4), sequence(4)];
  const counted = (from: bigint) => {
    const names = new Map<Node, bigint>();
    return (node: Node) => {
      const name = names.get(node) ?? from + BigInt(names.size);
      names.set(node, name);
      return name;
    };
  };
  const [first, second] = [counted(1n), counted(1n)];
  index.apply(0, told(one, { name: first }));
  index.apply(1, told(other, { name: second }));
  index.apply(1, told(one, { name: counted(1n << 40n) }));
  index.apply(2, told(one));
  expect([...depths(one), ...depths(other)]).toEqual([4, 4, 4, 0, 4, 0]);
  const withNames = index.bytes;
  // Names 3 and 4 are blocks of `one` to the first and of `other` to the second.
  const hashes = BigUint64Array.of(4n, 3n);
  expect(index.apply(1, { kind: "removed", tier: "device", group: 0, hashes }).removed).toBe(2);
  expect([...depths(one), ...depths(other)]).toEqual([4, 4, 4, 0, 2, 0]);
  expect(index.apply(0, { kind: "removed", tier: "device", group: 0, hashes }).removed).toBe(2);
  expect([...depths(one), ...depths(other)]).toEqual([2, 4, 4, 0, 2, 0]);
  expect(index.apply(2, removed(one)).removed).toBe(4);
  expect(index.bytes).toBeLessThan(withNames);
  expect(index.apply(0, told([one[0]!], { name: () => 0n })).stored).toBe(0);
  for (const slot of [0, 1, 2]) index.leave(slot);
  expect(index.known).toEqual({ blocks: 0, runs: 0 });
});

test("what is expected ends at its time, unless it is said again", () => {
  const { index, depths } = create(2);
  const nodes = sequence(50);
  index.expect(0, prompt(nodes), 100);
  index.expect(0, prompt(nodes.slice(0, 20)), 200);
  index.expect(0, prompt(nodes.slice(0, 10)), 150);
  expect([index.expected, index.entries]).toEqual([50, 0]);
  index.expire(99);
  expect(depths(nodes)).toEqual([50, 0]);
  index.expire(100);
  expect(depths(nodes)).toEqual([20, 0]);
  index.expect(0, prompt(nodes.slice(0, 5)), 300);
  index.expire(200);
  expect([...depths(nodes), index.expected]).toEqual([5, 0, 5]);
  index.apply(1, told(nodes.slice(0, 3)));
  index.expire(300);
  expect([...depths(nodes), index.expected]).toEqual([0, 3, 0]);
});

test("expectations that are renewed and cut for long do not pile up", () => {
  const { index, slots } = create(8);
  const nodes = sequence(200);
  for (let round = 0; round < 5000; round++) {
    index.expect(slots[round % 8]!, prompt(nodes.slice(0, 1 + (round % 200))), 1_000_000 + round);
    if (round % 50 === 0) index.apply(slots[(round / 50) % 8]!, { kind: "cleared" });
  }
  expect(index.bytes).toBeLessThan(1 << 20);
});

test("over its budget the largest holder loses what was used least recently, from the end", () => {
  const { index, slots, depths } = create(2, MIN_BUDGET_BYTES);
  const [large, small] = [slots[0]!, slots[1]!];
  const kept = sequence(100);
  const [old, used] = [sequence(100), sequence(100)];
  index.apply(small, told(kept));
  index.apply(large, told(old));
  index.apply(large, told(used));
  while (index.evicted === 0) {
    depths(used);
    index.apply(large, told(sequence(100)));
  }
  expect(depths(old)[0]).toBeLessThan(100);
  const taken = index.evicted;
  expect(index.lost(large)).toBe(taken);
  for (let round = 0; round < 400; round++) {
    depths(used);
    index.apply(large, told(sequence(100)));
    expect(index.bytes).toBeLessThanOrEqual(MIN_BUDGET_BYTES);
  }
  expect(depths(used)).toEqual([100, 0]);
  expect(depths(old)).toEqual([0, 0]);
  expect(depths(kept)).toEqual([0, 100]);
  expect(index.lost(small)).toBe(0);
  expect(index.lost(large)).toBe(index.evicted);
  // What goes on from a block that was taken is no fault of the holder.
  expect(index.apply(large, told(sequence(3), { parent: old[99]! }))).toMatchObject({
    stored: 0,
    parentUnknown: false,
  });
  expect(index.apply(small, told(sequence(3), { parent: old[99]! }))).toMatchObject({ stored: 0, parentUnknown: true });
  index.apply(large, { kind: "cleared" });
  expect(index.lost(large)).toBe(0);
});

test("a change that is larger than the budget is kept as far as there is room", () => {
  const { index, depths } = create(1, MIN_BUDGET_BYTES);
  const nodes = sequence(100_000);
  const { stored: kept } = index.apply(0, told(nodes));
  expect(kept).toBeGreaterThan(1000);
  expect([index.lost(0), depths(nodes)[0]]).toEqual([100_000 - kept, kept]);
  index.expect(0, prompt(sequence(100_000)), 5);
  expect(index.bytes).toBeLessThanOrEqual(MIN_BUDGET_BYTES);
});

test("what a small budget leaves is true, whatever happens", () => {
  for (let seed = 0; seed < 2 * scale; seed++) {
    const own = new SeededChance(BigInt(seed));
    const sequences = new Sequences(own, 300);
    const [index, flat] = [new RunIndex({ budgetBytes: MIN_BUDGET_BYTES }), new FlatIndex()];
    const slots = Array.from({ length: 6 }, () => [index.join(), flat.join()][0]!);
    for (let step = 0; step < 1500; step++) {
      const slot = slots[pick(own, slots.length)]!;
      const path = sequences.path();
      const from = pick(own, path.length);
      const kind = pick(own, 10);
      const untilMs = step + pick(own, 100);
      if (kind < 6) for (const each of [index, flat]) each.apply(slot, told(path.slice(0, from + 1)));
      else if (kind < 7) for (const each of [index, flat]) each.apply(slot, removed(path.slice(from).reverse()));
      else if (kind < 8) for (const each of [index, flat]) each.expect(slot, prompt(path), untilMs);
      if (step % 50 === 0) for (const each of [index, flat]) each.expire(step);
      const [seen, all] = [createOverlaps(6), createOverlaps(6)];
      index.match(prompt(path), seen);
      flat.match(prompt(path), all);
      for (const each of slots) expect(seen.device[each]!).toBeLessThanOrEqual(all.device[each]!);
      expect(index.bytes).toBeLessThanOrEqual(MIN_BUDGET_BYTES);
    }
    expect(index.evicted).toBeGreaterThan(0);
    for (const slot of slots) index.leave(slot);
    expect([index.entries, index.expected, index.known.blocks]).toEqual([0, 0, 0]);
  }
}, 600_000);

test("what is dumped and loaded is the same, holes and tiers and own names too", () => {
  for (let seed = 0; seed < 20 * scale; seed++) {
    const own = new SeededChance(BigInt(seed));
    const sequences = new Sequences(own, 80);
    const { index, slots } = create(5);
    const paths = Array.from({ length: 60 }, () => sequences.path());
    for (const path of paths) {
      const slot = pick(own, slots.length);
      const name = (node: Node) => BigInt.asUintN(64, node.name + (slot === 3 ? 1n : 0n));
      index.apply(slot, told(path, { tier: pick(own, 3) === 0 ? "host" : "device", name }));
      const from = pick(own, path.length);
      const gone = BigUint64Array.from(path.slice(from, from + 4), name);
      index.apply(slot, { kind: "removed", tier: "device", group: 0, hashes: gone });
    }
    const copy = create(5).index;
    for (const slot of slots) {
      for (const change of index.dump(slot)) expect(copy.apply(slot, change)).toMatchObject({ parentUnknown: false });
    }
    expect(copy.entries).toBe(index.entries);
    for (const path of paths) {
      const [here, there] = [createOverlaps(5), createOverlaps(5)];
      index.match(prompt(path), here);
      copy.match(prompt(path), there);
      expect(there).toEqual(here);
    }
    for (const slot of slots) copy.leave(slot);
    expect(copy.known).toEqual({ blocks: 0, runs: 0 });
  }
});

test("slots are given again, and there are many of them", () => {
  const { index, depths } = create(3);
  const nodes = sequence(4);
  index.apply(1, told(nodes));
  index.leave(1);
  expect(index.join()).toBe(1);
  expect([index.entries, ...depths(nodes)]).toEqual([0, 0, 0, 0]);
  const large = new RunIndex({ budgetBytes: 64 << 20 });
  for (let holder = 0; holder < MAX_HOLDERS; holder++) large.join();
  large.apply(MAX_HOLDERS - 1, told(nodes));
  const overlaps = createOverlaps(large.slots);
  large.match(prompt(nodes), overlaps);
  expect([overlaps.device[0], overlaps.device[MAX_HOLDERS - 1]]).toEqual([0, 4]);
  expect(() => large.join()).toThrow("at most 65,536 holders");
  expect(() => large.match(prompt(nodes), createOverlaps(4))).toThrow("room for all slots");
  expect(() => new RunIndex({ budgetBytes: MIN_BUDGET_BYTES - 1 })).toThrow("has room for something");
});

import { expect, test } from "vitest";
import { BlockPool, NO_BLOCK } from "#lib/kv/block-pool";
import { SLOT_OP, SlotMap } from "./slots.ts";

/** A map of two-token blocks with its pool, and sequences that register everything they compute. */
function openRig(slots: number, blocks = 16) {
  const pool: BlockPool = new BlockPool({ blocks, onEvict: (block) => map.evicted(block) });
  const map: SlotMap = new SlotMap(pool, { slots, blockTokens: 2 });
  const begin = (hashes: bigint[]) => {
    const matched = pool.match(BigUint64Array.from(hashes));
    const slot = map.begin(matched);
    if (slot === undefined) {
      for (const block of matched.toReversed()) pool.release(block);
      return undefined;
    }
    const table = [...matched];
    for (const block of pool.allocate(hashes.length - matched.length)!) {
      map.extend(slot, block);
      pool.complete(block);
      const at = table.length;
      table.push(pool.register(block, hashes[at]!, table.at(-1) ?? NO_BLOCK));
      if (table[at] !== block) map.replace(slot, at, table[at]!);
    }
    const end = () => {
      map.end(slot, table.length);
      for (const block of table.toReversed()) pool.release(block);
    };
    return { slot, table, end };
  };
  return { pool, map, begin };
}

const { copy, remove } = SLOT_OP;

test("a sequence that goes on from a finished one takes its slot over: nothing is to be done", () => {
  const { map, begin } = openRig(4);
  const first = begin([1n, 2n])!;
  first.end();
  expect([...map.takeOps()]).toEqual([remove, first.slot, 4, -1, 0]);
  const second = begin([1n, 2n, 3n])!;
  expect(second.slot).toBe(first.slot);
  expect(map.hasOps).toBe(false);
  expect(map.blocks(second.slot)).toEqual(second.table);
});

test("a sequence with a shorter prefix shares cells by a copy", () => {
  const { map, begin } = openRig(4);
  const first = begin([1n, 2n, 3n])!;
  const second = begin([1n, 2n, 9n])!;
  expect([...map.takeOps()]).toEqual([copy, first.slot, second.slot, 0, 4]);
  expect(map.slotOf(first.table[1]!)).toBe(first.slot);
});

test("a slot whose chain another one has too is free at its end", () => {
  const { map, begin } = openRig(4);
  const [first, second] = [begin([1n, 2n])!, begin([1n, 2n, 3n])!];
  map.takeOps();
  first.end();
  expect([...map.takeOps()]).toEqual([remove, first.slot, 0, -1, 0]);
  expect(map.freeSlots).toBe(3);
  second.end();
  expect(map.freeSlots).toBe(3);
});

test("without a free slot the holder that was used least recently goes, and its own blocks with it", () => {
  const { pool, map, begin } = openRig(2);
  begin([1n, 2n])!.end();
  begin([5n, 6n])!.end();
  const third = begin([8n])!;
  expect([pool.find(1n), pool.find(2n)]).toEqual([undefined, undefined]);
  expect(pool.countMatch(BigUint64Array.of(5n, 6n))).toBe(2);
  expect(map.freeSlots).toBe(0);
  const fourth = begin([5n, 7n])!;
  expect(fourth.slot).not.toBe(third.slot);
  expect(pool.find(6n), "the only holder of what is needed becomes the slot, without its tail").toBeUndefined();
  expect(begin([9n])).toBeUndefined();
  third.end();
  expect(begin([9n])?.slot).toBe(third.slot);
});

test("a duplicate gives its cells up for those of the primary", () => {
  const { pool, map } = openRig(4);
  const [left, right] = [map.begin([])!, map.begin([])!];
  const blocks = pool.allocate(2)!;
  for (const [at, slot] of [left, right].entries()) map.extend(slot, blocks[at]!);
  for (const block of blocks) pool.complete(block);
  const primary = pool.register(blocks[0]!, 1n, NO_BLOCK);
  expect(pool.register(blocks[1]!, 1n, NO_BLOCK)).toBe(primary);
  map.replace(right, 0, primary);
  expect([...map.takeOps()]).toEqual([remove, right, 0, 2, 0, copy, left, right, 0, 2]);
  expect(map.blocks(right)).toEqual([primary]);
});

test("an evicted block leaves every slot, and ops that never ran come back first", () => {
  const { pool, map, begin } = openRig(4);
  begin([1n, 2n])!.end();
  const ops = map.takeOps();
  pool.evict(pool.find(2n)!);
  map.returnOps(ops);
  expect([...map.takeOps()]).toEqual([...ops, remove, 3 - map.freeSlots, 2, -1, 0]);
});

test("a slot that is evicted block by block is emptied by one op", () => {
  const { pool, map, begin } = openRig(4);
  const first = begin([1n, 2n, 3n])!;
  const second = begin([7n, 8n])!;
  first.end();
  second.end();
  map.takeOps();
  for (const hash of [3n, 2n, 8n, 1n]) pool.evict(pool.find(hash)!);
  expect([...map.takeOps()]).toEqual([
    ...[remove, first.slot, 2, -1, 0],
    ...[remove, second.slot, 2, -1, 0],
    ...[remove, first.slot, 0, -1, 0],
  ]);
});

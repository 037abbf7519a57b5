import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import type { KvNotice } from "#lib/engines/engine";
import type { KvStored } from "#lib/kv/event";
import { TokenHasher } from "#lib/tokens/block-hash";
import { counted, Rig, requestOf } from "../../test/support/scheduler-rig.ts";
import { eachSeed } from "../../test/support/seeds.ts";
import { type HeldRun, KvMirror } from "./kv-mirror.ts";

const WIDTH = 2;

function run(parent: bigint | undefined, ...names: number[]): HeldRun {
  const change: KvStored = {
    kind: "stored",
    tier: "device",
    group: 0,
    parent,
    hashes: BigUint64Array.from(names, BigInt),
    contents: BigUint64Array.from(names, (name) => BigInt(name * 100)),
    adapter: undefined,
    saltNamespace: 0n,
    media: names.map((name, block) => ({ block, hash: BigInt(name), ranges: [[0, 1]] as const })),
  };
  return { change, tokens: Uint32Array.from(names.flatMap((name) => [name, -name])) };
}

const hashesOf = ({ change }: HeldRun) => [...change.hashes];

test("what is told comes out as it would be stored, those before them first", () => {
  const mirror = new KvMirror(WIDTH);
  mirror.store(run(undefined, 1, 2, 3));
  mirror.store(run(2n, 4));
  expect(mirror.runs().map(hashesOf)).toEqual([[1n, 2n, 3n], [4n]]);
  mirror.remove(BigUint64Array.of(3n, 99n));
  expect(mirror.runs().map(hashesOf)).toEqual([[1n, 2n], [4n]]);
  expect(mirror.blocks).toBe(3);
});

test("a block that came back after those that follow it is told before them", () => {
  const mirror = new KvMirror(WIDTH);
  mirror.store(run(undefined, 1, 2, 3));
  mirror.remove(BigUint64Array.of(1n));
  expect(mirror.runs(), "nobody could find them").toEqual([]);
  mirror.store(run(undefined, 1));
  const told = mirror.runs();
  expect(told.map(hashesOf)).toEqual([[1n], [2n, 3n]]);
  expect(told.map(({ change }) => change.parent)).toEqual([undefined, 1n]);
  expect([...told[1]!.tokens]).toEqual([2, 0xffff_fffe, 3, 0xffff_fffd]);
  expect(told[1]!.change.media.map(({ block, hash }) => [block, hash])).toEqual([
    [0, 2n],
    [1, 3n],
  ]);
});

test("what is left of a run does not keep the rest of it", () => {
  const mirror = new KvMirror(WIDTH);
  const whole = run(undefined, 1, 2, 3, 4, 5);
  mirror.store(whole);
  mirror.remove(BigUint64Array.of(5n, 4n, 3n));
  const [left] = mirror.runs();
  expect(hashesOf(left!)).toEqual([1n, 2n]);
  expect(left!.change.hashes.buffer).not.toBe(whole.change.hashes.buffer);
  expect([left!.change.hashes.buffer.byteLength, left!.tokens.buffer.byteLength]).toEqual([16, 16]);
  expect([...left!.change.contents]).toEqual([100n, 200n]);
});

test("it has what the pool of an engine has, after any life", () => {
  eachSeed(40, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const rig = new Rig({ blocks: 12 + pick(chance, 14), contextTokens: 48 });
    const { kv } = rig.scheduler;
    const mirror = new KvMirror(kv.blockTokens);
    const take = kv.takeNotices.bind(kv);
    const see = (notice: KvNotice): void => {
      if (notice.kind === "cleared") mirror.clear();
      else if (notice.kind === "removed") mirror.remove(notice.hashes);
      else {
        const contents = new BigUint64Array(notice.hashes.length);
        new TokenHasher().hashBlocks(notice.tokens, kv.blockTokens, 1337n, contents, contents.slice());
        const change = { ...run(notice.parent).change, hashes: notice.hashes, contents, media: [] };
        mirror.store({ change, tokens: notice.tokens });
      }
    };
    kv.takeNotices = () => {
      const notices = take();
      for (const notice of notices) see(notice);
      return notices;
    };
    for (let round = 0; round < 80; round++) {
      if (pick(chance, 3) === 0) {
        const prompt = [...counted(pick(chance, 4) * 4, pick(chance, 2) * 7), ...counted(1 + pick(chance, 12))];
        rig.scheduler.submit(requestOf(round, prompt, { maxTokens: 1 + pick(chance, 12) }));
      }
      if (pick(chance, 30) === 0) kv.forget();
      rig.step();
      const told = new Set<bigint>();
      for (const { change } of mirror.runs()) {
        if (change.parent !== undefined && !told.has(change.parent))
          throw new Error("a block is told before its parent");
        for (const hash of change.hashes) told.add(hash);
      }
      const isSame =
        told.size === kv.pool.registeredBlocks && [...told].every((hash) => kv.pool.find(hash) !== undefined);
      if (!isSame) throw new Error(`round ${round}: ${told.size} blocks, not ${kv.pool.registeredBlocks}`);
    }
  });
});

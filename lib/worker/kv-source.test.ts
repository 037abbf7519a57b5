import { expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import type { StatorError } from "#lib/base/errors";
import type { KvNotice } from "#lib/engines/engine";
import { createLog, silentLog } from "#lib/host/log";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { xxh3 } from "#lib/tokens/xxh3";
import { KvSource, type KvSourceLimits } from "./kv-source.ts";

function open(limits: Partial<KvSourceLimits> = {}, totalBlocks: number | undefined = 64) {
  const clock = new FakeClock(1000);
  const lines: string[] = [];
  const log = createLog({ level: "warn", pretty: false, write: (line) => void lines.push(line) });
  const source = new KvSource({
    incarnation: 1n,
    hasher: new TokenHasher(),
    clock,
    log,
    limits: { gatherMs: 5, ...limits },
  });
  source.open({ blockTokens: 2, hashScheme: "test", totalBlocks });
  return { source, clock, lines };
}

function stored(
  parent: bigint | undefined,
  names: readonly number[],
  more: Partial<KvNotice & { kind: "stored" }> = {},
) {
  const notice: KvNotice = {
    kind: "stored",
    parent,
    hashes: BigUint64Array.from(names, BigInt),
    tokens: Uint32Array.from(names.flatMap((name) => [name, name + 1])),
    cacheSalt: "",
    adapter: undefined,
    ...more,
  };
  return notice;
}

function read(source: KvSource, fromId: bigint) {
  const heard = { news: 0, error: undefined as StatorError | undefined };
  const reader = source.read(fromId, {
    onNews() {
      heard.news++;
    },
    onEnd(error) {
      heard.error = error;
    },
  });
  return { next: reader.next, heard };
}

test("events that come together are told together, with what their tokens hash to", () => {
  const { source, clock } = open();
  const { next, heard } = read(source, 1n);
  source.publish(stored(undefined, [1, 2], { cacheSalt: "tenant", adapter: "pirate" }));
  clock.advance(3);
  source.publish({ kind: "removed", hashes: BigUint64Array.of(2n) });
  expect([heard.news, source.lastId, next()]).toEqual([0, 0n, undefined]);
  clock.advance(2);
  expect([heard.news, source.lastId]).toEqual([1, 2n]);
  const batch = next();
  if (!batch || batch === "behind") throw new Error("a batch comes");
  expect(batch.events.map(({ id, unixMs }) => [id, unixMs])).toEqual([
    [1n, 1000],
    [2n, 1003],
  ]);
  const local = new BigUint64Array(2);
  new TokenHasher().hashBlocks(Uint32Array.of(1, 2, 2, 3), 2, hashSeed("tenant", "pirate"), local, local.slice());
  expect(batch.events[0]!.change).toMatchObject({
    contents: local,
    adapter: "pirate",
    saltNamespace: xxh3(new TextEncoder().encode("tenant"), 1n),
  });
  expect(batch.message, "made once for all").toBe(batch.message);
  expect(next()).toBeUndefined();
});

test("it remembers as many events as it may, and one who is behind them is told so once", () => {
  const { source, clock } = open({ ringEvents: 3 });
  const { next, heard } = read(source, 1n);
  for (let at = 0; at < 4; at++) {
    source.publish({ kind: "cleared" });
    clock.advance(5);
  }
  expect([source.oldestId, source.lastId, heard.news]).toEqual([2n, 4n, 4]);
  expect([next(), source.readers, source.counters.behind]).toEqual(["behind", 0, 1]);
  expect([1n, 2n, 4n, 5n, 6n].map((id) => source.remembers(id))).toEqual([false, true, true, true, false]);
});

test("it remembers no more bytes than it may", () => {
  const { source, clock } = open({ ringBytes: 1_000 });
  for (let at = 0; at < 20; at++) {
    source.publish({ kind: "cleared" });
    clock.advance(5);
  }
  expect(source.ringBytes).toBeLessThanOrEqual(1_000);
  expect(source.lastId - source.oldestId).toBe(4n);
});

test("a replay begins with the event that was asked for, inside of a batch too", () => {
  const { source } = open();
  for (let at = 0; at < 4; at++) source.publish({ kind: "cleared" });
  const batch = read(source, 3n).next();
  if (!batch || batch === "behind") throw new Error("a batch comes");
  expect([batch.firstId, batch.lastId]).toEqual([3n, 4n]);
});

test("a notice of many blocks is several events, and each batch has its bound", () => {
  const { source, clock } = open({ batchBlocks: 2 });
  const { next } = read(source, 1n);
  source.publish(stored(undefined, [1, 2, 3, 4, 5]));
  clock.advance(5);
  const parents = [next(), next(), next()].map((batch) => {
    if (!batch || batch === "behind") throw new Error("a batch comes");
    const [event] = batch.events;
    return event!.change.kind === "stored" ? [event!.change.parent, event!.change.hashes.length] : [];
  });
  expect(parents).toEqual([
    [undefined, 2],
    [2n, 2],
    [4n, 1],
  ]);
  expect(source.snapshot().messages.length).toBe(3);
});

test("a snapshot has what is kept, and the number of the event that it is up to", () => {
  const { source } = open();
  source.publish(stored(undefined, [1, 2, 3]));
  source.publish({ kind: "removed", hashes: BigUint64Array.of(3n) });
  const snapshot = source.snapshot();
  expect([snapshot.lastId, snapshot.runs.map(({ change }) => [...change.hashes])]).toEqual([2n, [[1n, 2n]]]);
  expect(source.snapshot(), "made once").toBe(snapshot);
  source.publish({ kind: "cleared" });
  expect([source.snapshot().lastId, source.snapshot().runs, source.snapshot().messages.length]).toEqual([3n, [], 1]);
});

test("what cannot be is not told: blocks behind one that was never stored, or without their tokens", () => {
  const { source } = open();
  source.publish(stored(9n, [10]));
  source.publish(stored(undefined, [1], { tokens: Uint32Array.of(1) }));
  expect([source.snapshot().lastId, source.counters.refused]).toEqual([0n, 2]);
});

test("an engine that tells of more blocks than it has is taken for cleared, and that is said once", () => {
  const { source, lines } = open({}, 3);
  source.publish(stored(undefined, [1, 2]));
  source.publish(stored(undefined, [3, 4]));
  source.publish(stored(undefined, [5, 6]));
  source.publish(stored(undefined, [7, 8]));
  expect([source.heldBlocks, source.counters.overflows, source.counters.events.cleared]).toEqual([0, 2, 2]);
  expect(lines.length).toBe(1);
});

test("another incarnation has numbers of its own, and the same blocks", () => {
  const { source, clock } = open();
  source.publish(stored(undefined, [1, 2]));
  const { heard } = read(source, 1n);
  source.publish({ kind: "removed", hashes: BigUint64Array.of(2n) });
  source.restart(2n);
  expect([heard.error?.reason, source.lastId, source.incarnation, source.readers]).toEqual(["STREAM_LOST", 0n, 2n, 0]);
  expect(source.snapshot().runs.map(({ change }) => [...change.hashes])).toEqual([[1n]]);
  source.publish({ kind: "cleared" });
  clock.advance(5);
  expect([source.lastId, clock.pending]).toEqual([1n, 0]);
});

test("of an engine that does not say how many blocks it has, only so many are remembered", () => {
  const { source } = open({ heldBlocks: 3, gatherMs: 2 }, undefined);
  source.open({ blockTokens: 2, hashScheme: "test", totalBlocks: undefined });
  source.publish(stored(undefined, [1, 2, 3]));
  expect([source.heldBlocks, source.counters.overflows]).toEqual([3, 0]);
  source.publish(stored(3n, [4]));
  expect([source.heldBlocks, source.counters.overflows]).toEqual([0, 1]);
});

test("before the engine is open it says so", () => {
  const clock = new FakeClock();
  const source = new KvSource({ incarnation: 1n, hasher: new TokenHasher(), clock, log: silentLog });
  expect(() => source.scale()).toThrow("loading");
  source.publish({ kind: "cleared" });
  expect(source.lastId).toBe(0n);
});

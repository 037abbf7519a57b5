import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import { StorageMedium, SubscribeKvEventsRequestSchema } from "#gen/openengine/v1/kv_pb";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { KvNotice } from "#lib/engines/engine";
import { Salts } from "#lib/engines/openengine/salts";
import { silentLog } from "#lib/host/log";
import { TokenHasher } from "#lib/tokens/block-hash";
import { KvSource } from "#lib/worker/kv-source";
import { settle } from "../../../test/support/worker-rig.ts";
import { subscribeKvEvents } from "./kv-events.ts";

function openSource(): { source: KvSource; publish: (...notices: KvNotice[]) => void } {
  const clock = new FakeClock(1000);
  const limits = { ringEvents: 4 };
  const source = new KvSource({ incarnation: 1n, hasher: new TokenHasher(), clock, log: silentLog, limits });
  source.open({ blockTokens: 2, hashScheme: "test", totalBlocks: 64 });
  const publish = (...notices: KvNotice[]) => {
    for (const notice of notices) source.publish(notice);
    clock.advance(100);
  };
  return { source, publish };
}

function subscribe(source: KvSource, request: MessageInitShape<typeof SubscribeKvEventsRequestSchema> = {}) {
  const { signal } = new AbortController();
  const events: AsyncIterable<unknown> = subscribeKvEvents(
    source,
    create(SubscribeKvEventsRequestSchema, request),
    signal,
  );
  const iterator = events[Symbol.asyncIterator]();
  return { iterator, next: async () => (await iterator.next()).value.event.value };
}

const bytes = (hash: { value: Uint8Array }) => Buffer.from(hash.value).readBigUInt64LE();

const FIRST: KvNotice = {
  kind: "stored",
  parent: undefined,
  hashes: BigUint64Array.of(5n),
  tokens: Uint32Array.of(8, 9),
  cacheSalt: "",
  adapter: "pirate",
};
const STORED: KvNotice = {
  ...FIRST,
  parent: 5n,
  hashes: BigUint64Array.of(6n, 7n),
  tokens: Uint32Array.of(1, 2, 3, 4),
};
const REMOVED: KvNotice = { kind: "removed", hashes: BigUint64Array.of(7n) };

test("every kind of event is a batch of its own", async () => {
  const { source, publish } = openSource();
  const { iterator, next } = subscribe(source);
  const first = iterator.next();
  await settle();
  publish(FIRST, STORED, REMOVED, { kind: "cleared" });
  const batches = [(await first).value.event.value, await next(), await next(), await next()];
  expect(batches.map(({ sequenceNumber }) => sequenceNumber)).toEqual([1n, 2n, 3n, 4n]);
  expect(batches[1]).toMatchObject({ timestampUnixNanos: 1_000_000_000n, dataParallelRank: 0 });
  const [begun, stored, removed, cleared] = batches.map(({ events }) => events[0].event);
  expect(begun.value.parentBlockHash).toBeUndefined();
  expect(stored).toMatchObject({
    case: "blockStored",
    value: { tokenIds: [1, 2, 3, 4], blockSize: 2, loraName: "pirate", medium: StorageMedium.GPU },
  });
  expect(stored.value.blockHashes.map(bytes)).toEqual([6n, 7n]);
  expect(bytes(stored.value.parentBlockHash)).toBe(5n);
  expect(removed).toMatchObject({ case: "blockRemoved", value: { medium: StorageMedium.GPU } });
  expect(cleared.case).toBe("allBlocksCleared");
});

test("a snapshot comes first where it is asked for, with the number of the last event in it", async () => {
  const { source, publish } = openSource();
  publish(FIRST, STORED, REMOVED);
  const { next } = subscribe(source, { includeSnapshot: true });
  const snapshot = [await next(), await next()];
  expect(snapshot.map(({ sequenceNumber }) => sequenceNumber)).toEqual([3n, 3n]);
  const told = snapshot.map(({ events }) => events[0].event.value);
  expect(told.map(({ blockHashes }) => blockHashes.map(bytes))).toEqual([[5n], [6n]]);
  expect(told.map(({ tokenIds }) => tokenIds)).toEqual([
    [8, 9],
    [1, 2],
  ]);
  publish({ kind: "cleared" });
  expect((await next()).sequenceNumber).toBe(4n);
});

test("what is remembered is replayed from a number on; of what is not it says how far back it goes", async () => {
  const { source, publish } = openSource();
  for (let at = 0; at < 6; at++) publish({ kind: "cleared" });
  const replay = subscribe(source, { startSequenceNumber: 5n, includeSnapshot: true });
  expect([(await replay.next()).sequenceNumber, (await replay.next()).sequenceNumber]).toEqual([5n, 6n]);
  await expect(subscribe(source, { startSequenceNumber: 2n }).iterator.next()).rejects.toMatchObject({
    reason: "INVALID_ARGUMENT",
    message: expect.stringContaining("2 is not remembered; 3 to 7"),
  });
  publish(FIRST);
  const snapshot = subscribe(source, { startSequenceNumber: 2n, includeSnapshot: true });
  expect((await snapshot.next()).events[0].event.case).toBe("blockStored");
});

test("a subscriber that is too far behind is told to subscribe again", async () => {
  const { source, publish } = openSource();
  const { iterator } = subscribe(source);
  const first = iterator.next();
  await settle();
  publish({ kind: "cleared" });
  expect((await first).value.event.case).toBe("batch");
  for (let at = 0; at < 5; at++) publish({ kind: "cleared" });
  expect((await iterator.next()).value).toMatchObject({
    event: { case: "error", value: { code: ErrorCode.OVERLOADED, retryable: true } },
  });
  expect((await iterator.next()).done).toBe(true);
  expect(source.readers).toBe(0);
});

test("another rank than the only one is refused, and its own name is not", async () => {
  const { source, publish } = openSource();
  await expect(subscribe(source, { dataParallelRanks: [0, 1] }).iterator.next()).rejects.toMatchObject({
    reason: "INVALID_ARGUMENT",
  });
  const next = subscribe(source, { dataParallelRanks: [0] }).iterator.next();
  await settle();
  publish({ kind: "cleared" });
  expect((await next).done).toBe(false);
});

test("an engine that names no blocks has no events", async () => {
  const { source } = openSource();
  source.open({ blockTokens: undefined, hashScheme: "", totalBlocks: undefined });
  await expect(subscribe(source).iterator.next()).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE" });
});

test("what ends the source ends those who listen", async () => {
  const { source } = openSource();
  const { iterator } = subscribe(source);
  const next = iterator.next();
  await settle();
  source.restart(2n);
  await expect(next).rejects.toBeInstanceOf(StatorError);
});

test("a salt is named in every block and told in none", async () => {
  const { source, publish } = openSource();
  const { next } = subscribe(source);
  const first = next();
  publish({ ...FIRST, cacheSalt: "secret" });
  const [event] = (await first).events;
  const [name] = event.event.value.extraKeys[0].values;
  expect(event.event.value.extraKeys).toHaveLength(1);
  expect(name).toMatch(/^[0-9a-f]{16}$/);
  const salts = new Salts(true);
  salts.note("secret");
  expect(salts.of(name)).toBe("secret");
});

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import { StorageMedium, SubscribeKvEventsRequestSchema } from "#gen/openengine/v1/kv_pb";
import { FakeClock } from "#lib/base/clock";
import type { KvNotice } from "#lib/engines/engine";
import { settle } from "../../../test/support/worker-rig.ts";
import { createKvFeed } from "./kv-feed.ts";

function open(request: MessageInitShape<typeof SubscribeKvEventsRequestSchema> = {}) {
  const feed = createKvFeed({ blockTokens: () => 2, clock: new FakeClock(1000) });
  const abort = new AbortController();
  const events = feed.subscribe(create(SubscribeKvEventsRequestSchema, request), { signal: abort.signal } as never);
  return { feed, abort, iterator: events[Symbol.asyncIterator]() };
}

const STORED: KvNotice = {
  kind: "stored",
  parent: 5n,
  hashes: BigUint64Array.of(6n, 7n),
  tokens: Uint32Array.of(1, 2, 3, 4),
  cacheSalt: "",
  adapter: "pirate",
};

test("a subscriber hears what comes after it began, in order", async () => {
  const { feed, iterator } = open();
  feed.publish({ kind: "cleared" });
  const next = iterator.next();
  await settle();
  feed.publish(STORED);
  feed.publish({ kind: "removed", hashes: BigUint64Array.of(6n) });
  feed.publish({ kind: "cleared" });
  const batches = [await next, await iterator.next(), await iterator.next()].map(({ value }) => value.event.value);
  expect(batches.map(({ sequenceNumber }) => sequenceNumber)).toEqual([2n, 3n, 4n]);
  expect(batches[0]).toMatchObject({ timestampUnixNanos: 1_000_000_000n, dataParallelRank: 0 });
  const [stored, removed, cleared] = batches.map(({ events }) => events[0].event);
  expect(stored).toMatchObject({
    case: "blockStored",
    value: { tokenIds: [1, 2, 3, 4], blockSize: 2, loraName: "pirate", medium: StorageMedium.GPU },
  });
  const bytes = (hash: { value: Uint8Array }) => Buffer.from(hash.value).readBigUInt64LE();
  expect(stored.value.blockHashes.map(bytes)).toEqual([6n, 7n]);
  expect(bytes(stored.value.parentBlockHash)).toBe(5n);
  expect(removed).toMatchObject({ case: "blockRemoved", value: { medium: StorageMedium.GPU } });
  expect(cleared.case).toBe("allBlocksCleared");
});

test("a subscriber that is too far behind is told to subscribe again", async () => {
  const { feed, iterator } = open();
  const first = iterator.next();
  await settle();
  for (let at = 0; at < 5000; at++) feed.publish({ kind: "cleared" });
  expect((await first).value).toMatchObject({
    event: { case: "error", value: { code: ErrorCode.OVERLOADED, retryable: true } },
  });
  expect((await iterator.next()).done).toBe(true);
});

test("the end of the call ends the feed, also while nothing happens", async () => {
  const { abort, iterator } = open();
  const next = iterator.next();
  await settle();
  abort.abort();
  expect((await next).done).toBe(true);
});

test.each([
  [{ includeSnapshot: true }, "UNSUPPORTED_FEATURE"],
  [{ startSequenceNumber: 3n }, "UNSUPPORTED_FEATURE"],
  [{ dataParallelRanks: [0, 1] }, "INVALID_ARGUMENT"],
] as const)("%o is refused", async (request, reason) => {
  const init = { ...request } as MessageInitShape<typeof SubscribeKvEventsRequestSchema>;
  await expect(open(init).iterator.next()).rejects.toMatchObject({ reason });
});

test("rank 0 by name is this worker", async () => {
  const { feed, iterator } = open({ dataParallelRanks: [0] });
  const next = iterator.next();
  await settle();
  feed.publish({ kind: "cleared" });
  expect((await next).done).toBe(false);
});

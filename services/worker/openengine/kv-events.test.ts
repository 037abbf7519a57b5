import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import { StorageMedium, SubscribeKvEventsRequestSchema } from "#gen/openengine/v1/kv_pb";
import { FakeClock } from "#lib/base/clock";
import type { KvNotice } from "#lib/engines/engine";
import { settle } from "../../../test/support/worker-rig.ts";
import { createKvFeed } from "../events/kv-feed.ts";
import { subscribeKvEvents } from "./kv-events.ts";

function open(request: MessageInitShape<typeof SubscribeKvEventsRequestSchema> = {}) {
  const feed = createKvFeed({ clock: new FakeClock(1000), mostBehind: 4 });
  const source = { feed, blockTokens: () => 2 };
  const { signal } = new AbortController();
  const events: AsyncIterable<unknown> = subscribeKvEvents(
    source,
    create(SubscribeKvEventsRequestSchema, request),
    signal,
  );
  return { feed, iterator: events[Symbol.asyncIterator]() };
}

const STORED: KvNotice = {
  kind: "stored",
  parent: 5n,
  hashes: BigUint64Array.of(6n, 7n),
  tokens: Uint32Array.of(1, 2, 3, 4),
  cacheSalt: "",
  adapter: "pirate",
};

test("every kind of event is a batch of its own", async () => {
  const { feed, iterator } = open();
  const next = iterator.next();
  await settle();
  feed.publish(STORED);
  feed.publish({ kind: "removed", hashes: BigUint64Array.of(6n) });
  feed.publish({ kind: "cleared" });
  const batches = [await next, await iterator.next(), await iterator.next()].map(({ value }) => value.event.value);
  expect(batches.map(({ sequenceNumber }) => sequenceNumber)).toEqual([1n, 2n, 3n]);
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
  for (let at = 0; at < 5; at++) feed.publish({ kind: "cleared" });
  expect((await first).value).toMatchObject({
    event: { case: "error", value: { code: ErrorCode.OVERLOADED, retryable: true } },
  });
  expect((await iterator.next()).done).toBe(true);
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

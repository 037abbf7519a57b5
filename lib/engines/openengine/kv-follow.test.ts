import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, expect, it } from "vitest";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import {
  KvBlockHashSchema,
  type KvEventBatchSchema,
  type SubscribeKvEventsRequest,
  type SubscribeKvEventsResponseSchema,
} from "#gen/openengine/v1/kv_pb";
import { Control } from "#gen/openengine/v1/openengine_pb";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { createClient } from "#lib/rpc/client";
import { DirectTransport } from "#lib/rpc/direct";
import { ForeignEngine } from "../../../test/support/foreign-engine.ts";
import { KvFollow } from "./kv-follow.ts";

type Response = MessageInitShape<typeof SubscribeKvEventsResponseSchema>;
type Batch = NonNullable<MessageInitShape<typeof KvEventBatchSchema>["events"]>;

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

const named = (block: number) => create(KvBlockHashSchema, { value: Uint8Array.of(block), encoding: "bytes" });
const stored = (block: number): Batch => [
  { event: { case: "blockStored", value: { blockHashes: [named(block)], tokenIds: [block, 0], blockSize: 2 } } },
];
const batch = (sequenceNumber: bigint, events: Batch, dataParallelRank = 0): Response => {
  return { event: { case: "batch", value: { sequenceNumber, dataParallelRank, events } } };
};

/** Follows an engine whose subscriptions say these things, one list each, and the last for ever. */
function follow(subscriptions: readonly (readonly Response[])[], mostBlocks = 100) {
  const remote = new ForeignEngine();
  const asked: SubscribeKvEventsRequest[] = [];
  remote.onSubscribe = async function* (request, signal) {
    const said = subscriptions[asked.length];
    asked.push(request);
    yield* said ?? [];
    if (asked.length < subscriptions.length) return;
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  };
  const transport = new DirectTransport(remote.services, { clock: systemClock, log: silentLog, metrics: noMetrics });
  const told: string[] = [];
  const stop = new AbortController();
  stops.push(stop);
  const follower = new KvFollow({
    control: createClient(Control, transport),
    ...{ clock: systemClock, log: silentLog, blockTokens: 2, mostBlocks, saltOf: (key) => key },
    onKv: (notice) => void told.push(notice.kind === "stored" ? `stored ${notice.tokens[0]}` : notice.kind),
  });
  const run = follower.run(stop.signal).catch(() => {});
  return { asked, told, follower, run, starts: () => asked.map(({ startSequenceNumber }) => startSequenceNumber) };
}

/** Numbers beyond 2^53 are told apart. */
const N = 2n ** 60n;

it("begins with a snapshot, whose parts have one number, and goes on from there", async () => {
  const { told, asked } = follow([[batch(N, stored(1)), batch(N, stored(2)), batch(N + 1n, stored(3))]]);
  await expect.poll(() => told).toEqual(["stored 1", "stored 2", "stored 3"]);
  expect(asked[0]).toMatchObject({ includeSnapshot: true, startSequenceNumber: 0n, dataParallelRanks: [0] });
});

it("asks for what is missing; what is remembered there is gone on with, and what was told before is not told again", async () => {
  const { told, starts } = follow([
    [batch(N, stored(1)), batch(N + 1n, stored(2)), batch(N + 3n, stored(4))],
    [batch(N + 2n, stored(3)), batch(N + 2n, stored(9)), batch(N + 3n, stored(4))],
  ]);
  await expect.poll(() => told).toEqual(["stored 1", "stored 2", "stored 3", "stored 4"]);
  expect(starts()).toEqual([0n, N + 2n]);
});

it("what is not remembered comes as a snapshot, before which all is forgotten", async () => {
  const overload = { code: ErrorCode.OVERLOADED, message: "Too far behind.", retryable: true };
  const { told, starts } = follow([
    [batch(1n, stored(1)), { event: { case: "error", value: overload } }],
    [batch(9n, stored(2)), batch(10n, stored(3))],
  ]);
  await expect.poll(() => told).toEqual(["stored 1", "cleared", "stored 2", "stored 3"]);
  expect(starts()).toEqual([0n, 2n]);
});

it("what contradicts itself, or is more than may be known, is forgotten and asked for anew", async () => {
  const rank = follow([[batch(1n, stored(1)), batch(2n, stored(2), 3)], [batch(5n, stored(6))]]);
  await expect.poll(() => rank.told).toEqual(["stored 1", "cleared", "stored 6"]);
  expect(rank.starts()).toEqual([0n, 0n]);
  const many = follow([[batch(1n, stored(1)), batch(2n, stored(2))], [batch(2n, stored(2))]], 1);
  await expect.poll(() => many.told).toEqual(["stored 1", "cleared", "stored 2"]);
  expect(many.follower.blocks).toBe(1);
});

it("an engine that began anew is asked from the beginning, and one that tells nothing is left alone", async () => {
  const { told, follower, asked } = follow([[batch(7n, stored(1))], []]);
  await expect.poll(() => told).toEqual(["stored 1"]);
  follower.restart();
  expect(told).toEqual(["stored 1", "cleared"]);
  await expect.poll(() => asked.length).toBe(2);
  const remote = new ForeignEngine();
  const transport = new DirectTransport(remote.services, { clock: systemClock, log: silentLog, metrics: noMetrics });
  const silent = new KvFollow({
    control: createClient(Control, transport),
    ...{ clock: systemClock, log: silentLog, blockTokens: 2, mostBlocks: 1, saltOf: (key) => key, onKv() {} },
  });
  await silent.run(new AbortController().signal);
});

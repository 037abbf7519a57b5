import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { InstanceRecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { createMetrics, noMetrics } from "#lib/host/metrics";
import type { StoreCalls, StoreNews } from "./calls.ts";
import { encodeRecord } from "./codec.ts";
import { DISCOVERY_INSTRUMENTS } from "./metrics.ts";
import { instanceKey } from "./record-keys.ts";
import { superviseStore } from "./supervise.ts";

const NEWS: StoreNews = { snapshot: true, upserts: [], removed: [], resume: { revision: 1n, incarnation: 1n } };

it("a watch waits longer with each stream that told nothing, and shortly after one that told something", async () => {
  const clock = new FakeClock();
  const openedAtMs: number[] = [];
  let isThere = true;
  const calls: Partial<StoreCalls> = {
    store: "memory",
    place: "The store",
    async *watch() {
      openedAtMs.push(clock.nowMs());
      if (isThere) yield NEWS;
      throw new StatorError("UNAVAILABLE", { what: "The store", detail: "test" });
    },
    close: async () => {},
  };
  const discovery = superviseStore(calls as StoreCalls, {
    clock,
    chance: new SeededChance(1n),
    log: silentLog,
    metrics: createMetrics([DISCOVERY_INSTRUMENTS], { processMetrics: false }),
  });
  /** The waits between the streams that are opened in this time. */
  const waits = async (forMs: number): Promise<number[]> => {
    const from = openedAtMs.length - 1;
    for (let at = 0; at <= forMs; at += 10) {
      clock.advance(10);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
    return openedAtMs.slice(from + 1).map((openedMs, at) => openedMs - openedAtMs[from + at]!);
  };
  await discovery.watch("");
  for (const waitMs of await waits(2_000)) expect(waitMs).toBeLessThanOrEqual(110);
  isThere = false;
  const growing = await waits(20_000);
  expect(growing[1]).toBeLessThanOrEqual(210);
  expect(Math.min(...growing.slice(6))).toBeGreaterThanOrEqual(1_000);
  expect(Math.max(...growing)).toBeLessThanOrEqual(2_010);
  isThere = true;
  expect((await waits(5_000)).slice(1, 4).every((waitMs) => waitMs <= 110)).toBe(true);
  await discovery.close();
});

it("a watch that closes while news arrive leaves no timer for what they miss", async () => {
  for (let turnsBefore = 0; turnsBefore < 16; turnsBefore++) {
    const clock = new FakeClock();
    const { promise: arrival, resolve: arrive } = Promise.withResolvers<void>();
    const value = { case: "instance", value: create(InstanceRecordSchema, { instanceId: 1n }) } as const;
    const upserts = [encodeRecord({ key: instanceKey(1n), value })];
    let streams = 0;
    const calls: Partial<StoreCalls> = {
      store: "memory",
      place: "The store",
      async *watch() {
        if (streams++ === 0) yield { ...NEWS, upserts };
        else {
          // The record is missing after an outage: it stays for a while.
          await arrival;
          yield NEWS;
        }
      },
      close: async () => {},
    };
    const common = { log: silentLog, metrics: noMetrics };
    const discovery = superviseStore(calls as StoreCalls, { clock, chance: new SeededChance(1n), ...common });
    const settle = async (turns: number) => {
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    };
    await discovery.watch("");
    await settle(20);
    clock.advance(100);
    await settle(20);
    arrive();
    await settle(turnsBefore);
    await discovery.close();
    expect([streams, clock.pending], `closed after ${turnsBefore} turns`).toEqual([2, 0]);
  }
});

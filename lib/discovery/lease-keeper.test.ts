import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { InstanceRecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import type { StoreCalls } from "./calls.ts";
import type { DiscoveryRecord, Registration } from "./discovery.ts";
import { DISCOVERY_INSTRUMENTS } from "./metrics.ts";
import { superviseStore } from "./supervise.ts";

const record = (key: string, incarnation = 1n): DiscoveryRecord => ({
  key,
  value: { case: "instance", value: create(InstanceRecordSchema, { instanceId: 1n, incarnation }) },
});
const unavailable = () => new StatorError("UNAVAILABLE", { what: "The store", detail: "test" });

/** A store on a fake clock that does what it is told and writes down what it was asked. */
class ScriptedStore {
  readonly clock = new FakeClock();
  readonly metrics = createMetrics([DISCOVERY_INSTRUMENTS], { processMetrics: false });
  readonly asked: string[] = [];
  readonly askedAtMs: number[] = [];
  leases = new Set<bigint>();
  incarnation = 1n;
  /** What every call does instead, while set. */
  fault: (() => Promise<never>) | undefined;
  #next = 0n;

  readonly discovery = superviseStore(this.#calls(), {
    clock: this.clock,
    chance: new SeededChance(1n),
    log: silentLog,
    metrics: this.metrics,
  });

  #calls(): StoreCalls {
    const answer = async (what: string, leaseId?: bigint) => {
      this.asked.push(what);
      this.askedAtMs.push(this.clock.nowMs());
      if (this.fault) await this.fault();
      if (leaseId !== undefined && !this.leases.has(leaseId)) throw new StatorError("NOT_FOUND", { what: "The lease" });
    };
    return {
      store: "memory",
      place: "The store",
      reach: () => answer("reach"),
      grant: async (ttlMs) => {
        await answer("grant");
        this.leases.add(++this.#next);
        return { leaseId: this.#next, ttlMs, incarnation: this.incarnation };
      },
      keepAlive: (leaseId) => answer("keepAlive", leaseId),
      revoke: () => answer("revoke"),
      put: (leaseId, records) => answer(`put ${records.map(({ key }) => key).join(" ")}`, leaseId),
      remove: (leaseId, keys) => answer(`remove ${keys.join(" ")}`, leaseId),
      async *watch() {},
      close: async () => {},
    };
  }

  /** Lets promises run, and time in small steps. */
  async pass(forMs = 0): Promise<void> {
    for (let at = 0; at <= forMs; at += 10) {
      if (at > 0) this.clock.advance(10);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
  }

  /** What was asked since the last time. */
  take(): string[] {
    this.askedAtMs.length = 0;
    return this.asked.splice(0);
  }
}

async function registered(): Promise<{ store: ScriptedStore; registration: Registration }> {
  const store = new ScriptedStore();
  const registration = await store.discovery.register([record("a"), record("b")], { ttlMs: 9_000 });
  expect(store.take()).toEqual(["grant", "put a b"]);
  return { store, registration };
}

describe("a registration", () => {
  it("keeps its lease alive at a third of its time", async () => {
    const { store } = await registered();
    await store.pass(9_000);
    expect(store.take()).toEqual(["keepAlive", "keepAlive", "keepAlive"]);
  });

  it("sends what differs and nothing else", async () => {
    const { store, registration } = await registered();
    await registration.update([record("a"), record("b", 2n), record("c")]);
    await registration.update([record("c"), record("a")]);
    await registration.update([record("a"), record("c")]);
    expect(store.take()).toEqual(["put b c", "remove b"]);
  });

  it("starts over with what is wanted by then when the lease is gone, and tells before it publishes", async () => {
    const { store, registration } = await registered();
    registration.onLapse(() => {
      store.asked.push("lapse");
      registration.update([record("a", 2n)]).catch(() => {});
    });
    store.leases.clear();
    await store.pass(3_100);
    expect(store.take()).toEqual(["keepAlive", "grant", "lapse", "put a"]);
    expect(await store.metrics.print()).toContain('stator_discovery_lapses_total{store="memory"} 1');
  });

  it("is no lapse when the store forgot, unless the owner stood still itself", async () => {
    const { store, registration } = await registered();
    let lapses = 0;
    registration.onLapse(() => lapses++);
    store.leases.clear();
    store.incarnation = 2n;
    await store.pass(3_100);
    expect(store.take()).toEqual(["keepAlive", "grant", "put a b"]);
    expect(lapses).toBe(0);
    store.leases.clear();
    store.incarnation = 3n;
    // No timer of the owner ran in all this time.
    store.clock.advance(30_000);
    await store.pass(100);
    expect(lapses).toBe(1);
  });

  it("tries again with growing waits, never longer than two seconds, and takes an update meanwhile", async () => {
    const { store, registration } = await registered();
    store.fault = () => Promise.reject(unavailable());
    await store.pass(20_000);
    const times = [...store.askedAtMs];
    const gaps = times.slice(1).map((at, index) => at - times[index]!);
    expect(new Set(store.take())).toEqual(new Set(["keepAlive"]));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(2_010);
    expect(Math.max(...gaps.slice(0, 2))).toBeLessThan(250);
    expect(times.length).toBeGreaterThan(8);
    expect(times.length).toBeLessThan(30);
    const update = registration.update([record("c")]).catch((error: unknown) => error);
    await store.pass(5_100);
    expect(await update).toMatchObject({ reason: "UNAVAILABLE" });
    store.fault = undefined;
    store.take();
    await store.pass(2_100);
    expect(store.take()).toEqual(["keepAlive", "put c", "remove a b"]);
  });

  it("waits shortly again once the store has answered", async () => {
    const { store } = await registered();
    store.fault = () => Promise.reject(unavailable());
    await store.pass(12_000);
    store.fault = undefined;
    await store.pass(2_100);
    store.take();
    store.fault = () => Promise.reject(unavailable());
    await store.pass(3_500);
    const [first = 0, second = 0] = store.askedAtMs;
    expect(second - first).toBeLessThanOrEqual(110);
  });

  it("does not wait for a store that hangs", async () => {
    const { store } = await registered();
    store.fault = () => new Promise<never>(() => {});
    await store.pass(12_000);
    expect(store.take().length).toBeGreaterThanOrEqual(3);
    const closing = store.discovery.close();
    await store.pass(1_100);
    await closing;
    expect(store.take().at(-1)).toBe("revoke");
  });

  it("gives a refusal to whoever asked, and keeps what was there", async () => {
    const { store, registration } = await registered();
    store.fault = () => Promise.reject(new StatorError("INVALID_ARGUMENT", { detail: "Too large" }));
    await expect(registration.update([record("a", 3n)])).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
    store.fault = undefined;
    store.take();
    await store.pass(3_100);
    expect(store.take()).toEqual(["keepAlive"]);
  });

  it("gives up opening in time, with the reason", async () => {
    const store = new ScriptedStore();
    store.fault = () => Promise.reject(unavailable());
    const opening = store.discovery.register([record("a")], { ttlMs: 9_000 }).catch((error: unknown) => error);
    await store.pass(5_100);
    expect(await opening).toMatchObject({ reason: "UNAVAILABLE", facts: { detail: "test" } });
    expect(store.clock.pending).toBe(0);
  });
});

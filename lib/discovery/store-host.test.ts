import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { InstanceRecordSchema, RecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { decodeRecord, encodeRecord, MAX_RECORD_BYTES, storedRecord, wireRecord } from "./codec.ts";
import { HUB_INSTRUMENTS } from "./metrics.ts";
import { StoreHost } from "./store-host.ts";

const stored = (key: string, incarnation = 1n) =>
  encodeRecord({
    key,
    value: { case: "instance", value: create(InstanceRecordSchema, { instanceId: 1n, incarnation }) },
  });

function openHost(limits = {}) {
  const clock = new FakeClock();
  const metrics = createMetrics([HUB_INSTRUMENTS], { processMetrics: false });
  return {
    clock,
    metrics,
    host: new StoreHost({ clock, chance: new SeededChance(1n), log: silentLog, metrics, limits }),
  };
}

describe("a record on its way", () => {
  it("is read as it was written, under its own key only", () => {
    const { key, bytes } = stored("a/b", 7n);
    expect(decodeRecord(key, bytes)).toMatchObject({ key, value: { case: "instance", value: { incarnation: 7n } } });
    expect(decodeRecord("a/c", bytes)).toBeUndefined();
    expect(decodeRecord(key, bytes.subarray(1))).toBeUndefined();
    expect(Object.isFrozen(decodeRecord(key, bytes))).toBe(true);
  });

  it("keeps the fields of a newer process through a store that does not know them", () => {
    const { bytes } = stored("a");
    const newer = Uint8Array.of(...bytes, 0x9a, 0x06, 2, 1, 2);
    const kept = storedRecord(fromBinary(RecordSchema, newer));
    expect(kept.bytes).toEqual(newer);
    expect(toBinary(RecordSchema, { ...wireRecord(kept, 9n), revision: 0n })).toEqual(newer);
    expect(wireRecord(kept, 9n).revision).toBe(9n);
  });

  it("is refused when it is too long", () => {
    const reason = "x".repeat(MAX_RECORD_BYTES);
    const value = { case: "instance", value: create(InstanceRecordSchema, { instanceId: 1n, reason }) } as const;
    expect(() => encodeRecord({ key: "a", value })).toThrow("the limit is");
    const { host } = openHost();
    const bytes = new Uint8Array(MAX_RECORD_BYTES + 1);
    expect(() => host.put(host.grant(5_000), [{ key: "a", bytes }])).toThrow("the limit is");
  });
});

describe("the served store", () => {
  it("tells a watcher that resumes what it missed, and one from another life everything", async () => {
    const { host } = openHost();
    const lease = host.grant(5_000);
    host.put(lease, [stored("a"), stored("b")]);
    const { revision, incarnation } = host;
    host.put(lease, [stored("c")]);
    host.remove(lease, ["a"]);
    const first = async (after: { revision: bigint; incarnation: bigint }) => {
      const abort = new AbortController();
      for await (const { snapshot, upserts, removed } of host.watch("", after, abort.signal)) {
        abort.abort();
        return { snapshot, upserts: upserts.map(({ record }) => record.key), removed };
      }
      return undefined;
    };
    expect(await first({ revision, incarnation })).toEqual({ snapshot: false, upserts: ["c"], removed: ["a"] });
    expect(await first({ revision, incarnation: incarnation + 1n })).toEqual({
      snapshot: true,
      upserts: ["b", "c"],
      removed: [],
    });
    expect(await first({ revision: 0n, incarnation: 0n })).toMatchObject({ snapshot: true });
    expect(await first({ revision: 10_000n, incarnation }), "a view of the future").toMatchObject({ snapshot: true });
  });

  it("says that it lives when it has nothing to say, and ends with the signal or the store", async () => {
    const { clock, host, metrics } = openHost();
    const abort = new AbortController();
    const watch = host.watch("a", { revision: 0n, incarnation: 0n }, abort.signal);
    expect((await watch.next()).value).toMatchObject({ snapshot: true });
    const beat = watch.next();
    host.put(host.grant(600_000), [stored("b")]);
    clock.advance(1_500);
    expect((await beat).value).toMatchObject({ snapshot: false, upserts: [], revision: host.revision });
    expect(await metrics.print()).toMatch(/stator_discovery_hub_watchers 1/);
    const last = watch.next();
    abort.abort();
    expect((await last).done).toBe(true);
    const other = host.watch("", { revision: 0n, incarnation: 0n }, new AbortController().signal);
    await other.next();
    const end = other.next();
    host.close();
    expect((await end).done).toBe(true);
    expect(clock.pending, "no timer stays behind").toBe(0);
  });

  it("counts what it refuses and what lapses", async () => {
    const { clock, host, metrics } = openHost({ watchers: 0 });
    host.put(host.grant(1_000), [stored("a")]);
    expect(() => host.keepAlive(1n)).toThrow("was not found");
    const watch = host.watch("", { revision: 0n, incarnation: 0n }, new AbortController().signal);
    await expect(watch.next()).rejects.toMatchObject({ reason: "OVERLOADED" });
    clock.advance(1_000);
    expect(host.list("")).toEqual([]);
    const text = await metrics.print();
    expect(text).toContain('stator_discovery_hub_refused_total{reason="NOT_FOUND"} 1');
    expect(text).toContain('stator_discovery_hub_refused_total{reason="OVERLOADED"} 1');
    expect(text).toContain("stator_discovery_hub_expired_total 1");
  });
});

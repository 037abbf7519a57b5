import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { InstanceRecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { pick, SeededChance } from "#lib/base/chance";
import { eachSeed } from "../../test/support/seeds.ts";
import { encodeRecord, type StoredRecord } from "./codec.ts";
import type { DiscoveryChange, DiscoveryRecord } from "./discovery.ts";
import { createView, step, type ViewEffects } from "./view.ts";

const record = (key: string, incarnation: number): DiscoveryRecord => ({
  key,
  value: {
    case: "instance",
    value: create(InstanceRecordSchema, { instanceId: 1n, incarnation: BigInt(incarnation) }),
  },
});
const stored = (key: string, incarnation = 1): StoredRecord => encodeRecord(record(key, incarnation));
const names = ({ change }: ViewEffects) =>
  change && { upserts: change.upserts.map(({ key }) => key), removed: change.removed };

/** A reader that only folds changes. */
class Reader {
  view = new Map<string, bigint>();
  synced = false;

  take(change: DiscoveryChange | undefined): void {
    if (!change) return;
    this.synced = change.synced;
    for (const { key, value } of change.upserts)
      this.view.set(key, value.case === "instance" ? value.value.incarnation : 0n);
    for (const key of change.removed) expect(this.view.delete(key), "a removed record was known").toBe(true);
  }
}

describe("the view core", () => {
  it("tells differences only", () => {
    const view = createView(5000);
    expect(names(step(view, { kind: "snapshot", records: [stored("a"), stored("b")] }, 0))).toEqual({
      upserts: ["a", "b"],
      removed: [],
    });
    expect(step(view, { kind: "snapshot", records: [stored("a"), stored("b")] }, 1).change).toBeUndefined();
    expect(names(step(view, { kind: "change", upserts: [stored("a", 2)], removed: ["b", "x"] }, 2))).toEqual({
      upserts: ["a"],
      removed: ["b"],
    });
    expect([...view.records.keys()]).toEqual(["a"]);
  });

  it("keeps the last view while the store is lost, and makes the return a difference", () => {
    const view = createView(5000);
    step(view, { kind: "snapshot", records: [stored("a"), stored("b"), stored("c")] }, 0);
    expect(step(view, { kind: "lost" }, 10).change).toEqual({ upserts: [], removed: [], synced: false });
    expect(view.records.size).toBe(3);
    // The store comes back empty: nobody is dropped yet.
    const back = step(view, { kind: "snapshot", records: [] }, 20_000);
    expect(back.change).toEqual({ upserts: [], removed: [], synced: true });
    expect(back.tickAtMs).toBe(25_000);
    expect(step(view, { kind: "change", upserts: [stored("a"), stored("b", 2)], removed: [] }, 21_000)).toMatchObject({
      change: { upserts: [{ key: "b" }], removed: [] },
      kept: 2,
    });
    expect(names(step(view, { kind: "tick" }, 25_000))).toEqual({ upserts: [], removed: ["c"] });
  });

  it("holds removals that come soon after an outage, and gives a second outage its own time", () => {
    const view = createView(5000);
    step(view, { kind: "snapshot", records: [stored("a")] }, 0);
    step(view, { kind: "lost" }, 1);
    step(view, { kind: "change", upserts: [], removed: [] }, 1000);
    expect(step(view, { kind: "change", upserts: [], removed: ["a"] }, 2000)).toMatchObject({
      change: undefined,
      tickAtMs: 6000,
    });
    step(view, { kind: "lost" }, 3000);
    expect(step(view, { kind: "tick" }, 9000).change).toBeUndefined();
    expect(step(view, { kind: "change", upserts: [], removed: [] }, 10_000).tickAtMs).toBe(15_000);
    expect(names(step(view, { kind: "tick" }, 15_000))).toEqual({ upserts: [], removed: ["a"] });
  });

  it("keeps the value before when a new one cannot be read, and keeps strangers out", () => {
    const view = createView(0);
    step(view, { kind: "snapshot", records: [stored("a")] }, 0);
    const torn = { key: "a", bytes: stored("a").bytes.subarray(0, 4) };
    const copied = { key: "b", bytes: stored("a").bytes };
    expect(
      step(view, { kind: "snapshot", records: [torn, copied, { key: "c", bytes: new Uint8Array() }] }, 1),
    ).toMatchObject({
      change: undefined,
      unreadable: 3,
    });
    expect([...view.records.keys()]).toEqual(["a"]);
  });

  it("ends where the store is, and a reader that folds changes has the same view", () => {
    eachSeed(100, (seed) => {
      const chance = new SeededChance(BigInt(seed));
      const view = createView(3000);
      const reader = new Reader();
      const truth = new Map<string, number>();
      const missingSince = new Map<string, number>();
      let nowMs = 0;
      let connected = false;
      for (let at = 0; at < 120; at++) {
        nowMs += pick(chance, 1500);
        const key = `k/${pick(chance, 5)}`;
        const put = pick(chance, 2) === 0;
        if (put) truth.set(key, 1 + pick(chance, 3));
        else truth.delete(key);
        missingSince.set(key, put ? Number.POSITIVE_INFINITY : Math.min(nowMs, missingSince.get(key) ?? nowMs));
        const before = new Set(view.records.keys());
        let effects: ViewEffects;
        if (pick(chance, 8) === 0) {
          effects = step(view, { kind: "lost" }, nowMs);
          connected = false;
        } else if (!connected || pick(chance, 4) === 0) {
          const records = [...truth].map(([name, value]) => stored(name, value));
          effects = step(view, { kind: "snapshot", records }, nowMs);
          connected = true;
        } else {
          const upserts = put ? [stored(key, truth.get(key))] : [];
          effects = step(view, { kind: "change", upserts, removed: put ? [] : [key] }, nowMs);
        }
        reader.take(effects.change);
        for (const gone of effects.change?.removed ?? []) {
          expect(before.has(gone)).toBe(true);
          expect(missingSince.get(gone)).toBeLessThanOrEqual(nowMs);
        }
        expect(reader.synced).toBe(connected);
        if (connected) for (const name of truth.keys()) expect(view.records.has(name)).toBe(true);
      }
      reader.take(
        step(view, { kind: "snapshot", records: [...truth].map(([name, value]) => stored(name, value)) }, nowMs).change,
      );
      reader.take(step(view, { kind: "tick" }, nowMs + 3000).change);
      const expected = [...truth].map(([name, value]) => [name, BigInt(value)]).sort();
      expect([...reader.view].sort()).toEqual(expected);
      expect([...view.records.keys()].sort()).toEqual([...truth.keys()].sort());
    });
  });
});

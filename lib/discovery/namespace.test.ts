import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { InstanceRecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import type { Discovery, DiscoveryChange, DiscoveryRecord } from "./discovery.ts";
import { createMemoryDiscovery } from "./memory.ts";
import { inNamespace, isNamespace, MAX_NAMESPACE_LENGTH } from "./namespace.ts";
import { DISCOVERY_OPTIONS } from "./options.ts";
import { instanceKey } from "./record-keys.ts";
import { StoreHost } from "./store-host.ts";

const deps = { clock: systemClock, chance: systemChance, log: silentLog, metrics: noMetrics };
const ttlMs = 60_000;

function instance(instanceId: bigint): DiscoveryRecord {
  const value = create(InstanceRecordSchema, { instanceId, incarnation: 1n });
  return { key: instanceKey(instanceId), value: { case: "instance", value } };
}

/** A store with three namespaces, and all of it. */
async function withStore(run: (open: (namespace?: string) => Discovery) => Promise<void>): Promise<void> {
  const host = new StoreHost(deps);
  const all: Discovery[] = [];
  await run((namespace) => {
    const store = createMemoryDiscovery(host, deps);
    all.push(store);
    return namespace === undefined ? store : inNamespace(store, namespace);
  });
  await Promise.all(all.map((each) => each.close()));
  host.close();
}

const keysOf = (view: { readonly records: ReadonlyMap<string, unknown> }) => [...view.records.keys()].sort();

it("the namespace without a name has the keys of a build that knew of none, and the others stand apart", async () => {
  await withStore(async (open) => {
    const whole = await open().watch("");
    await open("").register([instance(1n)], { ttlMs });
    await open("a").register([instance(2n)], { ttlMs });
    await open("a.b").register([instance(3n)], { ttlMs });
    await expect
      .poll(() => keysOf(whole))
      .toEqual([
        "instances/0000000000000001",
        "namespaces/a.b/instances/0000000000000003",
        "namespaces/a/instances/0000000000000002",
      ]);
    const stamped = [...whole.records.values()].map(({ value }) => value.case === "instance" && value.value.namespace);
    expect(stamped.sort()).toEqual(["", "a", "a.b"]);
    for (const prefix of ["", "instances"]) {
      expect(keysOf(await open("").watch(prefix))).toEqual([instanceKey(1n)]);
      expect(keysOf(await open("a").watch(prefix))).toEqual([instanceKey(2n)]);
      expect(keysOf(await open("a.b").watch(prefix))).toEqual([instanceKey(3n)]);
    }
    expect(keysOf(await open("").watch("namespaces"))).toEqual([]);
  });
});

it("a change elsewhere is no news, and one at home is told by its key there", async () => {
  await withStore(async (open) => {
    const [home, other, whole] = [open("home"), open(""), await open().watch("")];
    const watch = await other.watch("");
    const changes: DiscoveryChange[] = [];
    const end = watch.subscribe((change) => {
      // Who hears of a change finds it in the view.
      expect(change.upserts.every(({ key }) => watch.records.has(key))).toBe(true);
      changes.push(change);
    });
    const elsewhere = await home.register([instance(1n)], { ttlMs });
    const here = await other.register([instance(2n)], { ttlMs });
    await elsewhere.update([instance(1n), instance(3n)]);
    await elsewhere.close();
    await here.update([]);
    await expect.poll(() => whole.records.size).toBe(0);
    await expect.poll(() => keysOf(watch)).toEqual([]);
    expect(changes.map(({ upserts, removed }) => [upserts.map(({ key }) => key), removed])).toEqual([
      [[], []],
      [[instanceKey(2n)], []],
      [[], [instanceKey(2n)]],
    ]);
    end();
    await other.register([instance(4n)], { ttlMs });
    await expect.poll(() => keysOf(watch)).toEqual([instanceKey(4n)]);
    expect(changes).toHaveLength(3);
  });
});

it("its name is short and fits a key", async () => {
  const longest = "a".repeat(MAX_NAMESPACE_LENGTH);
  for (const name of ["", "a", "0", "prod-eu.1_b", longest]) expect(isNamespace(name), name).toBe(true);
  for (const name of ["A", "..", ".a", "-a", "_", "a/b", "a b", "a+b", "ä", "a\n", `${longest}a`])
    expect(isNamespace(name), name).toBe(false);
  expect(DISCOVERY_OPTIONS.namespace.parse("prod")).toBe("prod");
  expect(DISCOVERY_OPTIONS.namespace.parse("Prod")).toEqual({
    expected: "at most 63 of a-z, 0-9, '.', '_' and '-', a letter or a digit first",
  });
  await withStore(async (open) => {
    await expect(open("a").watch("instances/")).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
    await expect(open("a").register([{ ...instance(1n), key: "../b" }], { ttlMs })).rejects.toMatchObject({
      reason: "INVALID_ARGUMENT",
    });
  });
});

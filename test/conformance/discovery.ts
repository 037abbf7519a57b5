import { describe, expect, it } from "vitest";
import type { DiscoveryChange, DiscoveryWatch } from "#lib/discovery/discovery";
import { inNamespace } from "#lib/discovery/namespace";
import { AFTER_STALL } from "../support/stalls.ts";
import { type DiscoveryRig, instance, type Participant, pass, until } from "./discovery-rig.ts";

/** Where a store may differ, and why. */
export interface DiscoveryDifferences {
  /** The sentence why this store cannot be lost while its users live on. */
  readonly neverLost?: string;
  /** The tests run one after the other: each takes a process of its own. */
  readonly serial?: string;
  /** Time between the end of a lease and the end of its records, beside the time to live; 2,000 when absent. */
  readonly expirySlackMs?: number;
}

const TTL_MS = 2_000;

/** Every Discovery holds this, whatever the store. `open` makes a fresh, empty store. */
export function discoveryConformance(
  name: string,
  open: () => Promise<DiscoveryRig>,
  differences: DiscoveryDifferences = {},
): void {
  const options = { timeout: 60_000, concurrent: differences.serial === undefined, retry: AFTER_STALL };
  describe(`discovery over ${name}`, options, () => {
    /** One test with a store of its own. `join` is another process that uses it. */
    const scenario = (title: string, run: (join: () => Promise<Participant>, rig: DiscoveryRig) => Promise<void>) => {
      it(title, async () => {
        const rig = await open();
        try {
          await run(() => rig.join(), rig);
        } finally {
          await rig.close();
        }
      });
    };

    scenario("shows what is published, to those who watch already and to those who come later", async (join) => {
      const [worker, early, late] = [await join(), await join(), await join()];
      const watch = await early.discovery.watch("");
      expect(watch.synced).toBe(true);
      expect(watch.records.size).toBe(0);
      await worker.discovery.register([instance("a/1"), instance("a/2")], { ttlMs: TTL_MS });
      await until("both records", () => keys(watch) === "a/1 a/2");
      const second = await late.discovery.watch("");
      expect(keys(second)).toBe("a/1 a/2");
      expect(second.records.get("a/1")).toMatchObject({ key: "a/1", value: { case: "instance" } });
    });

    scenario("is an upsert when a record changes, and says nothing when it does not", async (join) => {
      const [worker, reader] = [await join(), await join()];
      const registration = await worker.discovery.register([instance("a"), instance("b")], { ttlMs: TTL_MS });
      const watch = await reader.discovery.watch("");
      const changes = record(watch);
      await registration.update([instance("a", 2), instance("b")]);
      await until("the new value", () => incarnation(watch, "a") === 2n);
      await registration.update([instance("a", 2), instance("b")]);
      await pass(200);
      expect(changes.slice(1)).toEqual([{ upserts: ["a"], removed: [], synced: true }]);
    });

    scenario("replaces what is published: new, changed and missing records at once", async (join) => {
      const [worker, reader] = [await join(), await join()];
      const registration = await worker.discovery.register([instance("a"), instance("b"), instance("c")], {
        ttlMs: TTL_MS,
      });
      const watch = await reader.discovery.watch("");
      const changes = record(watch);
      await registration.update([instance("a"), instance("b", 2), instance("d")]);
      await until("the new set", () => keys(watch) === "a b d" && incarnation(watch, "b") === 2n);
      const upserts = changes.slice(1).flatMap((change) => change.upserts);
      expect(upserts.sort()).toEqual(["b", "d"]);
      expect(changes.slice(1).flatMap((change) => change.removed)).toEqual(["c"]);
    });

    scenario("removes what a closed registration published, and nothing else", async (join) => {
      const [worker, reader] = [await join(), await join()];
      const first = await worker.discovery.register([instance("a")], { ttlMs: TTL_MS });
      await worker.discovery.register([instance("b")], { ttlMs: TTL_MS });
      const watch = await reader.discovery.watch("");
      await first.close();
      await until("only b", () => keys(watch) === "b");
      await worker.discovery.close();
      await until("nobody", () => keys(watch) === "");
    });

    scenario("forgets a process that dies without a word, and keeps the others", async (join) => {
      const [dead, alive, reader] = [await join(), await join(), await join()];
      await dead.discovery.register([instance("dead")], { ttlMs: TTL_MS });
      await alive.discovery.register([instance("alive")], { ttlMs: TTL_MS });
      const watch = await reader.discovery.watch("");
      expect(keys(watch)).toBe("alive dead");
      dead.freeze();
      await until("only the living", () => keys(watch) === "alive", TTL_MS * 2 + (differences.expirySlackMs ?? 2_000));
      await pass(TTL_MS);
      expect(keys(watch)).toBe("alive");
    });

    scenario("tells a process that stood still past its lease, which then returns as another", async (join) => {
      const [worker, reader] = [await join(), await join()];
      const registration = await worker.discovery.register([instance("a")], { ttlMs: TTL_MS });
      let lapses = 0;
      registration.onLapse(() => {
        lapses++;
        registration.update([instance("a", 2)]).catch(() => {});
      });
      const watch = await reader.discovery.watch("");
      const changes = record(watch);
      worker.freeze();
      await until("removed", () => keys(watch) === "");
      expect(lapses).toBe(0);
      worker.thaw();
      await until("back", () => keys(watch) === "a");
      expect(lapses).toBe(1);
      expect(incarnation(watch, "a"), "the old incarnation is not published again").toBe(2n);
      await pass(TTL_MS * 1.5);
      expect(keys(watch)).toBe("a");
      expect(changes.slice(1).map(({ upserts, removed }) => [upserts, removed])).toEqual([
        [[], ["a"]],
        [["a"], []],
      ]);
    });

    scenario("stops prefixes at segments", async (join) => {
      const [worker, reader] = [await join(), await join()];
      await worker.discovery.register(
        [instance("workers/1"), instance("workers/10"), instance("workers/1/x"), instance("workers")],
        {
          ttlMs: TTL_MS,
        },
      );
      expect(keys(await reader.discovery.watch("workers/1"))).toBe("workers/1 workers/1/x");
      expect(keys(await reader.discovery.watch("workers"))).toBe("workers workers/1 workers/1/x workers/10");
      const watch = await reader.discovery.watch("workers/1");
      const all = await reader.discovery.watch("");
      const other = await worker.discovery.register([instance("workers/1-b"), instance("workers/1.b")], {
        ttlMs: TTL_MS,
      });
      await until("all six", () => all.records.size === 6);
      expect(keys(watch)).toBe("workers/1 workers/1/x");
      await other.close();
    });

    scenario("keeps namespaces apart, whose keys are the same", async (join) => {
      const [plain, left, right] = [await join(), await join(), await join()];
      const parts = [plain.discovery, inNamespace(left.discovery, "left"), inNamespace(right.discovery, "left.2")];
      const views = await Promise.all(
        [inNamespace(plain.discovery, ""), ...parts.slice(1)].map((one) => one.watch("")),
      );
      const seen = () => views.map(keys);
      const registrations = await Promise.all(
        parts.map((one, at) => one.register([instance("a", at + 1), instance(`b/${at}`)], { ttlMs: TTL_MS })),
      );
      await until("three views", () => views.every((view) => view.records.size === 2));
      expect(seen()).toEqual(["a b/0", "a b/1", "a b/2"]);
      expect(views.map((view) => incarnation(view, "a"))).toEqual([1n, 2n, 3n]);
      await registrations[1]!.close();
      await until("one is gone", () => views[1]!.records.size === 0);
      expect(seen()).toEqual(["a b/0", "", "a b/2"]);
    });

    scenario("serves two watchers, and one when the other is closed", async (join) => {
      const [worker, one, two] = [await join(), await join(), await join()];
      const [first, second] = [await one.discovery.watch("a"), await two.discovery.watch("")];
      const registration = await worker.discovery.register([instance("a/1"), instance("b/1")], { ttlMs: TTL_MS });
      await until("their own views", () => keys(first) === "a/1" && keys(second) === "a/1 b/1");
      await first.close();
      await first.close();
      await registration.update([instance("b/1")]);
      await until("the change", () => keys(second) === "b/1");
      expect(keys(first)).toBe("a/1");
    });

    scenario("tells a subscriber the present view first, and nothing after it left", async (join) => {
      const [worker, reader] = [await join(), await join()];
      const registration = await worker.discovery.register([instance("a")], { ttlMs: TTL_MS });
      const watch = await reader.discovery.watch("");
      const stays = record(watch);
      const leaves: DiscoveryChange[] = [];
      const end = watch.subscribe((change) => leaves.push(change));
      expect(leaves).toMatchObject([{ upserts: [{ key: "a" }], removed: [], synced: true }]);
      end();
      await registration.update([instance("a", 2)]);
      await until("the change", () => stays.length === 2);
      expect(leaves).toHaveLength(1);
    });

    scenario("keeps out what cannot be read, and keeps the value before", async (join, rig) => {
      const [worker, reader] = [await join(), await join()];
      await worker.discovery.register([instance("a")], { ttlMs: 600_000 });
      const watch = await reader.discovery.watch("");
      await rig.plant("a", Uint8Array.of(0xff, 0xff, 1));
      await rig.plant("b", Uint8Array.of(0xff, 0xff, 2));
      // A kind of record from the future: field 99, empty.
      await rig.plant("c", Uint8Array.of(0x0a, 1, 0x63, 0x9a, 0x06, 0));
      await worker.discovery.register([instance("d")], { ttlMs: TTL_MS });
      await until("the last one", () => watch.records.has("d"));
      expect(keys(watch)).toBe("a d");
      expect(incarnation(watch, "a")).toBe(1n);
    });

    scenario("lets the last one who publishes a key keep it", async (join) => {
      const [old, young, reader] = [await join(), await join(), await join()];
      const before = await old.discovery.register([instance("a"), instance("old")], { ttlMs: TTL_MS });
      const watch = await reader.discovery.watch("");
      await young.discovery.register([instance("a", 2)], { ttlMs: TTL_MS });
      await until("the young one", () => incarnation(watch, "a") === 2n);
      await before.close();
      await until("the old one's other record is gone", () => !watch.records.has("old"));
      await pass(TTL_MS * 1.5);
      expect(keys(watch)).toBe("a");
    });

    scenario("carries many records", async (join) => {
      const [worker, reader] = [await join(), await join()];
      const watch = await reader.discovery.watch("many");
      const many = Array.from({ length: 500 }, (_, at) => instance(`many/${at}`));
      const registration = await worker.discovery.register(many, { ttlMs: 10_000 });
      await until("all", () => watch.records.size === 500);
      await registration.update(many.map((one, at) => (at % 2 === 0 ? one : instance(one.key, 2))));
      await until(
        "half changed",
        () => [...watch.records.keys()].filter((key) => incarnation(watch, key) === 2n).length === 250,
      );
      expect((await reader.discovery.watch("many")).records.size).toBe(500);
      await registration.close();
      await until("none", () => watch.records.size === 0);
    });

    scenario("refuses bad keys, prefixes and times at once", async (join) => {
      const { discovery } = await join();
      const invalid = { reason: "INVALID_ARGUMENT" };
      await expect(discovery.register([instance("A")], { ttlMs: TTL_MS })).rejects.toMatchObject(invalid);
      await expect(discovery.register([instance("a//b")], { ttlMs: TTL_MS })).rejects.toMatchObject(invalid);
      await expect(discovery.register([instance("a")], { ttlMs: 10 })).rejects.toMatchObject(invalid);
      await expect(discovery.watch("a/")).rejects.toMatchObject(invalid);
      const registration = await discovery.register([instance("a")], { ttlMs: TTL_MS });
      await expect(registration.update([instance("../a")])).rejects.toMatchObject(invalid);
    });

    scenario("closes twice without harm and takes nothing afterwards", async (join) => {
      const [worker, reader] = [await join(), await join()];
      const registration = await worker.discovery.register([instance("a")], { ttlMs: TTL_MS });
      const watch = await reader.discovery.watch("");
      await Promise.all([registration.close(), registration.close()]);
      await until("gone", () => watch.records.size === 0);
      await Promise.all([worker.discovery.close(), worker.discovery.close()]);
      await expect(worker.discovery.register([], { ttlMs: TTL_MS })).rejects.toMatchObject({ reason: "UNAVAILABLE" });
      await expect(worker.discovery.watch("")).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    });

    const title = "serves the last view while the store is lost, and comes back by a difference";
    if (differences.neverLost) {
      it.skip(`${title} (${differences.neverLost})`, () => {});
      return;
    }
    scenario(title, async (join, rig) => {
      const [steady, changing, reader] = [await join(), await join(), await join()];
      await steady.discovery.register([instance("steady")], { ttlMs: 3_000 });
      const registration = await changing.discovery.register([instance("changing"), instance("leaving")], {
        ttlMs: 3_000,
      });
      const watch = await reader.discovery.watch("");
      const changes = record(watch);
      await rig.outage!.begin();
      await until("noticed", () => !watch.synced);
      const update = registration
        .update([instance("changing", 2), instance("coming")])
        .catch((error: unknown) => error);
      await pass(500);
      expect(keys(watch)).toBe("changing leaving steady");
      await rig.outage!.end();
      await until("synced", () => watch.synced);
      await until(
        "the changes",
        () => keys(watch) === "changing coming steady" && incarnation(watch, "changing") === 2n,
      );
      await update;
      await pass(3_000);
      expect(watch.synced).toBe(true);
      const upserts = changes.slice(1).flatMap((change) => change.upserts);
      const removed = changes.slice(1).flatMap((change) => change.removed);
      expect(upserts.sort()).toEqual(["changing", "coming"]);
      expect(removed).toEqual(["leaving"]);
    });
  });
}

const keys = (watch: DiscoveryWatch) => [...watch.records.keys()].sort().join(" ");

function incarnation(watch: DiscoveryWatch, key: string): bigint | undefined {
  const value = watch.records.get(key)?.value;
  return value?.case === "instance" ? value.value.incarnation : undefined;
}

/** What a subscriber heard, the present view first. */
function record(watch: DiscoveryWatch): { upserts: string[]; removed: readonly string[]; synced: boolean }[] {
  const heard: { upserts: string[]; removed: readonly string[]; synced: boolean }[] = [];
  watch.subscribe(({ upserts, removed, synced }) => {
    heard.push({ upserts: upserts.map(({ key }) => key), removed, synced });
  });
  return heard;
}

import { Etcd3 } from "etcd3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Discovery, Registration } from "#lib/discovery/discovery";
import { openDiscovery } from "#lib/discovery/open";
import { instance, pass, until } from "../conformance/discovery-rig.ts";
import { AFTER_STALL } from "../support/stalls.ts";
import { type EtcdServer, etcdMissing, openEtcd } from "./discovery-etcd-server.ts";
import { type Network, openNetwork } from "./discovery-network.ts";
import { openWatcher, TEST_DEPS, type Watcher } from "./discovery-watcher.ts";

const missing = etcdMissing();
const TTL_MS = 3_000;

describe.skipIf(missing !== undefined)(
  `etcd that fails${missing ? ` (skipped: ${missing})` : ""}`,
  { retry: AFTER_STALL },
  () => {
    let etcd: EtcdServer;
    let worker: Discovery;
    let registration: Registration;
    let watcher: Watcher;
    const closes: (() => Promise<void>)[] = [];

    beforeEach(async () => {
      etcd = await openEtcd();
      worker = await openDiscovery(`etcd://${etcd.host}`, TEST_DEPS);
      registration = await worker.register([instance("a"), instance("b")], { ttlMs: TTL_MS });
      watcher = await openWatcher(`etcd://${etcd.host}`);
      expect(watcher.keys).toBe("a b");
    });
    afterEach(async () => {
      etcd.thaw();
      await Promise.all([worker.close(), watcher.discovery.close()]);
      await Promise.all(closes.splice(0).map((close) => close()));
      await etcd.close();
    });

    /** After any outage: synced again, nobody told to be gone, and the lease really lives. */
    const holds = async () => {
      await until("synced", () => watcher.watch.synced, 30_000);
      await pass(TTL_MS * 2);
      expect(watcher.watch.synced).toBe(true);
      expect(watcher.keys).toBe("a b");
      expect(watcher.removed).toEqual([]);
      const raw = new Etcd3({ hosts: `http://${etcd.host}` });
      const keys = await raw.getAll().prefix("/stator/").keys();
      raw.close();
      expect(keys.sort()).toEqual(["/stator/a", "/stator/b"]);
    };

    it("frozen past the lease: noticed, served from the last view, granted and put again", async () => {
      etcd.freeze();
      await until("noticed", () => !watcher.watch.synced);
      await pass(TTL_MS * 2);
      expect(watcher.keys).toBe("a b");
      etcd.thaw();
      await holds();
    });

    it("frozen for a moment: nothing happens", async () => {
      etcd.freeze();
      await pass(800);
      etcd.thaw();
      await pass(1_000);
      expect(watcher.watch.synced).toBe(true);
      await holds();
    });

    it("killed and started again past the lease, with its data", async () => {
      await etcd.kill();
      await until("noticed", () => !watcher.watch.synced);
      await pass(TTL_MS * 1.5);
      expect(watcher.keys).toBe("a b");
      await etcd.start();
      await holds();
    });

    it("killed and started again without data: everything is put again", async () => {
      let lapses = 0;
      registration.onLapse(() => lapses++);
      // A history, so that the new etcd counts from less than what was seen.
      for (let at = 2; at < 6; at++) await registration.update([instance("a"), instance("b", at)]);
      await etcd.kill();
      await until("noticed", () => !watcher.watch.synced);
      await etcd.start({ empty: true });
      await holds();
      expect(watcher.incarnation("b")).toBe(5n);
      expect(lapses, "an etcd that forgot cannot be told from one that dropped the lease").toBe(1);
      await registration.update([instance("a", 9), instance("b", 5)]);
      await until("the watch is alive", () => watcher.incarnation("a") === 9n);
    });

    it("compacted while a reader was away", async () => {
      const { far, network } = await openFarReader();
      network.cut();
      await until("noticed", () => !far.watch.synced);
      for (let at = 2; at < 12; at++) await registration.update([instance("a", at), instance("c", at)]);
      const raw = new Etcd3({ hosts: `http://${etcd.host}` });
      const { header } = await raw.getAll().exec();
      await raw.kv.compact({ revision: header.revision, physical: true });
      raw.close();
      network.heal();
      await until("the view", () => far.keys === "a c" && far.incarnation("a") === 11n);
      expect(far.removed).toEqual(["b"]);
    });

    it("behind a network that swallows everything is noticed by reader and owner", async () => {
      const { far, network } = await openFarReader();
      const lonely = await openDiscovery(`etcd://${network.host}`, TEST_DEPS);
      closes.push(() => lonely.close());
      const own = await lonely.register([instance("lonely")], { ttlMs: TTL_MS });
      let lapses = 0;
      own.onLapse(() => {
        lapses++;
        own.update([instance("lonely", 2)]).catch(() => {});
      });
      await until("seen", () => watcher.keys === "a b lonely");
      network.swallow();
      await until("noticed", () => !far.watch.synced);
      await until("expired for the others", () => watcher.keys === "a b");
      expect(far.keys, "its own last view").toBe("a b lonely");
      network.heal();
      await until("back as another", () => watcher.incarnation("lonely") === 2n);
      await until("synced", () => far.watch.synced && far.incarnation("lonely") === 2n);
      expect(lapses).toBe(1);
      expect(far.removed).toEqual([]);
    });

    async function openFarReader(): Promise<{ far: Watcher; network: Network }> {
      const network = await openNetwork(etcd.host);
      const far = await openWatcher(`etcd://${network.host}`);
      closes.push(
        () => far.discovery.close(),
        () => network.close(),
      );
      return { far, network };
    }
  },
);

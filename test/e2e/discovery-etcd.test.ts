import { Etcd3 } from "etcd3";
import { afterEach, describe, expect, it } from "vitest";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { type EtcdServer, etcdMissing, openEtcd } from "../integration/discovery-etcd-server.ts";
import { Cluster } from "../support/cluster.ts";
import { Load } from "../support/load.ts";
import { type Observer, observe } from "../support/observer.ts";
import { AFTER_STALL } from "../support/stalls.ts";

const LEASE_MS = 3000;
const STREAMS = 12;

const missing = etcdMissing();
let cluster: Cluster;
let etcd: EtcdServer | undefined;
let load: Load | undefined;
let observer: Observer | undefined;

afterEach(async () => {
  etcd?.thaw();
  await load?.stop();
  await observer?.close();
  await cluster.close();
  await etcd?.close();
  load = observer = etcd = undefined;
});

/** A real etcd, two workers, and a frontend that was told of no model, under load. */
async function start() {
  cluster = new Cluster();
  etcd = await openEtcd();
  const url = `etcd://${etcd.host}`;
  const joinArgs = ["--discovery", url, "--lease-ms", String(LEASE_MS)];
  await Promise.all([cluster.worker(...joinArgs), cluster.worker(...joinArgs)]);
  const frontend = await cluster.frontend("--discovery", url);
  load = await Load.start(frontend.address, { streams: STREAMS });
  observer = await observe(url);
  return { server: etcd, joinArgs, running: load, view: observer };
}

function ready(view: Observer): number {
  return [...view.workers().values()].filter(({ state }) => state === InstanceState.READY).length;
}

/**
 * All answers were complete, whoever gave them, and so many workers answer now. Where all workers become new incarnations
 * at once there is a moment without any: who comes in it is asked to come again.
 */
async function isWell(running: Load, workers: number, refusals: readonly string[] = []): Promise<void> {
  running.forgetWorkers();
  await expect.poll(() => running.workers.size, { timeout: 30_000 }).toBe(workers);
  expect((await running.stop()).failures).toEqual([]);
  for (const reason of running.refusals.keys()) expect(refusals).toContain(reason);
  expect(cluster.complaints).toEqual([]);
}

describe.skipIf(missing !== undefined)(
  `an etcd that fails under load${missing ? ` (${missing})` : ""}`,
  { retry: AFTER_STALL },
  () => {
    it("stops past the leases: registrations come back as new incarnations, and no stream suffers", async () => {
      const { server, running, view } = await start();
      const before = view.incarnations();
      const ids = [...view.workers().keys()].sort();
      expect(before).toHaveLength(2);
      server.freeze();
      await new Promise((resolve) => setTimeout(resolve, 2.5 * LEASE_MS));
      await running.more(2 * STREAMS);
      server.thaw();
      const isNew = () => view.incarnations().filter((each) => !before.includes(each)).length;
      await expect.poll(isNew, { timeout: 30_000 }).toBe(2);
      expect([...view.workers().keys()].sort(), "the instances are the same").toEqual(ids);
      await isWell(running, 2, ["no_workers"]);
    });

    it("is killed and comes back with its data: nobody is lost, and new workers are found", async () => {
      const { server, joinArgs, running, view } = await start();
      await server.kill();
      await running.more(2 * STREAMS);
      await server.start();
      await cluster.worker(...joinArgs);
      await expect.poll(() => ready(view), { timeout: 30_000 }).toBe(3);
      await isWell(running, 3);
    });

    it("comes back empty: all register again", async () => {
      const { server, running, view } = await start();
      const ids = [...view.workers().keys()].sort();
      await server.kill();
      await running.more(STREAMS);
      await server.start({ empty: true });
      await running.more(2 * STREAMS);
      const fresh = await observe(`etcd://${server.host}`);
      await expect.poll(() => [...fresh.workers().keys()].sort(), { timeout: 30_000 }).toEqual(ids);
      await fresh.close();
      await isWell(running, 2, ["no_workers"]);
    });

    it("is compacted under a watch that missed the changes: the view is the present one all the same", async () => {
      const { server, joinArgs, running, view } = await start();
      const client = new Etcd3({ hosts: `http://${server.host}` });
      const compact = async () => {
        const { header } = await client.getAll().exec();
        await client.kv.compact({ revision: header.revision, physical: true });
      };
      await compact();
      const third = await cluster.worker(...joinArgs);
      await expect.poll(() => ready(view), { timeout: 30_000 }).toBe(3);
      // Changes that nobody saw, and their history gone before anybody asks again.
      await server.kill();
      await server.start();
      third.program.signal("SIGKILL");
      await compact();
      await expect.poll(() => ready(view), { timeout: 30_000 }).toBe(2);
      client.close();
      await isWell(running, 2);
    });
  },
);

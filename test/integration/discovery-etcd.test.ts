import { Etcd3 } from "etcd3";
import { describe } from "vitest";
import { openEtcdDiscovery } from "#lib/discovery/etcd";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { discoveryConformance } from "../conformance/discovery.ts";
import { FreezableClock, rigDeps } from "../conformance/discovery-rig.ts";
import { etcdMissing, openEtcd } from "./discovery-etcd-server.ts";

const missing = etcdMissing();

describe.skipIf(missing !== undefined)(`etcd${missing ? ` (skipped: ${missing})` : ""}`, () => {
  discoveryConformance(
    "etcd",
    async () => {
      const server = await openEtcd();
      const closes: (() => Promise<void>)[] = [];
      return {
        async join() {
          const clock = new FreezableClock();
          const options = { hosts: [server.host], credentials: loopbackCredentials, root: "/stator" };
          const discovery = await openEtcdDiscovery(options, rigDeps(clock));
          closes.push(() => discovery.close());
          return { discovery, freeze: () => clock.freeze(), thaw: () => clock.thaw() };
        },
        outage: { begin: () => server.kill(), end: () => server.start() },
        async plant(key, bytes) {
          const client = new Etcd3({ hosts: `http://${server.host}` });
          await client.put(`/stator/${key}`).value(Buffer.from(bytes));
          client.close();
        },
        async close() {
          await Promise.all(closes.map((close) => close()));
          await server.close();
        },
      };
    },
    { serial: "each starts an etcd" },
  );
});

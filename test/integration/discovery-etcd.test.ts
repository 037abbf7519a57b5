import { type AddressInfo, createServer } from "node:net";
import { Etcd3 } from "etcd3";
import { describe, expect, it } from "vitest";
import { ProcessClock } from "#lib/base/process-clock";
import { openEtcdDiscovery } from "#lib/discovery/etcd";
import { systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { discoveryConformance } from "../conformance/discovery.ts";
import { rigDeps } from "../conformance/discovery-rig.ts";
import { freePort } from "../support/free-port.ts";
import { etcdMissing, openEtcd } from "./discovery-etcd-server.ts";

const missing = etcdMissing();

describe.skipIf(missing !== undefined)(`etcd${missing ? ` (skipped: ${missing})` : ""}`, () => {
  it("begins on other ports when somebody took one just before it", async () => {
    const [taken, free] = [createServer((socket) => void socket.destroy()), await freePort()];
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const drawn = [(taken.address() as AddressInfo).port, free];
    const server = await openEtcd(async () => drawn.shift() ?? (await freePort()));
    expect(drawn).toEqual([]);
    expect(server.host).not.toContain(`:${(taken.address() as AddressInfo).port}`);
    await server.close();
    await new Promise((resolve) => taken.close(resolve));
  });

  discoveryConformance(
    "etcd",
    async () => {
      const server = await openEtcd();
      const closes: (() => Promise<void>)[] = [];
      return {
        async join() {
          const clock = new ProcessClock(systemClock);
          const options = { hosts: [server.host], credentials: loopbackCredentials, root: "/stator" };
          const discovery = await openEtcdDiscovery(options, rigDeps(clock));
          closes.push(() => discovery.close());
          return { discovery, freeze: () => clock.stop(), thaw: () => clock.resume() };
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

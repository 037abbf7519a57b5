import { fromBinary } from "@bufbuild/protobuf";
import { DiscoveryService, RecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { ProcessClock } from "#lib/base/process-clock";
import { createHubDiscovery } from "#lib/discovery/hub";
import { createDiscoveryService } from "#lib/discovery/hub-service";
import { StoreHost } from "#lib/discovery/store-host";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import type { Credentials } from "#lib/rpc/credentials";
import { openServer, type RpcServer } from "#lib/rpc/server";
import { type DiscoveryRig, rigDeps } from "./discovery-rig.ts";

/** A hub on a free port. `forgets`: it comes back from an outage as a new process would, empty; else with what it knew. */
export async function openHubRig(options: {
  forgets: boolean;
  listen: Credentials;
  dial: Credentials;
}): Promise<DiscoveryRig> {
  const observed = { clock: systemClock, log: silentLog, metrics: noMetrics };
  const openHost = () => new StoreHost({ chance: systemChance, ...observed });
  const serve = (port: number): Promise<RpcServer> =>
    openServer({
      host: "127.0.0.1",
      port,
      credentials: options.listen,
      services: [createDiscoveryService(host)],
      ...observed,
    });
  let host = openHost();
  let server = await serve(0);
  const { address, port } = server;
  const closes: (() => Promise<void>)[] = [];
  return {
    async join() {
      const clock = new ProcessClock(systemClock);
      const discovery = createHubDiscovery(() => new Channel(address, options.dial, clock), rigDeps(clock));
      closes.push(() => discovery.close());
      return { discovery, freeze: () => clock.stop(), thaw: () => clock.resume() };
    },
    outage: {
      begin: () => server.close(),
      async end() {
        if (options.forgets) {
          host.close();
          host = openHost();
        }
        server = await serve(port);
      },
    },
    async plant(key, bytes) {
      let record: ReturnType<typeof fromBinary<typeof RecordSchema>>;
      try {
        record = fromBinary(RecordSchema, bytes);
      } catch {
        return; // Protobuf carries no message that is none.
      }
      const channel = new Channel(address, options.dial, systemClock);
      const client = createClient(DiscoveryService, channel);
      const { leaseId } = await client.grantLease({ ttlMs: 600_000 });
      await client.put({ leaseId, records: [{ ...record, key }] });
      channel.close();
    },
    async close() {
      await Promise.all(closes.map((close) => close()));
      await server.close();
      host.close();
    },
  };
}

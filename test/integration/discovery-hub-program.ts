import { createDiscoveryService } from "#lib/discovery/hub-service";
import { StoreHost } from "#lib/discovery/store-host";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";

// A hub on the given port (0: any); says on which in one line, and serves until it is killed.
const observed = { clock: systemClock, log: silentLog, metrics: noMetrics };
const host = new StoreHost({ chance: systemChance, ...observed });
const server = await openServer({
  host: "127.0.0.1",
  port: Number(process.argv[2] ?? 0),
  credentials: loopbackCredentials,
  services: [createDiscoveryService(host)],
  ...observed,
});
process.stdout.write(`${server.port}\n`);

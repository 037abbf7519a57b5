import { create } from "@bufbuild/protobuf";
import { InstanceRecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { openDiscovery } from "#lib/discovery/open";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";

// A process that publishes one record and lives until it is killed: URL, key, time to live in milliseconds. After a lapse
// it counts its incarnation up. Says each incarnation in a line.
const [, , url = "", key = "", ttlMs = ""] = process.argv;
const deps = { clock: systemClock, chance: systemChance, log: silentLog, metrics: noMetrics };
const discovery = await openDiscovery(url, { ...deps, credentials: loopbackCredentials });
let incarnation = 1n;
const records = () => {
  const value = create(InstanceRecordSchema, { instanceId: 1n, incarnation });
  return [{ key, value: { case: "instance", value } as const }];
};
const registration = await discovery.register(records(), { ttlMs: Number(ttlMs) });
registration.onLapse(() => {
  incarnation++;
  process.stdout.write(`${incarnation}\n`);
  registration.update(records()).catch(() => {});
});
process.stdout.write(`${incarnation}\n`);
setInterval(() => {}, 60_000);

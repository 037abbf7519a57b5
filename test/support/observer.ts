import { type InstanceRecord, InstanceRole } from "#gen/stator/discovery/v1/discovery_pb";
import type { DiscoveryWatch } from "#lib/discovery/discovery";
import { DISCOVERY_INSTRUMENTS } from "#lib/discovery/metrics";
import { openDiscovery } from "#lib/discovery/open";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { type Credentials, loopbackCredentials } from "#lib/rpc/credentials";

/** A view of discovery of a test's own. */
export interface Observer {
  /** Workers in view by id. */
  workers(): ReadonlyMap<bigint, InstanceRecord>;
  /** Their incarnations, in order of the instances' ids. */
  incarnations(): readonly bigint[];
  close(): Promise<void>;
}

/** Follows a store as any process does. */
export async function observe(url: string, credentials: Credentials = loopbackCredentials): Promise<Observer> {
  const metrics = createMetrics([DISCOVERY_INSTRUMENTS], { processMetrics: false });
  const deps = { clock: systemClock, chance: systemChance, log: silentLog, metrics, credentials };
  const discovery = await openDiscovery(url, deps);
  const watch: DiscoveryWatch = await discovery.watch("instances");
  const workers = () => {
    const found = new Map<bigint, InstanceRecord>();
    for (const { value } of watch.records.values()) {
      if (value.case !== "instance" || value.value.role !== InstanceRole.WORKER) continue;
      found.set(value.value.instanceId, value.value);
    }
    return found;
  };
  return {
    workers,
    incarnations: () =>
      [...workers().values()]
        .toSorted((left, right) => (left.instanceId < right.instanceId ? -1 : 1))
        .map(({ incarnation }) => incarnation),
    close: () => discovery.close(),
  };
}

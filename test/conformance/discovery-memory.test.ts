import { ProcessClock } from "#lib/base/process-clock";
import { createMemoryDiscovery } from "#lib/discovery/memory";
import { StoreHost } from "#lib/discovery/store-host";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { discoveryConformance } from "./discovery.ts";
import { rigDeps } from "./discovery-rig.ts";

discoveryConformance(
  "memory",
  async () => {
    const host = new StoreHost({ clock: systemClock, chance: systemChance, log: silentLog, metrics: noMetrics });
    const closes: (() => Promise<void>)[] = [];
    return {
      async join() {
        const clock = new ProcessClock(systemClock);
        const discovery = createMemoryDiscovery(host, rigDeps(clock));
        closes.push(() => discovery.close());
        return { discovery, freeze: () => clock.stop(), thaw: () => clock.resume() };
      },
      outage: undefined,
      plant: async (key, bytes) => host.put(host.grant(600_000), [{ key, bytes }]),
      async close() {
        await Promise.all(closes.map((close) => close()));
        host.close();
      },
    };
  },
  { neverLost: "the store lives in the same process" },
);

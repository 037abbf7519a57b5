import { mkdtemp, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ProcessClock } from "#lib/base/process-clock";
import { openFileDiscovery } from "#lib/discovery/file";
import { systemClock } from "#lib/host/system-clock";
import { discoveryConformance } from "./discovery.ts";
import { rigDeps } from "./discovery-rig.ts";

discoveryConformance("a directory", async () => {
  const base = await mkdtemp(join(tmpdir(), "stator-discovery-"));
  const directory = join(base, "records");
  const closes: (() => Promise<void>)[] = [];
  return {
    async join() {
      const clock = new ProcessClock(systemClock);
      const discovery = await openFileDiscovery(directory, rigDeps(clock));
      closes.push(() => discovery.close());
      return { discovery, freeze: () => clock.stop(), thaw: () => clock.resume() };
    },
    outage: {
      begin: () => rename(directory, join(base, "away")),
      end: () => rename(join(base, "away"), directory),
    },
    async plant(key, bytes) {
      const path = join(directory, `${key.replaceAll("/", "+")}.json`);
      await writeFile(path, bytes);
      const endSeconds = Date.now() / 1000 + 600;
      await utimes(path, endSeconds, endSeconds);
    },
    async close() {
      await Promise.all(closes.map((close) => close()));
      await rm(base, { recursive: true });
    },
  };
});

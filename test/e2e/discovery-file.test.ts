import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Cluster } from "../support/cluster.ts";
import { Load } from "../support/load.ts";
import { observe } from "../support/observer.ts";
import { AFTER_STALL } from "../support/stalls.ts";

const STREAMS = 8;

let folder: string;
let cluster: Cluster;
let load: Load | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stator-discovery-"));
  cluster = new Cluster();
  load = undefined;
});

afterEach(async () => {
  await load?.stop();
  await cluster.close();
  rmSync(folder, { recursive: true, force: true });
});

it("a folder is enough to meet: workers come, leave, die and come again under load", {
  retry: AFTER_STALL,
}, async () => {
  const discovery = ["--discovery", `file://${folder}`];
  const joinArgs = [...discovery, "--lease-ms", "2000"];
  const [first] = await Promise.all([cluster.worker(...joinArgs), cluster.worker(...joinArgs)]);
  const frontend = await cluster.frontend(...discovery);
  const running = await Load.start(frontend.address, { streams: STREAMS });
  load = running;
  const view = await observe(`file://${folder}`);
  expect(view.workers().size).toBe(2);
  first!.program.signal("SIGKILL");
  await expect.poll(() => view.workers().size, { timeout: 20_000 }).toBe(1);
  const third = await cluster.worker(...joinArgs);
  await expect.poll(() => view.workers().size).toBe(2);
  running.forgetWorkers();
  await expect.poll(() => running.workers.size, { timeout: 20_000 }).toBe(2);
  third.program.signal("SIGTERM");
  expect(await third.program.ended).toEqual({ code: 0, signal: null });
  await expect.poll(() => view.workers().size).toBe(1);
  await view.close();
  await running.more(STREAMS);
  expect(await running.stop()).toMatchObject({ failures: [], refusals: new Map() });
  expect(cluster.complaints).toEqual([]);
});

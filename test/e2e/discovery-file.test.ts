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

it("two clusters share a folder, each in a namespace of its own, beside one without", {
  retry: AFTER_STALL,
}, async () => {
  const discovery = ["--discovery", `file://${folder}`];
  const parts = ["", "left", "right"].map((name) => ({ name, model: `mock-of-${name || "nobody"}` }));
  const frontends = await Promise.all(
    parts.map(async ({ name, model }) => {
      const where = [...discovery, ...(name === "" ? [] : ["--namespace", name])];
      await cluster.worker(...where, "--model-name", model);
      return cluster.frontend(...where);
    }),
  );
  for (const [at, { model }] of parts.entries()) {
    const models = async () => {
      const response = await fetch(`http://${frontends[at]!.address}/v1/models`);
      return ((await response.json()) as { data: { id: string }[] }).data.map(({ id }) => id);
    };
    await expect.poll(models, { timeout: 20_000 }).toEqual([model]);
  }
  const view = await observe(`file://${folder}`);
  expect([...view.workers().values()].map(({ models }) => models)).toEqual([["mock-of-nobody"]]);
  await view.close();
  const strange = cluster.start(["worker", "--engine", "mock", ...discovery, "--namespace", "Not/one"]);
  expect(await strange.ended).toMatchObject({ code: 2 });
  expect(strange.stderr).toContain("a letter or a digit first");
  expect(cluster.complaints).toEqual([]);
});

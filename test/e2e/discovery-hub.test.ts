import { afterEach, describe, expect, it } from "vitest";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { Cluster, readMetric } from "../support/cluster.ts";
import { freePort } from "../support/free-port.ts";
import { Load } from "../support/load.ts";
import { type Observer, observe } from "../support/observer.ts";
import { AFTER_STALL } from "../support/stalls.ts";

const LEASE_MS = 2000;
const STREAMS = 12;

let cluster: Cluster;
let load: Load | undefined;
const observers: Observer[] = [];

afterEach(async () => {
  await load?.stop();
  load = undefined;
  await Promise.all(observers.splice(0).map((observer) => observer.close()));
  await cluster.close();
});

/** A hub, two workers and a frontend that serves a load. */
async function start() {
  cluster = new Cluster();
  const port = String(await freePort());
  const hub = await cluster.hub("--hub-port", port);
  const discovery = ["--discovery", `hub://${hub.address}`];
  const joinArgs = [...discovery, "--lease-ms", String(LEASE_MS)];
  const workers = await Promise.all([cluster.worker(...joinArgs), cluster.worker(...joinArgs)]);
  const frontend = await cluster.frontend(...discovery);
  load = await Load.start(frontend.address, { streams: STREAMS });
  const watch = async () => {
    const observer = await observe(`hub://${hub.address}`);
    observers.push(observer);
    return observer;
  };
  const metrics = async () => (await fetch(`http://${frontend.address}/metrics`)).text();
  return { hub, port, joinArgs, workers, load, watch, metrics };
}

function ready(observer: Observer): number {
  return [...observer.workers().values()].filter(({ state }) => state === InstanceState.READY).length;
}

describe("a hub that fails under load", { retry: AFTER_STALL }, () => {
  it("is killed: nobody is lost, and all come back to a new one on its port, new workers too", async () => {
    const { hub, port, joinArgs, load: running, watch, metrics } = await start();
    const before = (await watch()).incarnations();
    expect(before).toHaveLength(2);
    hub.program.signal("SIGKILL");
    await hub.program.ended;
    await expect.poll(async () => readMetric(await metrics(), "stator_discovery_synced"), { timeout: 20_000 }).toBe(0);
    // Longer than the lease: what the frontend goes by is its last view.
    await new Promise((resolve) => setTimeout(resolve, 1.5 * LEASE_MS));
    running.forgetWorkers();
    await running.more(3 * STREAMS);
    expect(running.workers.size, "both still answer").toBe(2);
    await cluster.hub("--hub-port", port);
    const observer = await watch();
    await expect.poll(() => ready(observer), { timeout: 20_000 }).toBe(2);
    expect(observer.incarnations(), "a store that forgot everything judged nobody").toEqual(before);
    await cluster.worker(...joinArgs);
    await expect.poll(() => ready(observer)).toBe(3);
    running.forgetWorkers();
    await expect.poll(() => running.workers.size, { timeout: 30_000 }).toBe(3);
    expect(await running.stop()).toMatchObject({ failures: [], refusals: new Map() });
    expect(cluster.complaints).toEqual([]);
    expect(readMetric(await metrics(), "stator_discovery_synced")).toBeGreaterThan(0);
  });

  it("is away while a worker dies: that is noticed without it, and nobody is lost", async () => {
    const { hub, port, workers, load: running, watch } = await start();
    hub.program.signal("SIGKILL");
    await hub.program.ended;
    await running.more(STREAMS);
    workers[0]!.program.signal("SIGKILL");
    await running.more(3 * STREAMS);
    await cluster.hub("--hub-port", port);
    const observer = await watch();
    await expect.poll(() => ready(observer), { timeout: 20_000 }).toBe(1);
    await running.more(2 * STREAMS);
    expect(await running.stop()).toMatchObject({ failures: [], refusals: new Map() });
    expect(cluster.complaints).toEqual([]);
  });

  it("is frozen for longer than the leases and goes on: every answer is complete", async () => {
    const { hub, load: running, watch } = await start();
    const observer = await watch();
    const before = [...observer.workers().keys()].sort();
    hub.program.signal("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 2.5 * LEASE_MS));
    await running.more(2 * STREAMS);
    hub.program.signal("SIGCONT");
    await running.more(2 * STREAMS);
    await expect.poll(() => [...observer.workers().keys()].sort(), { timeout: 20_000 }).toEqual(before);
    await expect.poll(() => ready(observer), { timeout: 20_000 }).toBe(2);
    running.forgetWorkers();
    await expect.poll(() => running.workers.size, { timeout: 30_000 }).toBe(2);
    expect(await running.stop()).toMatchObject({ failures: [], refusals: new Map() });
    expect(cluster.complaints).toEqual([]);
  });
});

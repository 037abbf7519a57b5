import { afterEach, describe, expect, it } from "vitest";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { SeededChance } from "#lib/base/chance";
import type { ForeignView } from "#lib/engines/kserve/foreign-server";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { StillClock } from "../../../test/support/still-clock.ts";
import { NotedDiscovery, settle } from "../../../test/support/worker-rig.ts";
import { WORKER_INSTRUMENTS } from "../metrics.ts";
import { createForeignWorker } from "./foreign-worker.ts";
import { TENSOR_INSTRUMENTS } from "./metrics.ts";
import type { TensorWorker } from "./tensor-worker.ts";

const AWAY: ForeignView = {
  reason: "The server at triton:8001 does not answer.",
  models: [],
  left: 0,
  software: { name: "", version: "" },
};

function ready(...names: string[]): ForeignView {
  const models = names.map((name) => ({ name, platform: "onnx", decoupled: false }));
  return { reason: undefined, models, left: 0, software: { name: "triton", version: "2.60" } };
}

const workers: TensorWorker[] = [];

afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.close();
});

/** A worker in front of a server that a test changes while it is looked at. */
function rigOf(view: ForeignView) {
  const clock = new StillClock();
  const discovery = new NotedDiscovery();
  const metrics = createMetrics([WORKER_INSTRUMENTS, TENSOR_INSTRUMENTS], { processMetrics: false });
  const server = { view, looks: 0 };
  const states: string[] = [];
  const worker = createForeignWorker({
    server: {
      look: async () => {
        server.looks++;
        return server.view;
      },
    },
    serverAddress: "triton:8001",
    lookMs: 1_000,
    discovery,
    leaseMs: 10_000,
    clock,
    chance: new SeededChance(7n),
    log: silentLog,
    metrics,
    version: "1.2.3",
    taints: [],
    onState: ({ state }) => void states.push(state),
  });
  workers.push(worker);
  const look = async (next: ForeignView) => {
    server.view = next;
    clock.advance(1_000);
    await settle();
  };
  return { worker, server, discovery, metrics, states, clock, look };
}

describe("a worker in front of a foreign server", () => {
  it("publishes the server's models with the address that frontends dial", async () => {
    const { worker, discovery, metrics } = rigOf(ready("add", "repeat"));
    await worker.start("127.0.0.1:1");
    expect(discovery.seen).toMatchObject({
      instance: {
        state: InstanceState.READY,
        address: "127.0.0.1:1",
        inferenceAddress: "triton:8001",
        engine: "kserve",
        models: ["add", "repeat"],
        services: [],
        engineDescription: { name: "triton", version: "2.60" },
      },
      names: ["model add", "model repeat"],
    });
    expect(worker.models).toEqual(["add", "repeat"]);
    expect(await metrics.print()).toContain("stator_worker_tensor_models 2");
  });

  it("waits for a server that is not there yet, and says why", async () => {
    const { worker, discovery, look, states } = rigOf(AWAY);
    await worker.start("127.0.0.1:1");
    expect(discovery.seen).toMatchObject({
      instance: { state: InstanceState.LOADING, reason: AWAY.reason },
      names: [],
    });
    await look(AWAY);
    await look(ready("add"));
    expect(discovery.seen).toMatchObject({ instance: { state: InstanceState.READY }, names: ["model add"] });
    expect(states).toEqual(["loading", "loading", "ready"]);
  });

  it("takes back what the server does not have any more, and has failed while it is away", async () => {
    const { worker, discovery, look, clock } = rigOf(ready("add", "repeat"));
    await worker.start("127.0.0.1:1");
    const since = clock.unixMs() / 1000;
    await look(ready("repeat", "new"));
    expect(discovery.seen.names).toEqual(["model repeat", "model new"]);
    const cards = discovery.versions.at(-1)?.slice(1) ?? [];
    expect(cards.map(({ value }) => value.case === "model" && Number(value.value.createdUnixSeconds) - since)).toEqual([
      0, 1,
    ]);
    await look(AWAY);
    expect(discovery.seen).toMatchObject({ instance: { state: InstanceState.FAILED, reason: AWAY.reason }, names: [] });
    await look(ready("repeat"));
    expect(discovery.seen).toMatchObject({ instance: { state: InstanceState.READY }, names: ["model repeat"] });
  });

  it("publishes only what has changed", async () => {
    const { worker, discovery, look, server, metrics } = rigOf(ready("add"));
    await worker.start("127.0.0.1:1");
    const versions = discovery.versions.length;
    await look(ready("add"));
    await look(ready("add"));
    expect([server.looks, discovery.versions.length]).toEqual([3, versions]);
    expect(await metrics.print()).toContain('stator_worker_tensor_looks_total{result="ready"} 3');
  });

  it("does not look any more when it ends", async () => {
    const { worker, discovery, look, server } = rigOf(ready("add"));
    await worker.start("127.0.0.1:1");
    await worker.drain(1_000);
    expect(discovery.seen.instance).toMatchObject({ state: InstanceState.DRAINING });
    await look(AWAY);
    expect(discovery.seen.instance).toMatchObject({ state: InstanceState.DRAINING });
    await worker.close();
    const { looks } = server;
    await look(ready("add"));
    expect([server.looks, discovery.closed]).toEqual([looks, true]);
  });
});

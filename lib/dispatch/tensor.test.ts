import { beforeEach, describe, expect, it } from "vitest";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { StatorError } from "#lib/base/errors";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import { plainAsk } from "#lib/serving/plain-ask";
import { Client } from "../../test/support/dispatch-rig.ts";
import { plainTensorAsk, TensorClient, TensorRig } from "../../test/support/tensor-dispatch-rig.ts";

describe("a request of tensors", () => {
  let cluster: TensorRig;
  beforeEach(() => {
    cluster = new TensorRig();
  });

  it("is placed by the router, noted, and recorded like any other, without a token", () => {
    cluster.addTensor(1n);
    cluster.addTensor(2n);
    const { client, handle } = cluster.startTensor();
    expect(client.places).toMatchObject([
      { worker: 1n, attempt: 1, decision: { rule: "round-robin" }, timeoutMs: undefined },
    ]);
    expect(client.places[0]?.transport).toBe(cluster.way(1n));
    expect(cluster.startTensor().client.places[0]?.worker).toBe(2n);
    expect([cluster.dispatcher.openRequests, cluster.dispatcher.placedChoices]).toEqual([2, 2]);
    cluster.advance(30);
    handle.answered();
    cluster.advance(20);
    handle.answered();
    handle.finished();
    handle.finished(new StatorError("INTERNAL"));
    handle.cancel();
    expect(client.over).toEqual({ error: undefined });
    expect(cluster.dispatcher.ledger.latest(5)).toMatchObject([
      {
        outcome: "finished",
        route: "kserve",
        model: "simple",
        workers: [1n],
        completionTokens: 0,
        firstTokenMs: 30,
        totalMs: 50,
      },
    ]);
    expect([cluster.dispatcher.openRequests, cluster.dispatcher.placedChoices]).toEqual([1, 1]);
  });

  it("that its worker ends with an error, or that is cancelled, goes nowhere else", () => {
    cluster.addTensor(1n);
    cluster.addTensor(2n);
    const failed = cluster.startTensor();
    const error = new StatorError("UNAVAILABLE", { what: "It", detail: "gone" });
    failed.handle.finished(error);
    const left = cluster.startTensor();
    left.handle.cancel();
    cluster.advance(10_000);
    expect([failed.client.places.length, failed.client.over?.error]).toEqual([1, error]);
    expect([left.client.places.length, left.client.over]).toEqual([1, undefined]);
    expect(cluster.dispatcher.ledger.totals).toMatchObject({ failed: 1, cancelled: 1, migrations: 0 });
    expect([cluster.dispatcher.openRequests, cluster.dispatcher.placedChoices]).toEqual([0, 0]);
  });

  it("goes to another worker where the session broke before it was handed over, and waits for a worker that was there", () => {
    cluster.addTensor(1n);
    cluster.addTensor(2n);
    const client = new TensorClient();
    cluster.dispatcher.startTensor(plainTensorAsk(), client);
    cluster.way(1n).say("connecting");
    cluster.clock.settle();
    expect(client.places).toMatchObject([{ worker: 2n, attempt: 2 }]);
    cluster.way(2n).say("failing");
    const waiting = cluster.startTensor().client;
    cluster.advance(500);
    expect([waiting.places, waiting.over]).toEqual([[], undefined]);
    cluster.way(2n).say("ready");
    cluster.clock.settle();
    expect(waiting.places).toMatchObject([{ worker: 2n, waitedMs: 500 }]);
    expect(cluster.dispatcher.ledger.totals.requests).toBe(0);
  });

  it("has its deadline, which its worker is told too, its pin, and what is not there is said", async () => {
    cluster.addTensor(1n);
    cluster.addTensor(2n);
    const target = { worker: 2n, rank: undefined };
    const { client } = cluster.startTensor({ deadlineMs: 400, target });
    expect(client.places).toMatchObject([{ worker: 2n, timeoutMs: 400 }]);
    cluster.advance(400);
    expect(client.over?.error?.reason).toBe("DEADLINE");
    expect(cluster.startTensor({ target: { worker: 9n, rank: undefined } }).client.over?.error?.reason).toBe(
      "WORKER_NOT_FOUND",
    );
    expect(cluster.startTensor({ model: "simpel" }).client.over?.error?.message).toContain("Did you mean simple?");
    const open = cluster.startTensor().client;
    cluster.dispatcher.drain();
    expect(cluster.startTensor().client.over?.error?.reason).toBe("DRAINING");
    await cluster.dispatcher.close();
    expect(open.over?.error?.reason).toBe("DRAINING");
    expect(cluster.ways.every(({ closed }) => closed)).toBe(true);
  });

  it("and one of text each stay with models and workers of their kind", () => {
    cluster.add(1n);
    cluster.addTensor(2n);
    expect(() => cluster.dispatcher.start(plainAsk({ model: "simple" }), new Client())).toThrow("it takes tensors");
    expect(() => cluster.startTensor({ model: "m" })).not.toThrow();
    cluster.showCard(1n, 0);
    expect(() => cluster.startTensor({ model: "m" })).toThrow("it takes token ids");
    expect(() => cluster.dispatcher.startTensor(plainAsk({ model: "simple" }), new TensorClient())).toThrow(
      "only tensors",
    );
    // Before its card came nobody knew what it takes.
    expect(cluster.dispatcher.openRequests).toBe(1);
    cluster.advance(5_000);
    expect(cluster.dispatcher.ledger.latest(1)).toMatchObject([
      { outcome: "failed", reason: "NO_WORKERS", workers: [] },
    ]);
  });
});

describe("the seat of a worker of tensors", () => {
  let cluster: TensorRig;
  beforeEach(() => {
    cluster = new TensorRig();
  });
  const told = () => cluster.dispatcher.workers().map(({ link }) => link);
  const found = (model?: string) => cluster.dispatcher.tensorWorkers(model).map(({ instance }) => instance.instanceId);

  it("is ready while its record says so and its session stands; no link leads there", () => {
    cluster.showTensor(1n, InstanceState.LOADING);
    expect([cluster.ways, told(), cluster.dispatcher.routable()]).toEqual([[], ["closed"], []]);
    cluster.showTensor(1n);
    expect([told(), cluster.dispatcher.reached(1n)]).toEqual([["connecting"], false]);
    cluster.way(1n).say("ready");
    expect([told(), cluster.dispatcher.routable(), found()]).toEqual([["ready"], ["simple"], [1n]]);
    cluster.way(1n).say("failing");
    expect([told(), cluster.dispatcher.routable(), found()]).toEqual([["closed"], [], []]);
    cluster.way(1n).say("ready");
    cluster.way(1n).openCalls = 1;
    cluster.showTensor(1n, InstanceState.DRAINING);
    expect([told(), cluster.dispatcher.routable(), cluster.ways.length]).toEqual([["draining"], [], 1]);
    cluster.add(2n);
    cluster.showTensor(3n);
    cluster.way(3n).say("ready");
    expect([found(), found("simple"), found("m")]).toEqual([[3n], [3n], []]);
  });

  it("is there as soon as a worker says where tensors go, which one in front of another server does when it has found it", () => {
    cluster.showTensor(1n, InstanceState.LOADING, 1n, "");
    expect([cluster.ways, told()]).toEqual([[], ["closed"]]);
    cluster.addTensor(1n);
    expect([told(), found("simple"), cluster.warnings]).toEqual([["ready"], [1n], []]);
    cluster.showTensor(1n, InstanceState.LOADING, 1n, "");
    expect([told(), found("simple"), cluster.way(1n).closed]).toEqual([["closed"], [], true]);
  });

  it("says once that it cannot be reached", () => {
    cluster.showTensor(1n);
    for (let count = 0; count < 3; count++) {
      cluster.way(1n).say("failing");
      cluster.way(1n).say("connecting");
    }
    expect([cluster.warnings, told()]).toEqual([["worker cannot be reached"], ["connecting"]]);
  });

  it("lets what runs end where it runs: when its worker leaves, comes anew, or answers elsewhere", () => {
    const first = cluster.addTensor(1n);
    first.openCalls = 1;
    cluster.showTensor(1n, InstanceState.READY, 1n, "tensors:moved");
    expect(cluster.ways.map(({ target }) => target)).toEqual(["tensors:1", "tensors:moved"]);
    expect(told(), "the session of another server is made anew").toEqual(["connecting"]);
    first.say("ready");
    expect(told(), "what the old one says is nobody's").toEqual(["connecting"]);
    const moved = cluster.ways[1]!;
    moved.say("ready");
    expect(told()).toEqual(["ready"]);
    moved.openCalls = 1;
    cluster.showTensor(1n, InstanceState.READY, 2n);
    cluster.advance(1_000);
    const closed = () => cluster.ways.map((way) => way.closed);
    expect(closed()).toEqual([false, false, false]);
    first.openCalls = 0;
    moved.openCalls = 0;
    cluster.advance(200);
    expect(closed()).toEqual([true, true, false]);
    cluster.view.remove(instanceKey(1n), modelKey("simple", 1n));
    expect(closed()).toEqual([true, true, true]);
  });
});

import { beforeEach, describe, expect, it } from "vitest";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { answer, DispatchRig } from "../../test/support/dispatch-rig.ts";

describe("the dispatcher, when a worker fails", () => {
  let cluster: DispatchRig;
  beforeEach(() => {
    cluster = new DispatchRig();
  });

  it.each(["killed", "frozen"])("gives 50 clients their complete answer when one of two workers is %s", async (how) => {
    cluster.add(1n);
    cluster.add(2n);
    const prompts = Array.from({ length: 50 }, (_, at) => [at, 7]);
    const clients = prompts.map(
      (prompt) => cluster.start({ prompts: [Uint32Array.from(prompt)], maxTokens: 100, choicesPerPrompt: 2 }).client,
    );
    cluster.advance(700);
    if (how === "killed") cluster.kill(1n);
    else cluster.freeze(1n, true);
    cluster.advance(6_000);
    for (const [at, client] of clients.entries()) {
      expect(client.error).toBeUndefined();
      expect(client.tokens.slice(0, 2)).toEqual([0, 1].map((choice) => answer(prompts[at] ?? [], choice, 100)));
      expect(client.ends).toHaveLength(2);
    }
    expect(cluster.dispatcher.ledger.totals).toMatchObject({ finished: 50, migrations: 50, completionTokens: 10_000 });
    expect(cluster.workers.get(2n)?.openRequests).toBe(0);
    expect(cluster.dispatcher.openRequests).toBe(0);
    if (how === "killed") return;
    // The frozen worker wakes: what it still sends is dropped and counted, and a canary lets it back in.
    expect(cluster.dispatcher.workers()[0]).toMatchObject({ link: "suspect", openRequests: 0 });
    cluster.freeze(1n, false);
    cluster.advance(1_000);
    expect(cluster.dispatcher.workers()[0]).toMatchObject({ link: "ready", openRequests: 0 });
    expect(cluster.workers.get(1n)?.openRequests).toBe(0);
    const text = await cluster.metrics.print();
    expect(text).toMatch(/stator_dispatch_canaries_total\{result="passed"\} 1/);
    expect(Number(/dropped_frames_total (\d+)/.exec(text)?.[1])).toBeGreaterThanOrEqual(50);
    const placed = [1, 2].map(() => cluster.start().client);
    cluster.advance(300);
    expect(placed.map((client) => client.placements[0]?.worker).toSorted()).toEqual([1n, 2n]);
  });

  it.each([4, 9])("tells each score of a prompt once when its worker is lost after %i of them", (told) => {
    const prompts = [Uint32Array.from({ length: 10 }, (_, at) => at + 1)];
    cluster.add(1n);
    cluster.add(2n);
    const { client } = cluster.start({ prompts, topLogprobs: 0, promptLogprobs: true, maxTokens: 9 });
    while (client.scores.length < told) cluster.advance(10);
    if (told === 9) cluster.advance(60);
    expect([client.scores.length, (client.tokens[0]?.length ?? 0) > 0]).toEqual([told, told === 9]);
    cluster.kill(client.placements[0]!.worker);
    cluster.advance(1_000);
    expect(client.scores).toEqual([-1, -2, -3, -4, -5, -6, -7, -8, -9]);
    expect(client.tokens[0]).toEqual(answer([...prompts[0]!], 0, 9));
    expect(client.placements).toHaveLength(2);
  });

  it("asks a worker that was suspect for a canary over a new link too", async () => {
    const worker = cluster.add(1n);
    cluster.start({ maxTokens: 1_000 });
    cluster.advance(300);
    cluster.freeze(1n, true);
    cluster.advance(3_000);
    for (const wire of cluster.wires.get(1n) ?? []) wire.cut();
    cluster.freeze(1n, false);
    const taken = worker.taken;
    cluster.advance(1_000);
    expect(await cluster.metrics.print()).toMatch(/canaries_total\{result="passed"\} 1/);
    expect(worker.taken).toBe(taken + 2);
  });

  it("tells once of a worker that cannot be reached, and again never until it was", () => {
    cluster.show(9n, InstanceState.READY);
    cluster.advance(60_000);
    expect(cluster.warnings).toEqual(["worker cannot be reached"]);
    expect([cluster.dispatcher.reached(9n), cluster.dispatcher.routable()]).toEqual([false, []]);
    const reason = () => cluster.dispatcher.workers()[0]!.linkReason;
    expect(reason()).toMatch(/.\.$/);
    cluster.add(9n);
    cluster.advance(10_000);
    expect([cluster.dispatcher.reached(9n), cluster.dispatcher.routable()]).toEqual([true, ["m"]]);
    expect(reason()).toBe("");
    cluster.kill(9n);
    cluster.advance(60_000);
    expect(cluster.warnings).toEqual(["worker cannot be reached"]);
    expect(cluster.dispatcher.reached(9n)).toBe(true);
  });

  it("connects again after a moment to a worker that it had reached, however long it had tried before", () => {
    cluster.show(9n, InstanceState.READY);
    cluster.advance(60_000);
    cluster.add(9n);
    cluster.advance(10_000);
    cluster.kill(9n);
    cluster.add(9n);
    expect(cluster.dispatcher.routable()).toEqual([]);
    cluster.advance(200);
    expect(cluster.dispatcher.routable()).toEqual(["m"]);
  });

  it("tells a stream that is pinned at once that its worker died", () => {
    cluster.add(1n);
    cluster.add(2n);
    const { client } = cluster.start({ worker: 1n, maxTokens: 1_000 });
    cluster.advance(300);
    cluster.kill(1n);
    expect(client.error).toMatchObject({ reason: "STREAM_LOST", row: { blame: "server", http: 503 } });
  });

  it("stops a request under which three workers died, and lets the fourth live", () => {
    for (const id of [1n, 2n, 3n, 4n]) cluster.add(id);
    const { client } = cluster.start({ requestId: "poison", maxTokens: 1_000 });
    for (let deaths = 1; deaths <= 3; deaths++) {
      cluster.clock.settle();
      expect(client.error).toBeUndefined();
      cluster.kill(client.placements.at(-1)!.worker);
    }
    expect(client.error).toMatchObject({ reason: "POISONED", facts: { request: "poison" } });
    expect(cluster.workers.size).toBe(1);
    cluster.advance(20_000);
    expect(cluster.dispatcher.ledger.latest(1)).toMatchObject([{ reason: "POISONED", migrations: 2 }]);
  });

  it("does not blame a request for workers that all died at once", () => {
    for (const id of [1n, 2n, 3n, 4n]) cluster.add(id);
    const { client } = cluster.start({ maxTokens: 10 });
    cluster.clock.settle();
    for (const id of [1n, 2n, 3n, 4n]) for (const wire of cluster.wires.get(id) ?? []) wire.cut();
    for (const id of [1n, 2n, 3n, 4n]) cluster.kill(id);
    cluster.advance(1_000);
    cluster.add(5n);
    cluster.advance(2_000);
    expect(client.error).toBeUndefined();
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, 10));
  });

  it("takes requests from a worker that answers pings and accepts nothing, and tells of it once", async () => {
    cluster.deaf.add(1n);
    cluster.add(1n);
    cluster.add(2n);
    const clients = [1, 2].map(() => cluster.start({ maxTokens: 10 }).client);
    cluster.advance(6_000);
    for (const client of clients) expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, 10));
    cluster.advance(60_000);
    expect(cluster.warnings).toEqual(["worker is suspect"]);
    expect(await cluster.metrics.print()).not.toMatch(/canaries_total\{result="passed"\}/);
  });
});

import { beforeEach, describe, expect, it } from "vitest";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { instanceKey } from "#lib/discovery/record-keys";
import { plainAsk } from "#lib/serving/plain-ask";
import { answer, Client, DispatchRig } from "../../test/support/dispatch-rig.ts";

describe("the dispatcher", () => {
  let cluster: DispatchRig;
  beforeEach(() => {
    cluster = new DispatchRig();
  });

  it("serves choices and writes the ledger", () => {
    cluster.add(1n);
    const { client } = cluster.start({ choicesPerPrompt: 2, maxTokens: 5 });
    cluster.advance(300);
    expect(client.tokens.slice(0, 2)).toEqual([answer([1, 2, 3], 0, 5), answer([1, 2, 3], 1, 5)]);
    expect(client.placements).toMatchObject([
      { worker: 1n, attempt: 1, decision: { rule: "round-robin", at: 1, of: 1 } },
    ]);
    expect(client.ends).toMatchObject([{ reason: "length" }, { reason: "length" }]);
    expect(client.usage).toMatchObject({ promptTokens: 3, completionTokens: 10 });
    expect(cluster.dispatcher.ledger.latest(5)).toMatchObject([
      { outcome: "finished", promptTokens: 3, completionTokens: 10, workers: [1n], migrations: 0 },
    ]);
    expect(cluster.dispatcher.openRequests).toBe(0);
    expect(cluster.dispatcher.workers()).toMatchObject([{ link: "ready", openRequests: 0 }]);
  });

  it("tells its router of each choice: that it began, how it grows, that it ended", () => {
    const seen: string[] = [];
    cluster = new DispatchRig("round-robin", {}, (router) => ({
      openChoices: 0,
      follow(fleet) {
        seen.push(`fleet ${[...fleet.keys()]}`);
        router.follow(fleet);
      },
      done: () => seen.push("done"),
      observe: (worker, { decodeSequences }) => void (decodeSequences > 0 && seen.push(`pass of ${worker}`)),
      place: (ask, answer) => {
        const ticket = router.place(ask, answer);
        const note: typeof ticket.note = (told) => {
          seen.push([told.choice, told.kind, ...("tokens" in told ? [told.tokens] : [])].join(" "));
          ticket.note(told);
        };
        return { note, cancel: () => ticket.cancel() };
      },
    }));
    cluster.add(1n);
    cluster.start({ choicesPerPrompt: 2, maxTokens: 33 });
    cluster.advance(1_000);
    const growth = (choice: number) =>
      ["accepted", "first token", "tokens 16", "tokens 32", "ended 33"].map((told) => `${choice} ${told}`);
    expect(seen.filter((told) => /ended|done/.test(told))).toEqual(["0 ended 33", "1 ended 33", "done"]);
    for (const choice of [0, 1]) expect(seen.filter((told) => told.startsWith(`${choice} `))).toEqual(growth(choice));
    expect(seen).toEqual(expect.arrayContaining(["fleet 1"]));
    cluster.add(2n);
    cluster.kill(1n);
    expect(seen.at(-1)).toBe("fleet 1,2");
  });

  it("tells its router that a prompt is computed again where a request moved, and of its end once", () => {
    const seen: string[] = [];
    const askers = new Set<unknown>();
    cluster = new DispatchRig("round-robin", {}, (router) => ({
      ...{ openChoices: 0, observe() {} },
      done: (asker) => seen.push(askers.has(asker) ? "done" : "of nobody"),
      follow: (fleet) => router.follow(fleet),
      place(ask, answer) {
        askers.add(ask.asker);
        const ticket = router.place(ask, answer);
        const note: typeof ticket.note = (told) => {
          seen.push(told.kind);
          ticket.note(told);
        };
        return { note, cancel: () => ticket.cancel() };
      },
    }));
    for (const id of [1n, 2n]) cluster.add(id);
    const { client } = cluster.start({ maxTokens: 12 });
    cluster.advance(100);
    cluster.kill(client.placements[0]!.worker);
    cluster.advance(2_000);
    const once = ["accepted", "first token", "ended"];
    expect([client.usage?.completionTokens, seen]).toEqual([12, [...once, ...once, "done"]]);
    expect(askers.size).toBe(1);
  });

  it("embeds", () => {
    cluster.add(1n);
    const { client } = cluster.start({ kind: "embed", prompts: [Uint32Array.of(1), Uint32Array.of(2)] });
    cluster.advance(100);
    expect(client.embeddings).toHaveLength(2);
    expect(client.ends.map((end) => end.reason)).toEqual(["done", "done"]);
  });

  it("says what is missing", () => {
    expect(cluster.refusal()?.reason).toBe("MODEL_NOT_FOUND");
    cluster.show(1n, InstanceState.LOADING);
    const loading = cluster.start().client;
    cluster.advance(2_000);
    expect(loading.error).toMatchObject({ reason: "MODEL_LOADING", retryAfterMs: 1_000 });
    expect(cluster.refusal({ model: "n" })?.message).toContain("Did you mean m?");
    cluster.add(1n);
    const pinnedWorker = 99n;
    expect(cluster.refusal({ worker: pinnedWorker })?.reason).toBe("WORKER_NOT_FOUND");
    cluster.show(1n, InstanceState.DRAINING);
    cluster.advance(10_000);
    expect(cluster.refusal()?.reason).toBe("NO_WORKERS");
    cluster.dispatcher.drain();
    expect(cluster.refusal()?.reason).toBe("DRAINING");
  });

  it("spreads the prompts of one request, and keeps the choices of each together", () => {
    for (const id of [1n, 2n, 3n]) cluster.add(id);
    const prompts = [1, 2, 3, 4].map((token) => Uint32Array.of(token, 9));
    const { client } = cluster.start({ prompts, choicesPerPrompt: 1, maxTokens: 4 });
    expect([1n, 2n, 3n].map((id) => cluster.workers.get(id)?.openRequests)).toEqual([0, 0, 0]);
    cluster.advance(40);
    expect([1n, 2n, 3n].map((id) => cluster.workers.get(id)?.openRequests)).toEqual([2, 1, 1]);
    cluster.advance(300);
    expect(client.tokens).toEqual(prompts.map((prompt, choice) => answer([...prompt], choice, 4)));
    expect(cluster.dispatcher.ledger.latest(1)).toMatchObject([{ workers: [1n, 2n, 3n], migrations: 0 }]);
  });

  it("obeys pins, and refuses unpinned requests in direct mode", () => {
    const direct = new DispatchRig("direct");
    direct.add(1n);
    direct.add(2n);
    expect(direct.refusal()?.reason).toBe("INVALID_ARGUMENT");
    const { client } = direct.start({ worker: 2n });
    direct.advance(300);
    expect(client.placements).toMatchObject([{ worker: 2n, decision: { rule: "pinned" } }]);
    for (const worker of [1n, 2n]) direct.show(worker, InstanceState.DRAINING);
    expect(direct.refusal()?.reason).toBe("NO_WORKERS");
  });

  it("tries another worker when one is full, and says so when all are", () => {
    cluster.add(1n, 1n, 1);
    cluster.add(2n, 1n, 1);
    const clients = [1, 2, 3].map(() => cluster.start().client);
    cluster.advance(400);
    expect(clients.map((client) => client.error?.reason ?? "done")).toEqual(["done", "done", "OVERLOADED"]);
  });

  it("refuses what is still to be encoded, before anything runs", () => {
    cluster.add(1n);
    const text = { ...plainAsk(), input: { kind: "text", texts: ["a"] } } as const;
    expect(() => cluster.dispatcher.start(text, new Client())).toThrow(/^Text for a worker is not available/);
    expect(cluster.dispatcher.openRequests).toBe(0);
  });

  it("frees the slot when the client leaves, and when a stop string was found", () => {
    const worker = cluster.add(1n);
    const left = cluster.start({ maxTokens: 1_000 });
    const stopped = cluster.start({ maxTokens: 1_000 });
    cluster.advance(100);
    expect(worker.openRequests).toBe(2);
    left.handle.cancel();
    const seen = left.client.tokens[0]?.length;
    expect(stopped.handle.usage.completionTokens).toBe(seen);
    stopped.handle.finishChoice(0, 2);
    expect(stopped.client.ends).toMatchObject([{ reason: "cancelled" }]);
    expect(stopped.client.usage).toMatchObject({ promptTokens: 3, completionTokens: 2 });
    expect(left.client.usage).toBeUndefined();
    cluster.advance(100);
    expect(worker.openRequests).toBe(0);
    expect(left.client.tokens[0]).toHaveLength(seen ?? 0);
    expect(cluster.dispatcher.workers()).toMatchObject([{ openRequests: 0 }]);
    expect(cluster.dispatcher.ledger.totals).toMatchObject({
      cancelled: 1,
      finished: 1,
      completionTokens: 2 + (seen ?? 0),
    });
  });

  it("waits for the only worker to come back, and continues there", () => {
    cluster.add(1n);
    const { client } = cluster.start({ maxTokens: 50 });
    cluster.advance(300);
    cluster.kill(1n);
    cluster.advance(2_000);
    expect(client.error).toBeUndefined();
    cluster.add(1n, 2n);
    cluster.advance(4_000);
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, 50));
    expect(client.placements.map((placement) => placement.attempt)).toEqual([1, 2]);
  });

  it("gives up when no worker comes", () => {
    cluster.add(1n);
    const { client } = cluster.start({ maxTokens: 50 });
    cluster.advance(300);
    cluster.kill(1n);
    cluster.advance(20_000);
    expect(client.error?.reason).toBe("ATTEMPTS_EXHAUSTED");
    expect(cluster.dispatcher.openRequests).toBe(0);
  });

  it.each<[string, (cluster: DispatchRig) => void, (cluster: DispatchRig) => void]>([
    ["was lost", (it) => it.kill(1n), (it) => it.add(1n, 2n)],
    ["is draining", (it) => it.show(1n, InstanceState.DRAINING), (it) => it.add(2n)],
    ["loads", (it) => it.show(1n, InstanceState.LOADING, 2n), (it) => it.add(1n, 3n)],
    ["is suspect", (it) => it.stall(1n), (it) => it.freeze(1n, false)],
    [
      "has registered anew and cannot be reached yet",
      (it) => it.show(1n, InstanceState.READY, 2n),
      (it) => it.add(1n, 3n),
    ],
  ])("has a new request wait for a moment when the only worker %s", async (_how, away, back) => {
    cluster.add(1n);
    cluster.advance(15_000);
    away(cluster);
    const { client } = cluster.start();
    cluster.advance(200);
    expect(await cluster.metrics.print()).toMatch(/stator_dispatch_waiting_requests [12]\n/);
    expect(client.placements).toEqual([]);
    back(cluster);
    cluster.advance(1_500);
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, 8));
    expect(client.placements).toMatchObject([{ attempt: 1, waitedMs: expect.any(Number) }]);
    expect(await cluster.metrics.print()).toMatch(/stator_dispatch_waiting_requests 0\n/);
  });

  it("has it wait for 2 s and says NO_WORKERS then, or at once when the last worker left long ago", async () => {
    cluster.add(1n);
    cluster.kill(1n);
    const { client } = cluster.start();
    cluster.advance(1_990);
    expect(client.error).toBeUndefined();
    cluster.advance(20);
    expect(client.error).toMatchObject({ reason: "NO_WORKERS", retryAfterMs: 2_000 });
    expect(cluster.dispatcher.ledger.latest(1)).toMatchObject([{ reason: "NO_WORKERS", workers: [] }]);
    expect(cluster.dispatcher.openRequests).toBe(0);
    cluster.advance(8_000);
    expect(cluster.refusal()).toMatchObject({ reason: "NO_WORKERS", retryAfterMs: 2_000 });
  });

  it("has it wait through a lapse of the record", () => {
    cluster.add(1n);
    cluster.kill(1n);
    const { client } = cluster.start();
    cluster.view.remove(instanceKey(1n));
    cluster.advance(500);
    cluster.add(1n, 2n);
    cluster.advance(300);
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, 8));
  });

  it.each([
    [1, 8],
    [2, 0],
  ])("has it wait for a worker with its own tokenizer: with tokenizer %i it gets %i tokens", (tokenizer, tokens) => {
    cluster.showCard(1n, 1);
    cluster.add(1n);
    cluster.kill(1n);
    const { client } = cluster.start({ tokenizer: "01" });
    cluster.view.remove(instanceKey(1n));
    cluster.showCard(2n, tokenizer);
    cluster.add(2n);
    cluster.advance(3_000);
    expect(client.tokens[0]).toHaveLength(tokens);
    expect(client.error?.reason).toBe(tokens === 0 ? "NO_WORKERS" : undefined);
  });

  it.each([
    ["the same weights", 1, 60],
    ["other weights", 2, 0],
  ])("continues a begun answer on %s under its name, or not at all", (_name, weights, all) => {
    cluster.showCard(1n, 1);
    cluster.add(1n);
    const { client } = cluster.start({ tokenizer: "01", maxTokens: 60 });
    cluster.advance(400);
    const begun = client.tokens[0]!.length;
    expect(begun).toBeGreaterThan(10);
    cluster.showCard(2n, 1, weights);
    cluster.add(2n);
    cluster.kill(1n);
    cluster.view.remove(instanceKey(1n));
    cluster.advance(60_000);
    expect(client.tokens[0]).toHaveLength(all || begun);
    expect(client.error?.reason).toBe(all === 0 ? "ATTEMPTS_EXHAUSTED" : undefined);
    // Who asks anew gets whoever is there.
    expect(cluster.start({ tokenizer: "01" }).client.error).toBeUndefined();
  });

  it("refuses at once whose prompt another tokenizer made than the model has now", () => {
    cluster.showCard(1n, 1);
    cluster.add(1n);
    const error = cluster.refusal({ tokenizer: "02" });
    expect(error).toMatchObject({ reason: "NO_WORKERS", retryAfterMs: 2_000 });
    expect(cluster.start({ tokenizer: "01" }).client.error).toBeUndefined();
  });

  it("has a pinned request wait for its own worker only", () => {
    cluster.add(1n);
    cluster.add(2n);
    cluster.kill(1n);
    const { client } = cluster.start({ worker: 1n });
    cluster.advance(500);
    expect(client.placements).toEqual([]);
    cluster.add(1n, 2n);
    cluster.advance(300);
    expect(client.placements).toMatchObject([{ worker: 1n }]);
    expect(cluster.refusal({ worker: 99n })?.reason).toBe("WORKER_NOT_FOUND");
  });

  it("lets only so many wait, and none where that is turned off", async () => {
    const few = new DispatchRig("round-robin", { waitingRequests: 2 });
    few.add(1n);
    few.kill(1n);
    const clients = [few.start().client, few.start().client];
    expect(few.refusal()).toMatchObject({ reason: "NO_WORKERS", retryAfterMs: 2_000 });
    expect(await few.metrics.print()).toMatch(/stator_dispatch_refused_waits_total 1\n/);
    few.add(1n, 2n);
    few.advance(300);
    expect(clients.map((client) => client.ends.length)).toEqual([1, 1]);
    const off = new DispatchRig("round-robin", { life: { firstWaitMs: 0 } });
    off.add(1n);
    off.kill(1n);
    expect(off.refusal()?.reason).toBe("NO_WORKERS");
  });

  it("forgets a client that leaves while it waits, and tells those that wait when it closes", async () => {
    cluster.add(1n);
    cluster.kill(1n);
    const [left, stayed] = [cluster.start(), cluster.start()];
    left.handle.cancel();
    expect(await cluster.metrics.print()).toMatch(/stator_dispatch_waiting_requests 1\n/);
    expect(cluster.dispatcher.ledger.totals).toMatchObject({ cancelled: 1 });
    await cluster.dispatcher.close();
    expect(left.client.error).toBeUndefined();
    expect(stayed.client.error?.reason).toBe("DRAINING");
    expect(cluster.clock.pending).toBe(0);
  });

  it("takes a new incarnation for a new worker and refuses frames of the old one", () => {
    cluster.add(1n);
    const { client } = cluster.start({ maxTokens: 50 });
    cluster.advance(300);
    cluster.add(1n, 2n);
    cluster.advance(2_000);
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, 50));
    expect(client.placements).toHaveLength(2);
    expect(cluster.dispatcher.workers()).toHaveLength(1);
  });

  it("lets a worker whose record vanished finish what it has", () => {
    const worker = cluster.add(1n);
    const { client } = cluster.start({ maxTokens: 50 });
    cluster.advance(300);
    cluster.view.remove(instanceKey(1n));
    expect(cluster.refusal()?.reason).toBe("NO_WORKERS");
    cluster.advance(2_000);
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, 50));
    expect(client.placements).toHaveLength(1);
    expect(worker.openRequests).toBe(0);
    expect(cluster.clock.pending).toBe(0);
  });

  it("leaves no timer behind when it closes while a worker that left the view still holds a cancelled request", async () => {
    cluster.add(1n);
    cluster.start({ maxTokens: 1_000 });
    cluster.advance(300);
    cluster.view.remove(instanceKey(1n));
    // What is cancelled now is never told to have ended.
    for (const wire of cluster.wires.get(1n) ?? []) wire.freeze("caller");
    await cluster.dispatcher.close();
    cluster.advance(300);
    expect(cluster.clock.pending).toBe(0);
  });

  it("fails at the deadline", () => {
    cluster.add(1n);
    const { client } = cluster.start({ maxTokens: 1_000, deadlineMs: 500 });
    cluster.advance(600);
    expect(client.error?.reason).toBe("DEADLINE");
    cluster.advance(100);
    expect(cluster.workers.get(1n)?.openRequests).toBe(0);
  });

  it("keeps a bug of one receiver away from the others", () => {
    cluster.add(1n);
    const broken = cluster.start({ maxTokens: 20 });
    const healthy = cluster.start({ maxTokens: 20 });
    broken.client.onTokens = () => {
      throw new Error("bug");
    };
    cluster.advance(1_000);
    expect(broken.client.error?.reason).toBe("INTERNAL");
    expect(healthy.client.tokens[0]).toEqual(answer([1, 2, 3], 0, 20));
  });

  it("closes: open requests hear it, links end, no timer stays", async () => {
    const worker = cluster.add(1n);
    const { client } = cluster.start({ maxTokens: 1_000 });
    cluster.advance(100);
    await cluster.dispatcher.close();
    cluster.advance(100);
    expect(client.error?.reason).toBe("DRAINING");
    expect(worker.openRequests).toBe(0);
    expect(cluster.clock.pending).toBe(0);
  });
});

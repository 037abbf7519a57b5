import { afterEach, describe, expect, it } from "vitest";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { ArtifactService } from "#gen/stator/worker/v1/artifact_pb";
import { KvEventService } from "#gen/stator/worker/v1/kv_event_pb";
import { CancelMode, RequestKind } from "#gen/stator/worker/v1/link_pb";
import { StatorError } from "#lib/base/errors";
import { createClient } from "#lib/rpc/client";
import { settle, WorkerRig } from "../../test/support/worker-rig.ts";

const rigs: WorkerRig[] = [];

function rigOf(...args: ConstructorParameters<typeof WorkerRig>): WorkerRig {
  const rig = new WorkerRig(...args);
  rigs.push(rig);
  return rig;
}

async function started(...args: ConstructorParameters<typeof WorkerRig>): Promise<WorkerRig> {
  const rig = rigOf(...args);
  await rig.start();
  return rig;
}

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.worker.close();
});

const FAILED = new StatorError("ENGINE_FAILED", { detail: "no memory" });

describe("the life of a worker", () => {
  it("is published before its model is loaded, and with its model when it is", async () => {
    const rig = rigOf();
    const gate = Promise.withResolvers<void>();
    rig.openEngine = () => gate.promise.then(() => rig.engine);
    const starting = rig.start();
    await settle();
    expect(rig.discovery.seen).toMatchObject({ instance: { state: InstanceState.LOADING }, names: [] });
    const { link } = await rig.link();
    expect((await rig.submit(link)).heard.said).toEqual(["finish MODEL_LOADING"]);
    expect(await rig.generate({ requestId: "r" })).toMatchObject({ status: "MODEL_LOADING", messages: [] });
    gate.resolve();
    await starting;
    expect(rig.discovery.seen).toMatchObject({ instance: { state: InstanceState.READY }, names: ["model fake-model"] });
    expect((await rig.submit(link)).heard.said).toEqual(["accepted"]);
    expect(rig.states).toEqual(["loading", "ready"]);
  });

  it("says why when its engine does not open", async () => {
    const rig = rigOf();
    rig.openEngine = () => Promise.reject(FAILED);
    await expect(rig.start()).rejects.toBe(FAILED);
    expect(rig.discovery.seen.instance).toMatchObject({ state: InstanceState.FAILED, reason: FAILED.message });
  });

  it("closes an engine that opens after it was told to end", async () => {
    for (const end of ["drain", "close"] as const) {
      const rig = rigOf();
      const gate = Promise.withResolvers<void>();
      rig.openEngine = () => gate.promise.then(() => rig.engine);
      const starting = rig.start();
      starting.catch(() => {});
      await settle();
      if (end === "drain") await rig.worker.drain(1000);
      else await rig.worker.close();
      gate.resolve();
      await expect(starting).rejects.toMatchObject({ reason: "DRAINING" });
      expect(rig.engine.closed).toBe(true);
      expect(rig.states).not.toContain("ready");
    }
  });

  it("goes on when discovery does not take its state", async () => {
    const rig = rigOf();
    rig.discovery.refuse = new StatorError("UNAVAILABLE", { what: "etcd", detail: "no answer" });
    await rig.start();
    expect(rig.worker.state.state).toBe("ready");
  });

  it("takes nothing while its engine is away, keeps what runs, and is ready again when the engine is back", async () => {
    const rig = await started();
    const { link, said } = await rig.link();
    const before = await rig.submit(link);
    rig.engine.stand({ state: "away", reason: "The engine at far:1 is starting." });
    await settle();
    const away = { state: InstanceState.LOADING, reason: "The engine at far:1 is starting." };
    expect(rig.discovery.seen).toMatchObject({ instance: away, names: ["model fake-model"] });
    expect(said.at(-1)).toBe("draining");
    expect(await rig.generate({ requestId: "r" })).toMatchObject({ status: "MODEL_LOADING" });
    rig.engine.step({ finishes: [{ id: rig.engine.ids[0]!, reason: "end" }] });
    await settle();
    expect(before.heard.said).toEqual(["accepted", "finish end"]);
    rig.engine.stand({ state: "ready", reason: "" });
    await settle();
    expect(rig.discovery.seen.instance).toMatchObject({ state: InstanceState.READY, reason: "" });
    expect((await rig.submit(link)).heard.said).toEqual(["accepted"]);
    rig.engine.stand({ state: "draining", reason: "The engine at far:1 is shutting down." });
    await settle();
    expect(rig.discovery.seen.instance).toMatchObject({ state: InstanceState.DRAINING });
    expect(await rig.generate({ requestId: "r" })).toMatchObject({ status: "DRAINING" });
  });

  it("ends a load that nobody waits for any more", async () => {
    const rig = rigOf();
    rig.openEngine = (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(new StatorError("CANCELLED")));
      });
    const starting = rig.start();
    starting.catch(() => {});
    await settle();
    await rig.worker.close();
    await expect(starting).rejects.toMatchObject({ reason: "DRAINING" });
    expect(rig.states).toEqual(["loading"]);
  });

  it("serves its artifacts by digest, in pieces", async () => {
    const content = new Uint8Array(600_000).map((_, at) => at);
    const digest = new Uint8Array(32).fill(3);
    const rig = rigOf({ artifacts: [{ kind: "template", format: "jinja", digest, content }] });
    await rig.start();
    const client = createClient(ArtifactService, rig.transport);
    const pieces: Uint8Array[] = [];
    for await (const { data } of client.fetch({ digest })) pieces.push(data);
    expect(pieces.length).toBeGreaterThan(2);
    expect(Buffer.concat(pieces).equals(content)).toBe(true);
    const other = client.fetch({ digest: new Uint8Array(32) });
    await expect(other.next()).rejects.toMatchObject({ reason: "NOT_FOUND" });
  });
});

describe("requests on a link", () => {
  it("end once each, with what the engine made of them", async () => {
    const rig = await started();
    const { link } = await rig.link();
    const one = await rig.submit(link);
    const two = await rig.submit(link, { kind: RequestKind.EMBED });
    rig.engine.step({ tokens: { [one.id]: [5, 6] }, embeddings: [{ id: two.id, values: Float32Array.of(1, 2) }] });
    rig.engine.step({
      finishes: [
        { id: one.id, reason: "stop_token", stopToken: 9, completionTokens: 2 },
        { id: two.id, reason: "done" },
      ],
    });
    await settle();
    expect(one.heard).toMatchObject({
      tokens: [5, 6],
      finish: { reason: "stop_token", stopToken: 9, completionTokens: 2 },
    });
    expect(two.heard.said).toEqual(["accepted", "embedding of 2", "finish done"]);
    expect(link.openRequests).toBe(0);
  });

  it("are refused by themselves: nothing ran, and the link goes on", async () => {
    const rig = await started();
    const { link } = await rig.link();
    const wrong = [
      { kind: RequestKind.UNSPECIFIED },
      { kind: 9 as RequestKind },
      { rank: 1 },
      { model: "other" },
      { promptText: "a", promptTokenIds: new Uint8Array(4) },
      { stopping: {} },
      { kind: RequestKind.SCORE },
      { session: { sessionId: "1" } },
    ];
    for (const more of wrong) {
      const { heard } = await rig.submit(link, more);
      expect(heard.said, JSON.stringify(more)).toEqual([
        expect.stringMatching(/^finish (INVALID_ARGUMENT|MODEL_NOT_FOUND|UNSUPPORTED_FEATURE)$/),
      ]);
    }
    rig.engine.refuse = new StatorError("OVERLOADED", { what: "the engine" });
    expect((await rig.submit(link)).heard.said).toEqual(["finish OVERLOADED"]);
    rig.engine.refuse = undefined;
    rig.engine.answersLater = true;
    const asked = await rig.submit(link);
    expect(asked.heard.said, "a link does not wait for an engine").toEqual(["accepted"]);
    rig.engine.refuseLate(asked.id, new StatorError("OVERLOADED", { what: "the server" }));
    await settle();
    expect(asked.heard.said).toEqual(["accepted", "finish OVERLOADED"]);
    rig.engine.answersLater = false;
    expect((await rig.submit(link, { promptText: "hi" })).heard.said).toEqual(["accepted"]);
    expect(rig.engine.open.size).toBe(1);
  });

  it("go to an engine of text as text, and its text comes back", async () => {
    const rig = await started({ input: "text", artifacts: [] });
    rig.engine.text = undefined;
    const { link } = await rig.link();
    expect((await rig.submit(link)).heard.said).toEqual(["finish INVALID_ARGUMENT"]);
    const { heard, id } = await rig.submit(link, { promptText: "Once upon" });
    expect(rig.engine.open.get(id)).toMatchObject({ promptText: "Once upon", promptTokens: new Uint32Array(0) });
    rig.engine.step({ texts: [{ id, text: " a time" }] });
    rig.engine.step({ texts: [{ id, text: "." }], finishes: [{ id, reason: "end", completionTokens: 4 }] });
    await settle();
    expect(heard.said).toEqual(["accepted", "text  a time", "text .", "finish end"]);
    expect(heard.finish).toMatchObject({ promptTokens: 1, completionTokens: 4 });
  });

  it("of text are refused where the engine takes ids and has no tokenizer to itself", async () => {
    const rig = await started();
    rig.engine.text = undefined;
    const { link } = await rig.link();
    expect((await rig.submit(link, { promptText: "hi" })).heard.said).toEqual(["finish UNSUPPORTED_FEATURE"]);
  });

  it("are cancelled by handle, also while the worker drains", async () => {
    const rig = await started();
    const { link } = await rig.link();
    const [one, two] = [await rig.submit(link), await rig.submit(link)];
    const draining = rig.worker.drain(10_000);
    await settle();
    link.cancel(one.handle, CancelMode.STOP);
    link.cancel(two.handle, CancelMode.KILL);
    await settle();
    expect(rig.engine.cancels).toEqual([
      { ids: [one.id], mode: "stop" },
      { ids: [two.id], mode: "kill" },
    ]);
    rig.engine.finishCancelled();
    await settle();
    for (const { heard } of [one, two]) expect(heard.said).toEqual(["accepted", "finish cancelled"]);
    await draining;
  });

  it("end at their deadline, with the reason", async () => {
    const rig = await started();
    const { link } = await rig.link();
    const late = await rig.submit(link, { deadlineMs: 1000 });
    const done = await rig.submit(link, { deadlineMs: 1000 });
    rig.engine.step({ finishes: [{ id: done.id, reason: "end" }] });
    await settle();
    rig.clock.advance(1001);
    expect(rig.engine.cancels).toEqual([{ ids: [late.id], mode: "kill" }]);
    rig.engine.finishCancelled();
    await settle();
    expect(late.heard.said).toEqual(["accepted", "finish DEADLINE"]);
    expect(done.heard.said).toEqual(["accepted", "finish end"]);
  });

  it("are killed when their link ends, and nobody else's are", async () => {
    const rig = await started();
    const [one, two] = [await rig.link(), await rig.link()];
    const gone = await rig.submit(one.link);
    const other = await rig.submit(two.link);
    one.link.close();
    await settle();
    expect(rig.engine.cancels).toEqual([{ ids: [gone.id], mode: "kill" }]);
    rig.engine.finishCancelled();
    rig.engine.step({ finishes: [{ id: other.id, reason: "end" }] });
    await settle();
    expect(gone.heard.said).toEqual(["accepted", "lost STREAM_LOST accepted"]);
    expect(other.heard.said).toEqual(["accepted", "finish end"]);
    expect(await rig.metrics.print()).toMatch(/^stator_worker_links 1$/m);
  });
});

describe("a failing engine", () => {
  it("ends every request once and the worker's readiness", async () => {
    const rig = await started();
    const { link } = await rig.link();
    const { heard } = await rig.submit(link);
    const call = await rig.generate({ requestId: "r", input: { case: "prompt", value: "hi" } });
    rig.engine.fail(FAILED);
    await settle();
    expect(heard.said).toEqual(["accepted", "finish ENGINE_FAILED"]);
    expect(call).toMatchObject({ status: "OK", messages: [{ event: { case: "error", value: { retryable: true } } }] });
    expect(rig.discovery.seen.instance).toMatchObject({ state: InstanceState.FAILED, reason: FAILED.message });
    expect((await rig.submit(link)).heard.said).toEqual(["finish ENGINE_FAILED"]);
    await rig.worker.drain(60_000);
    expect(rig.worker.state.state).toBe("failed");
  });

  it("does not make a drain wait for its deadline", async () => {
    const rig = await started();
    const { link } = await rig.link();
    await rig.submit(link);
    const drained = rig.worker.drain(60_000);
    rig.engine.fail(FAILED);
    await drained;
    expect(rig.clock.pending).toBeLessThan(4);
  });
});

describe("a drain", () => {
  it("takes nothing new, tells callers at once and waits for what is open", async () => {
    const rig = await started();
    const { link, said } = await rig.link();
    const { heard, id } = await rig.submit(link);
    let isOver = false;
    const drained = rig.worker.drain(10_000).then(() => {
      isOver = true;
    });
    await settle();
    expect(said).toEqual(["ready", "notice draining", "draining"]);
    expect(rig.discovery.seen.instance?.state).toBe(InstanceState.DRAINING);
    expect((await rig.generate({ requestId: "new" })).status).toBe("DRAINING");
    expect(() => link.submit({} as never, heard)).toThrow(expect.objectContaining({ reason: "DRAINING" }));
    rig.engine.step({ tokens: { [id]: [1] } });
    await settle();
    expect(isOver).toBe(false);
    rig.engine.step({ finishes: [{ id, reason: "end" }] });
    await drained;
    await rig.worker.close();
    await settle();
    expect(heard.said).toEqual(["accepted", "finish end"]);
    expect(said.at(-1)).toBe("closed");
    expect(rig.discovery.closed).toBe(true);
    expect(rig.engine.closed).toBe(true);
  });

  it("is told to callers even when discovery hears nothing", async () => {
    const rig = await started();
    const { said } = await rig.link();
    rig.discovery.refuse = new StatorError("UNAVAILABLE", { what: "etcd", detail: "no answer" });
    await rig.worker.drain(1000);
    await settle();
    expect(said).toContain("notice draining");
  });

  it("ends what is left at its deadline: links with a reason to go on elsewhere, calls with one error", async () => {
    const rig = await started();
    const { link, said } = await rig.link();
    const { heard } = await rig.submit(link);
    const call = await rig.generate({
      requestId: "r",
      input: { case: "prompt", value: "hi" },
      sampling: { numSequences: 2 },
    });
    const drained = rig.worker.drain(5000);
    await settle();
    rig.clock.advance(5000);
    await drained;
    await rig.worker.close();
    await settle();
    expect(heard.said).toEqual(["accepted", "lost STREAM_LOST accepted"]);
    expect(said.at(-1)).toBe("closed DRAINING");
    expect(call.status).toBe("OK");
    expect(call.messages).toMatchObject([{ event: { case: "error", value: { code: 11, retryable: true } } }]);
  });

  it("waits for nothing when nothing is open", async () => {
    const rig = await started();
    await rig.worker.drain(60_000);
    expect(rig.worker.state.state).toBe("draining");
  });

  it("is not taken back when adapters change meanwhile", async () => {
    const rig = await started();
    const { link, said } = await rig.link();
    await rig.submit(link);
    const drained = rig.worker.drain(10_000);
    await settle();
    await rig.control.loadLora({ adapter: { loraId: 1n, loraName: "pirate", sourcePath: "/a" } });
    await settle();
    expect(said.filter((line) => line.startsWith("notice"))).toEqual(["notice draining", "notice draining"]);
    expect(link.state).toBe("draining");
    rig.engine.fail(FAILED);
    await drained;
  });
});

describe("the cache", () => {
  it("is cleared for operators by an engine that can, and not for who cannot", async () => {
    const rig = await started();
    const admin = createClient(WorkerAdminService, rig.transport);
    await expect(admin.clearCache({})).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE" });
    Object.assign(rig.engine, { cache: { clear: () => ({ cleared: 5, kept: 2 }) } });
    expect(await admin.clearCache({})).toMatchObject({ clearedBlocks: 5n, keptBlocks: 2n });
  });

  it("cannot be cleared while the model loads", async () => {
    const rig = rigOf();
    await expect(createClient(WorkerAdminService, rig.transport).clearCache({})).rejects.toMatchObject({
      reason: "MODEL_LOADING",
    });
  });

  it("has events, which are counted, and end with the worker", async () => {
    const rig = await started({ blockTokens: 2, hashScheme: "test" });
    const events = createClient(KvEventService, rig.transport).subscribe({});
    expect((await events.next()).value?.content.case).toBe("header");
    expect((await events.next()).value?.content.case).toBe("snapshot");
    rig.engine.kv({ kind: "cleared" });
    rig.clock.advance(20);
    expect((await events.next()).value?.content.case).toBe("batch");
    const text = await rig.metrics.print();
    expect(text).toContain('stator_worker_kv_events_total{kind="cleared"} 1');
    expect(text).toContain("stator_worker_kv_subscribers 1");
    await rig.worker.close();
    await expect(events.next()).rejects.toMatchObject({ reason: "DRAINING" });
  });
});

describe("a lapsed lease", () => {
  it("ends the events of the old incarnation", async () => {
    const rig = await started({ blockTokens: 2, hashScheme: "test" });
    const client = createClient(KvEventService, rig.transport);
    const { incarnation } = rig.discovery.seen.instance!;
    const events = client.subscribe({ incarnation });
    await events.next();
    await events.next();
    rig.discovery.lapse();
    await expect(events.next()).rejects.toMatchObject({ reason: "STREAM_LOST" });
    await expect(client.subscribe({ incarnation }).next()).rejects.toMatchObject({ reason: "NOT_FOUND" });
    const again = client.subscribe({ incarnation: rig.discovery.seen.instance!.incarnation });
    expect((await again.next()).value?.content.case).toBe("header");
  });

  it("makes another incarnation, which ends the links of the old one and refuses them", async () => {
    const rig = await started();
    const before = rig.discovery.seen.instance!;
    const { link, said } = await rig.link({ incarnation: before.incarnation });
    const { heard, id } = await rig.submit(link);
    const call = await rig.generate({ requestId: "r", input: { case: "prompt", value: "hi" } });
    rig.discovery.lapse();
    await settle();
    const after = rig.discovery.seen.instance!;
    expect(after.instanceId).toBe(before.instanceId);
    expect(after.incarnation).not.toBe(before.incarnation);
    expect(said.at(-1)).toBe("closed STREAM_LOST");
    expect(heard.said).toEqual(["accepted", "lost STREAM_LOST accepted"]);
    expect(rig.engine.cancels).toEqual([{ ids: [id], mode: "kill" }]);
    expect((await rig.link({ incarnation: before.incarnation })).said).toEqual([expect.stringMatching(/^closed /)]);
    expect((await rig.link({ incarnation: after.incarnation })).said).toEqual(["ready"]);
    expect(call.status, "a call that never named an incarnation goes on").toBeUndefined();
    expect(rig.worker.state.state).toBe("ready");
  });
});

describe("the load", () => {
  it("comes to idle callers too, and the last of it is not lost", async () => {
    const rig = await started();
    const [busy, idle] = [await rig.link(), await rig.link()];
    const { id } = await rig.submit(busy.link);
    rig.engine.step({ tokens: { [id]: [1] }, metrics: { runningRequests: 1 } });
    await settle();
    expect([busy.steps, idle.steps]).toEqual([[1], [1]]);
    rig.engine.step({ finishes: [{ id, reason: "end" }], metrics: { runningRequests: 0 } });
    await settle();
    expect([busy.steps, idle.steps]).toEqual([[1, 0], [1]]);
    rig.clock.advance(251);
    await settle();
    expect([busy.steps, idle.steps]).toEqual([
      [1, 0],
      [1, 0],
    ]);
    rig.clock.advance(5000);
    await settle();
    expect(idle.steps).toEqual([1, 0]);
  });
});

describe("metrics", () => {
  it("say what the worker is doing and what became of its requests", async () => {
    const rig = await started();
    const { link } = await rig.link();
    const ids = [(await rig.submit(link)).id, (await rig.submit(link)).id];
    await rig.submit(link, { stopping: {} });
    rig.engine.step({
      finishes: [{ id: ids[0]!, reason: "length" }],
      metrics: { runningRequests: 1, waitingRequests: 2, usedBlocks: 16 },
    });
    const text = await rig.metrics.print();
    const expected = [
      'stator_worker_state{state="ready"} 1',
      'stator_worker_state{state="loading"} 0',
      "stator_worker_links 1",
      "stator_worker_open_requests 1",
      'stator_worker_requests_total{reason="length"} 1',
      'stator_worker_requests_total{reason="refused"} 1',
      "stator_worker_used_blocks 16",
      'vllm:num_requests_running{model_name="fake-model"} 1',
      'vllm:num_requests_waiting{model_name="fake-model"} 2',
      'vllm:kv_cache_usage_perc{model_name="fake-model"} 0.25',
    ];
    for (const line of expected) expect(text.split("\n")).toContain(line);
    expect(await rig.metrics.print()).toContain('stator_worker_requests_total{reason="length"} 1\n');
  });

  it("say nothing of the share of blocks that nobody counts", async () => {
    const rig = await started();
    rig.engine.step({ metrics: { runningRequests: 1, usedBlocks: 0, totalBlocks: 0 } });
    const text = await rig.metrics.print();
    expect(text).toContain('vllm:num_requests_running{model_name="fake-model"} 1');
    expect(text).not.toContain("vllm:kv_cache_usage_perc{");
  });
});

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "#gen/grpc/health/v1/health_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { FrontendService } from "#gen/stator/frontend/v1/frontend_pb";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { llamaUnavailable } from "#services/cli/compose/engine-choice";
import { Cluster, readMetric, type Serving } from "../support/cluster.ts";
import { freePort } from "../support/free-port.ts";
import { type InferAsk, InferStream, inferRequest, outputText } from "../support/infer-client.ts";
import { outputsOf, repeat, SIMPLE, inferRequest as tensorRequest } from "../support/tensor-worker-rig.ts";

/** A frontend over one worker, as a client of the inference service sees it. */
class Served {
  readonly cluster: Cluster;
  readonly channel: Channel;
  readonly frontend: Serving;
  readonly model: string;

  private constructor(cluster: Cluster, frontend: Serving, about: { grpcPort: number; model: string }) {
    this.cluster = cluster;
    this.frontend = frontend;
    this.model = about.model;
    this.channel = new Channel(`127.0.0.1:${about.grpcPort}`, loopbackCredentials, systemClock);
  }

  static async open(worker: readonly string[], frontend: readonly string[] = []): Promise<Served> {
    const cluster = new Cluster();
    const { address } = await cluster.hub();
    const discovery = ["--discovery", `hub://${address}`];
    await cluster.worker(...discovery, ...worker);
    const grpcPort = await freePort();
    const serving = await cluster.frontend(...discovery, "--grpc-port", String(grpcPort), ...frontend);
    const channel = new Channel(`127.0.0.1:${grpcPort}`, loopbackCredentials, systemClock);
    const client = createClient(GRPCInferenceService, channel);
    while (!(await client.serverReady({})).ready) await new Promise((resolve) => setTimeout(resolve, 50));
    const [model] = (await client.repositoryIndex({ ready: true })).models;
    channel.close();
    return new Served(cluster, serving, { grpcPort, model: model!.name });
  }

  get client() {
    return createClient(GRPCInferenceService, this.channel);
  }

  infer(ask: InferAsk) {
    return this.client.modelInfer(inferRequest({ model: this.model, ...ask }));
  }

  async metric(name: string, labels = ""): Promise<number> {
    return readMetric(await (await fetch(`http://${this.frontend.address}/metrics`)).text(), name, labels);
  }

  /** What chat's sister says to the same prompt. */
  async completion(prompt: string, maxTokens: number): Promise<{ text: string; finish: string }> {
    const response = await fetch(`http://${this.frontend.address}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: this.model, prompt, max_tokens: maxTokens, temperature: 0 }),
    });
    const { choices } = (await response.json()) as { choices: [{ text: string; finish_reason: string }] };
    return { text: choices[0].text, finish: choices[0].finish_reason };
  }

  async close(): Promise<void> {
    this.channel.close();
    await this.cluster.close();
  }
}

const GREEDY: InferAsk["parameters"] = { temperature: { case: "doubleParam", value: 0 } };
/** A mock ends where it likes unless it is told to go on. */
const TO_THE_END: InferAsk["parameters"] = { ...GREEDY, ignore_eos: { case: "boolParam", value: true } };

describe("the inference service of a frontend over a mock worker", () => {
  let served: Served;
  beforeAll(async () => {
    served = await Served.open([]);
  });
  afterAll(() => served.close());

  it("answers on the port that operators ask, and says by health that it does", async () => {
    const { client, channel, model } = served;
    const health = createClient(Health, channel);
    const status = async () => (await health.check({ service: GRPCInferenceService.typeName })).status;
    await expect.poll(status).toBe(ServingStatus.SERVING);
    expect((await client.modelReady({ name: model })).ready).toBe(true);
    expect(await client.serverMetadata({})).toMatchObject({ name: "triton" });
    expect((await client.modelMetadata({ name: model })).inputs.map(({ name }) => name)).toContain("text_input");
    const answer = await served.infer({ id: "mine", text: "one two three", maxTokens: 5 });
    expect(answer).toMatchObject({ id: "mine", modelName: model, modelVersion: "1" });
    const { requests } = await createClient(FrontendService, channel).listRequests({ limit: 1 });
    expect(requests[0]).toMatchObject({ requestId: "mine", route: "kserve", model, completionTokens: 5 });
    const { modelStats } = await client.modelStatistics({ name: model });
    expect(modelStats.map(({ name, inferenceStats }) => [name, inferenceStats?.success?.count])).toEqual([[model, 1n]]);
  });

  it("runs a hundred requests of one stream side by side, each whole and in its order", async () => {
    const stream = new InferStream(served.channel);
    const ids = Array.from({ length: 100 }, (_, at) => `r${at}`);
    const asks = ids.map((id) => ({
      id,
      model: served.model,
      text: `prompt ${id}`,
      maxTokens: 20,
      parameters: TO_THE_END,
    }));
    stream.send(...asks.map((ask) => ({ ...ask, stream: true })), { model: "nobody", id: "lost" });
    stream.halfClose();
    expect(await stream.ended).toBeUndefined();
    expect(stream.errors).toEqual([expect.stringMatching(/^\[request id: lost\] Request for unknown model: 'nobody'/)]);
    expect(stream.finishes.sort()).toEqual(ids.map((id) => `${id} length`).sort());
    for (const at of [0, 50, 99]) expect(stream.text(ids[at]!)).toBe(outputText(await served.infer(asks[at]!)));
    const order = stream.answers.map(({ inferResponse }) => inferResponse?.id);
    expect(new Set(order.slice(0, 100)).size).toBeGreaterThan(10);
  });

  it("frees the places of a stream whose client leaves, at the worker too", async () => {
    const stream = new InferStream(served.channel);
    const { model } = served;
    stream.send(
      ...Array.from({ length: 40 }, (_, at) => ({
        id: `${at}`,
        model,
        text: `a ${at}`,
        maxTokens: 2000,
        stream: true,
      })),
    );
    await expect
      .poll(() => new Set(stream.answers.map(({ inferResponse }) => inferResponse?.id)).size)
      .toBeGreaterThan(5);
    stream.cancel(new StatorError("CANCELLED"));
    await expect.poll(() => served.metric("stator_dispatch_open_requests")).toBe(0);
    expect(await served.metric("stator_frontend_active_requests")).toBe(0);
    expect(await served.metric("stator_frontend_requests_total", 'route="kserve",outcome="aborted"')).toBe(40);
  });

  it("leaves an innocent stream alone while 5,000 others on its connection are cancelled", async () => {
    const { channel, model } = served;
    const innocent = new InferStream(channel);
    const tokens = 1500;
    innocent.send({ id: "i", model, text: "innocent", maxTokens: tokens, stream: true, parameters: TO_THE_END });
    await expect.poll(() => innocent.answers.length).toBeGreaterThan(0);
    for (let round = 0; round < 100; round++) {
      const streams = Array.from({ length: 50 }, () => new InferStream(channel));
      for (const [at, stream] of streams.entries()) {
        stream.send({ id: `${at}`, model, text: `foreign ${at}`, maxTokens: 500, stream: true });
      }
      // Some before their first answer and some behind it.
      if (round % 2 === 1) await new Promise((resolve) => setTimeout(resolve, 5));
      for (const stream of streams) stream.cancel(new StatorError("CANCELLED"));
      await Promise.all(streams.map(({ ended }) => ended));
      // What they asked for last has ended where nothing is open but the innocent one.
      innocent.send({ id: `still ${round}`, model, text: "x", maxTokens: 1 });
    }
    innocent.halfClose();
    expect(await innocent.ended).toBeUndefined();
    expect(innocent.errors).toEqual([]);
    expect(innocent.finishes.filter((finish) => finish.startsWith("still"))).toHaveLength(100);
    const alone = await served.infer({ text: "innocent", maxTokens: tokens, parameters: TO_THE_END });
    expect(innocent.text("i")).toBe(outputText(alone));
    await expect.poll(() => served.metric("stator_dispatch_open_requests")).toBe(0);
    expect(await served.metric("stator_frontend_active_requests")).toBe(0);
    expect(await served.metric("stator_frontend_open_streams", 'route="kserve"')).toBe(0);
    expect(served.cluster.complaints).toEqual([]);
  }, 240_000);

  it("finishes what runs when the frontend is told to go, and tells the stream so", async () => {
    const stream = new InferStream(served.channel);
    const idle = new InferStream(served.channel);
    const { model } = served;
    idle.send({ id: "0", model, text: "a", maxTokens: 1 });
    stream.send({ id: "1", model, text: "b", maxTokens: 300, stream: true, parameters: TO_THE_END });
    await expect.poll(() => Math.min(stream.answers.length, idle.finishes.length)).toBeGreaterThan(0);
    served.frontend.program.signal("SIGTERM");
    expect(await idle.ended).toMatchObject({ reason: "DRAINING" });
    expect(await stream.ended).toMatchObject({ reason: "DRAINING" });
    expect(stream.finishes).toEqual(["1 length"]);
    expect(await served.frontend.program.ended).toEqual({ code: 0, signal: null });
  });
});

describe("the inference service of a frontend over models of tensors", () => {
  let served: Served;
  beforeAll(async () => {
    served = await Served.open(["--engine", "tensor"]);
  });
  afterAll(() => served.close());

  it("forwards what is asked of them, side by side, counted and recorded as any other", async () => {
    const { client, channel } = served;
    const names = (await client.repositoryIndex({ ready: true })).models.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["simple", "repeat_int32"]));
    expect((await client.modelMetadata({ name: "simple" })).inputs.map(({ name }) => name)).toEqual([
      "INPUT0",
      "INPUT1",
    ]);
    const sums = Int32Array.from({ length: 16 }, (_, at) => at + 1);
    const answer = await client.modelInfer(tensorRequest("simple", SIMPLE, { id: "7" }));
    expect([answer.id, outputsOf(answer)]).toMatchObject(["7", { OUTPUT0: sums }]);
    const stream = new InferStream(channel);
    stream.sendMessage(tensorRequest("repeat_int32", repeat([4, 5, 6], 50), { id: "r" }));
    stream.sendMessage(tensorRequest("simple", { INPUT0: SIMPLE.INPUT0! }, { id: "bad" }));
    stream.sendMessage(tensorRequest("simple", SIMPLE, { id: "s" }));
    stream.halfClose();
    expect(await stream.ended).toBeUndefined();
    const ids = stream.answers.map(({ inferResponse }) => inferResponse?.id);
    expect(ids.filter((id) => id === "r")).toHaveLength(3);
    expect(ids.at(-1), "the slow one holds nobody").toBe("r");
    expect(stream.errors).toEqual([expect.stringMatching(/^\[request id: bad\] /)]);
    const { modelStats } = await client.modelStatistics({ name: "simple" });
    expect(modelStats.map(({ inferenceStats: of }) => [of?.success?.count, of?.fail?.count])).toEqual([[2n, 1n]]);
    expect(await served.metric("stator_frontend_active_requests")).toBe(0);
  });
});

const missing = llamaUnavailable()?.detail;

describe.skipIf(missing !== undefined)(`the inference service over llama (${missing ?? "built"})`, () => {
  let served: Served;
  beforeAll(async () => {
    served = await Served.open(["--engine", "llama"]);
  });
  afterAll(() => served.close());

  it("says the same as the other doors, unary and streamed", async () => {
    const prompts = ["The capital of Japan is", "One, two, three,"];
    const stream = new InferStream(served.channel);
    for (const [at, text] of prompts.entries()) {
      stream.send({ id: `${at}`, model: served.model, text, maxTokens: 24, stream: true, parameters: GREEDY });
    }
    stream.halfClose();
    expect(await stream.ended).toBeUndefined();
    for (const [at, text] of prompts.entries()) {
      const { text: expected, finish } = await served.completion(text, 24);
      const answer = await served.infer({ text, maxTokens: 24, parameters: GREEDY });
      expect([outputText(answer), outputText(answer, "finish_reason")]).toEqual([expected, finish]);
      expect(stream.text(`${at}`)).toBe(expected);
      expect(stream.finishes).toContain(`${at} ${finish}`);
    }
  });
});

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { Cluster } from "../support/cluster.ts";
import { freePort } from "../support/free-port.ts";
import { InferStream, inferRequest, outputText } from "../support/infer-client.ts";
import {
  InferStreamClient,
  outputsOf,
  repeat,
  SIMPLE,
  inferRequest as tensorRequest,
} from "../support/tensor-worker-rig.ts";

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A frontend with its hub, as a client of both of its ports sees it. */
class Site {
  readonly cluster: Cluster;
  readonly grpc: string;
  readonly http: string;
  readonly discovery: readonly string[];
  readonly channel: Channel;

  private constructor(cluster: Cluster, about: { grpc: string; http: string; discovery: readonly string[] }) {
    this.cluster = cluster;
    this.grpc = about.grpc;
    this.http = about.http;
    this.discovery = about.discovery;
    this.channel = new Channel(about.grpc, loopbackCredentials, systemClock);
  }

  static async open(): Promise<Site> {
    const cluster = new Cluster();
    const { address } = await cluster.hub();
    const discovery = ["--discovery", `hub://${address}`];
    const port = await freePort();
    const frontend = await cluster.frontend(...discovery, "--grpc-port", String(port));
    return new Site(cluster, { grpc: `127.0.0.1:${port}`, http: `http://${frontend.address}`, discovery });
  }

  get client() {
    return createClient(GRPCInferenceService, this.channel);
  }

  /** Names of the models that a request would be routed to now. */
  async ready(): Promise<string[]> {
    return (await this.client.repositoryIndex({ ready: true })).models.map(({ name }) => name).sort();
  }

  async close(): Promise<void> {
    this.channel.close();
    await this.cluster.close();
  }
}

const GREEDY = { temperature: { case: "doubleParam", value: 0 } } as const;

describe("a second Stator as the foreign server of the first", () => {
  let first: Site;
  let second: Site;
  let text = "";

  beforeAll(async () => {
    second = await Site.open();
    await second.cluster.worker(...second.discovery);
    await second.cluster.worker(...second.discovery, "--engine", "tensor");
    while ((await second.ready()).length < 6) await wait(50);
    first = await Site.open();
    const before = ["--engine", "kserve", "--url", second.grpc, "--kserve-look-ms", "50"];
    await first.cluster.worker(...first.discovery, ...before);
    text = (await second.ready()).find((name) => !/^(simple|repeat_int32)/.test(name)) ?? "";
    while ((await first.ready()).length < 6) await wait(50);
  });
  afterAll(async () => {
    await first?.close();
    await second?.close();
  });

  it("has every model of it, as it describes them", async () => {
    const names = await second.ready();
    expect(await first.ready()).toEqual(names);
    for (const name of names) {
      expect((await first.client.modelReady({ name })).ready).toBe(true);
      expect(await first.client.modelMetadata({ name })).toEqual(await second.client.modelMetadata({ name }));
      expect(await first.client.modelConfig({ name })).toEqual(await second.client.modelConfig({ name }));
    }
  });

  it("answers for its models of tensors, in one answer, in several, and over HTTP", async () => {
    const { simple, sums } = {
      simple: tensorRequest("simple", SIMPLE),
      sums: Int32Array.from({ length: 16 }, (_, at) => at + 1),
    };
    expect(outputsOf(await first.client.modelInfer(simple))).toMatchObject({ OUTPUT0: sums });
    const stream = new InferStreamClient(first.channel);
    stream.send(tensorRequest("repeat_int32", repeat([5, 6, 7], 1), { id: "r" }));
    await expect.poll(() => stream.told, { timeout: 20_000 }).toEqual(["r=5", "r=6", "r=7"]);
    stream.cancel();
    const inputs = Object.entries(SIMPLE).map(([name, { datatype, shape, values }]) => {
      return { name, datatype, shape, data: [...(values as Int32Array)] };
    });
    const response = await fetch(`${first.http}/v2/models/simple/infer`, {
      method: "POST",
      body: JSON.stringify({ inputs }),
    });
    const { outputs } = (await response.json()) as { outputs: readonly { name: string; data: number[] }[] };
    expect(outputs.find(({ name }) => name === "OUTPUT0")?.data).toEqual([...sums]);
  });

  it("answers for its models of text: whole and streamed, with the same words and usage", async () => {
    const ask = { model: text, text: "one two three", maxTokens: 12, id: "t", parameters: GREEDY };
    const expected = await second.client.modelInfer(inferRequest(ask));
    expect(outputText(expected)).not.toBe("");
    const through = await first.client.modelInfer(inferRequest(ask));
    expect(through).toMatchObject({ id: "t", modelName: text, outputs: expected.outputs });
    expect(outputText(through)).toBe(outputText(expected));
    expect(through.parameters.completion_tokens).toEqual(expected.parameters.completion_tokens);
    const stream = new InferStream(first.channel);
    stream.send({ ...ask, stream: true }, { ...ask, id: "u", stream: true });
    stream.halfClose();
    expect(await stream.ended).toBeUndefined();
    for (const id of ["t", "u"]) expect(stream.text(id)).toBe(outputText(expected));
    expect(stream.finishes.length).toBe(2);
    expect(stream.answers.length).toBeGreaterThan(6);
  });

  it("tells mistakes in the words of the second, and goes on", async () => {
    const refusal = async (site: Site) => {
      const ask = { model: text, parameters: { temprature: { case: "doubleParam", value: 1 } as const } };
      const error: unknown = await site.client.modelInfer(inferRequest(ask)).catch((caught: unknown) => caught);
      return error instanceof Error ? error.message : undefined;
    };
    expect(await refusal(first)).toBe(await refusal(second));
    expect(await refusal(first)).toContain("temprature");
    const stream = new InferStream(first.channel);
    stream.send(
      { model: text, id: "bad", stream: true, maxTokens: -1 },
      { model: text, id: "good", stream: true, maxTokens: 3 },
    );
    stream.halfClose();
    expect(await stream.ended).toBeUndefined();
    expect(stream.errors).toEqual([expect.stringContaining("[request id: bad]")]);
    expect(stream.text("good")).not.toBe("");
    const typed = await fetch(`${first.http}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: text, prompt: "a" }),
    });
    expect([typed.status, await typed.text()]).toEqual([400, expect.stringContaining("tensors")]);
  });

  it("frees the places of the second when a client of the first leaves", async () => {
    const stream = new InferStream(first.channel);
    const asks = Array.from({ length: 10 }, (_, at) => ({ model: text, id: `${at}`, stream: true, maxTokens: 2000 }));
    stream.send(...asks);
    await expect.poll(() => stream.answers.length, { timeout: 20_000 }).toBeGreaterThan(10);
    stream.halfClose();
    const active = async ({ http }: Site) =>
      Number(/^stator_frontend_active_requests (\d+)/m.exec(await (await fetch(`${http}/metrics`)).text())?.[1]);
    expect(await active(second)).toBeGreaterThan(0);
    stream.cancel(new StatorError("CANCELLED"));
    await expect.poll(() => active(second), { timeout: 20_000 }).toBe(0);
    await expect.poll(() => active(first), { timeout: 20_000 }).toBe(0);
  });

  it("loses the models when the second goes, says so, and complains of nothing", async () => {
    await second.cluster.close();
    await expect.poll(() => first.ready(), { timeout: 20_000 }).toEqual([]);
    const refused: unknown = await first.client
      .modelInfer(tensorRequest("simple", SIMPLE))
      .catch((caught: unknown) => caught);
    expect(refused).toMatchObject({ row: expect.objectContaining({ grpc: 5 }) });
    expect(first.cluster.complaints).toEqual([]);
  });
});

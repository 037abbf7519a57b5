import { fromBinary } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import { expect } from "vitest";
import { ModelStreamInferResponseSchema } from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import type { DuplexChannel } from "#lib/rpc/stream";
import { type BadBody, type BadInfer, badBody, badMessage, bytesElement, type Refused, STATUSES } from "./bad-infer.ts";
import { Cluster, readMetric } from "./cluster.ts";
import { TestObjects } from "./shared-object.ts";

const { modelStreamInfer } = GRPCInferenceService.method;

/** What would tell where the program runs, or how it is made. */
export const LEAKS = /\/dev\/|\/tmp|\/home|\/root|node_modules|\.[jt]s\b|\n|\s at |127\.0\.0\.1|ENOENT|EACCES|ELOOP/;

/** Who asks in a way that is wrong: over one connection of gRPC, one stream on it, and HTTP. */
export class Stranger {
  readonly cluster = new Cluster();
  readonly objects = new TestObjects();
  http = "";
  grpc = "";
  text = "";
  channel!: Channel;
  /** Over a connection of its own. */
  foreign!: Client;
  #stream!: DuplexChannel<Uint8Array, Uint8Array>;
  #answers: Uint8Array[] = [];
  streamEnd: unknown = "open";

  async open(): Promise<void> {
    const { cluster } = this;
    const { address } = await cluster.hub();
    const discovery = ["--discovery", `hub://${address}`];
    await cluster.worker(...discovery);
    await cluster.worker(...discovery, "--engine", "tensor");
    const frontend = await cluster.frontend(...discovery);
    this.http = `http://${frontend.address}`;
    this.grpc = ((await (await fetch(`${this.http}/health`)).json()) as { operators: string }).operators;
    this.channel = new Channel(this.grpc, loopbackCredentials, systemClock);
    this.foreign = new Client(this.grpc, credentials.createInsecure());
    const ready = async () => (await this.client.repositoryIndex({ ready: true })).models.map(({ name }) => name);
    let names: string[] = [];
    while (names.length < 6) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      names = await ready();
    }
    this.text = names.find((name) => !/^(simple|repeat_int32)/.test(name)) ?? "";
    this.#stream = this.channel.openBytes(modelStreamInfer);
    this.#stream.receive({
      onMessage: (bytes) => void this.#answers.push(bytes),
      onEnd: (error) => {
        this.streamEnd = error;
      },
    });
  }

  get client() {
    return createClient(GRPCInferenceService, this.channel);
  }

  /** A request that is right. */
  get good(): Record<"text" | "tensor", BadInfer> {
    return {
      text: {
        model: this.text,
        inputs: [{ name: "text_input", datatype: "BYTES", shape: [1], raw: bytesElement("hello") }],
        parameters: { max_tokens: 2 },
      },
      tensor: {
        model: "simple",
        inputs: ["INPUT0", "INPUT1"].map((name) => ({
          name,
          datatype: "INT32",
          shape: [1, 16],
          raw: Buffer.alloc(64),
        })),
      },
    };
  }

  /** Code and sentence of a call of ModelInfer, as a client of gRPC sees them that knows nothing of ours. */
  whole(bytes: Uint8Array): Promise<readonly [code: number, sentence: string]> {
    const same = (each: Buffer) => each;
    const { promise, resolve } = Promise.withResolvers<readonly [number, string]>();
    const path = "/inference.GRPCInferenceService/ModelInfer";
    this.foreign.makeUnaryRequest(path, same, same, Buffer.from(bytes), (error) => {
      resolve([error?.code ?? 0, error?.details ?? ""]);
    });
    return promise;
  }

  /** What the stream says to a request, which is open before and behind it. */
  async streamed(bytes: Uint8Array): Promise<{ readonly error: string; readonly id: string | undefined }> {
    this.#answers = [];
    this.#stream.send(bytes);
    await expect
      .poll(() => this.#answers.length + Number(this.streamEnd !== "open"), { interval: 2, timeout: 20_000 })
      .toBeGreaterThan(0);
    expect(this.streamEnd).toBe("open");
    const { errorMessage, inferResponse } = fromBinary(ModelStreamInferResponseSchema, this.#answers[0]!);
    return { error: errorMessage, id: inferResponse?.id };
  }

  /** Status and body of a request over HTTP. */
  async posted({ path, jsonBytes, body }: BadBody): Promise<readonly [number, Record<string, unknown>]> {
    const headers = {
      "content-type": "application/octet-stream",
      ...(jsonBytes !== undefined && { "inference-header-content-length": jsonBytes }),
    };
    const response = await fetch(this.http + path, { method: "POST", headers, body: new Uint8Array(body) });
    return [response.status, (await response.json()) as Record<string, unknown>];
  }

  /** All ports and the stream answer as if nothing had been. */
  async stillServes(): Promise<void> {
    for (const good of Object.values(this.good)) {
      expect(await this.whole(badMessage(good))).toEqual([0, ""]);
      expect(await this.streamed(badMessage(good))).toEqual({ error: "", id: "bad" });
      expect((await this.posted(badBody(good)))[0]).toBe(200);
    }
  }

  /** Both a call of its own and a stream refuse the message; the stream by its id, and stays open. */
  async expectRefusedByGrpc(bytes: Uint8Array, refused: Refused, id = "bad"): Promise<void> {
    const [code, sentence] = await this.whole(bytes);
    expectRefused(sentence, refused);
    expect(code).toBe(STATUSES[refused.as].grpc);
    const streamed = await this.streamed(bytes);
    expectRefused(streamed.error, refused);
    expect(streamed).toMatchObject({ id, ...(id && { error: expect.stringContaining(`[request id: ${id}] `) }) });
  }

  /** The body is refused in the form of its port. */
  async expectRefusedByHttp(body: BadBody, refused: Refused): Promise<void> {
    const [status, answer] = await this.posted(body);
    expect(Object.keys(answer)).toEqual(["error"]);
    expectRefused(answer.error, refused);
    expect(status).toBe(STATUSES[refused.as].http);
  }

  /** Nothing is held when all of it is over, and nobody complained. */
  async expectIdle(): Promise<void> {
    const metric = async (name: string): Promise<number> =>
      readMetric(await (await fetch(`${this.http}/metrics`)).text(), name);
    await expect.poll(() => metric("stator_dispatch_open_requests"), { timeout: 20_000 }).toBe(0);
    await expect.poll(() => metric("stator_frontend_active_requests"), { timeout: 20_000 }).toBe(0);
    expect(this.streamEnd).toBe("open");
    expect(this.cluster.complaints).toEqual([]);
  }

  async close(): Promise<void> {
    this.channel?.close();
    this.foreign?.close();
    await this.cluster.close();
    this.objects.remove();
  }
}

function expectRefused(sentence: unknown, { words }: Refused): void {
  expect(sentence).toEqual(typeof words === "string" ? expect.stringContaining(words) : expect.stringMatching(words));
  expect(sentence).not.toMatch(LEAKS);
}

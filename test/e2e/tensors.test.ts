import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import {
  type ModelInferRequest,
  ModelInferRequestSchema,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { type InstanceRecord, InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { Cluster, readMetric } from "../support/cluster.ts";
import { freePort } from "../support/free-port.ts";
import { observe } from "../support/observer.ts";
import { InferStreamClient, inferRequest, outputsOf, repeat, SIMPLE } from "../support/tensor-worker-rig.ts";

const cluster = new Cluster();
const closes: (() => Promise<void> | void)[] = [];
const folder = mkdtempSync(join(tmpdir(), "stator-tensors-"));

afterEach(async () => {
  for (const close of closes.splice(0).reverse()) await close();
  await cluster.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function openTo(address: string): Channel {
  const channel = new Channel(address, loopbackCredentials, systemClock);
  closes.push(() => channel.close());
  return channel;
}

const clientOf = (address: string) => createClient(GRPCInferenceService, openTo(address));
/** How a call of ModelInfer ends for a client of gRPC that knows nothing of ours. */
function statusOf(address: string, request: ModelInferRequest): Promise<{ code: number; details: string }> {
  const client = new Client(address, credentials.createInsecure());
  closes.push(() => client.close());
  const bytes = Buffer.from(toBinary(ModelInferRequestSchema, request));
  const same = (each: Buffer) => each;
  return new Promise((resolve) => {
    client.makeUnaryRequest("/inference.GRPCInferenceService/ModelInfer", same, same, bytes, (error) => {
      resolve({ code: error?.code ?? 0, details: error?.details ?? "" });
    });
  });
}

const SUMS = Int32Array.from({ length: 16 }, (_, at) => at + 1);

describe("a worker of tensors", () => {
  it("serves the examples to whoever dials it, and finishes what it has when it ends", async () => {
    const port = await freePort();
    const { address, program } = await cluster.worker("--engine", "tensor", "--metrics-port", String(port));
    expect(program.stdout).toContain("simple: takes INPUT0 INT32[-1,16] and INPUT1 INT32[-1,16]");
    const client = clientOf(address);
    expect(await client.serverReady({})).toMatchObject({ ready: true });
    expect(outputsOf(await client.modelInfer(inferRequest("simple", SIMPLE)))).toMatchObject({ OUTPUT0: SUMS });
    expect(await statusOf(address, inferRequest("wrong_model_name", SIMPLE))).toEqual({
      code: 5,
      details: "Request for unknown model: 'wrong_model_name' is not found.",
    });
    const left = new InferStreamClient(openTo(address));
    left.send(inferRequest("repeat_int32", repeat([1], 60_000), { id: "left" }));
    const stream = new InferStreamClient(openTo(address));
    stream.send(inferRequest("repeat_int32", repeat([5, 6, 7], 200), { id: "r" }));
    await expect.poll(() => stream.told).toEqual(["r=5"]);
    const metric = async (name: string, labels?: string) =>
      readMetric(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), name, labels);
    expect(await metric("stator_worker_tensor_running")).toBe(2);
    left.cancel();
    await expect.poll(() => metric("stator_worker_tensor_running")).toBe(1);
    program.signal("SIGTERM");
    await expect.poll(async () => (await client.serverReady({})).ready).toBe(false);
    await expect.poll(() => stream.status, { timeout: 10_000 }).toBeDefined();
    expect(stream.told).toEqual(["r=5", "r=6", "r=7"]);
    expect(await program.ended).toEqual({ code: 0, signal: null });
    expect(cluster.complaints).toEqual([]);
  });

  it("refuses a message beyond the limit of its port, and goes on", async () => {
    const { address } = await cluster.worker("--engine", "tensor", "--grpc-message-bytes", "1048576");
    const client = clientOf(address);
    const long = { INPUT0: { datatype: "BYTES", shape: [1, 1], values: [Buffer.alloc(1_100_000)] } } as const;
    await expect(client.modelInfer(inferRequest("simple_identity", long))).rejects.toMatchObject({
      row: expect.objectContaining({ grpc: 8 }),
    });
    const short = { INPUT0: { datatype: "BYTES", shape: [1, 1], values: [Buffer.alloc(1_000_000)] } } as const;
    const { rawOutputContents } = await client.modelInfer(inferRequest("simple_identity", short));
    expect(rawOutputContents[0]).toHaveLength(1_000_004);
  });

  it("goes on with a stream on which something came that is no request", async () => {
    const { address } = await cluster.worker("--engine", "tensor");
    const told: string[] = [];
    const channel = openTo(address).openBytes(GRPCInferenceService.method.modelStreamInfer);
    channel.receive({
      onMessage(bytes) {
        const { errorMessage, inferResponse } = fromBinary(ModelStreamInferResponseSchema, bytes);
        told.push(errorMessage || (inferResponse?.id ?? ""));
      },
      onEnd: (error) => void told.push(error?.reason ?? "OK"),
    });
    channel.send(Buffer.from("0aff", "hex"));
    channel.send(toBinary(ModelInferRequestSchema, inferRequest("simple", SIMPLE, { id: "r" })));
    channel.end();
    await expect.poll(() => told.length).toBe(3);
    expect(told.sort()).toEqual(["OK", expect.stringMatching(/^The bytes are not/), "r"]);
  });

  it("serves what a user wrote", async () => {
    const file = join(folder, "mine.ts");
    writeFileSync(
      file,
      `export const negate = {
        name: "negate",
        inputs: { X: { datatype: "FP32", shape: [-1] } },
        outputs: { Y: { datatype: "FP32", shape: [-1] } },
        infer({ X }: { X: { shape: number[]; values: Float32Array } }) {
          return { Y: { shape: X.shape, values: X.values.map((value: number) => -value) } };
        },
      };`,
    );
    const { address } = await cluster.worker("--engine", `module:${file}`);
    const inputs = { X: { datatype: "FP32", shape: [2], values: Float32Array.of(1.5, -2) } } as const;
    const answer = await clientOf(address).modelInfer(inferRequest("negate", inputs));
    expect(outputsOf(answer)).toEqual({ Y: Float32Array.of(-1.5, 2) });
  });

  it("says what is wrong with what a user wrote", async () => {
    const file = join(folder, "wrong.ts");
    writeFileSync(file, "export const nothing = 1;");
    const program = cluster.start(["worker", "--engine", `module:${file}`]);
    expect((await program.ended).code).toBe(1);
    expect(program.stderr).toContain("exports no object with inputs, outputs and infer or stream");
    const without = cluster.start(["worker", "--engine", "kserve"]);
    expect((await without.ended).code).toBe(2);
    expect(without.stderr).toContain("--engine kserve needs --url HOST:PORT");
  });
});

describe("a worker in front of a foreign server", () => {
  it("registers its models with its address as they come and go, and waits for it when it is away", async () => {
    const hub = await cluster.hub();
    const port = await freePort();
    const url = `127.0.0.1:${port}`;
    const there = () => cluster.worker("--engine", "tensor", "--model", "simple", "--grpc-port", String(port));
    const discovery = ["--discovery", `hub://${hub.address}`];
    const before = ["--engine", "kserve", "--url", url, "--kserve-look-ms", "50"];
    const { program } = await cluster.worker(...before, ...discovery);
    const observer = await observe(`hub://${hub.address}`);
    closes.push(() => observer.close());
    const record = (): InstanceRecord | undefined => [...observer.workers().values()][0];
    expect(record()).toMatchObject({ state: InstanceState.LOADING, models: [] });
    expect(record()?.reason).toMatch(/does not answer/);
    const first = await there();
    await expect.poll(() => record()?.state, { timeout: 10_000 }).toBe(InstanceState.READY);
    expect(record()).toMatchObject({ inferenceAddress: url, models: ["simple"], engine: "kserve" });
    await first.program.close();
    await expect.poll(() => record()?.state, { timeout: 10_000 }).toBe(InstanceState.FAILED);
    expect(record()?.models).toEqual([]);
    const second = await there();
    await expect.poll(() => record()?.state, { timeout: 10_000 }).toBe(InstanceState.READY);
    const client = clientOf(record()?.inferenceAddress ?? "");
    expect(outputsOf(await client.modelInfer(inferRequest("simple", SIMPLE)))).toMatchObject({ OUTPUT0: SUMS });
    program.signal("SIGTERM");
    expect(await program.ended).toEqual({ code: 0, signal: null });
    await expect.poll(record).toBeUndefined();
    await second.program.close();
  });
});

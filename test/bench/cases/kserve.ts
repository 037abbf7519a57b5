// Cost of the door of the Open Inference Protocol: beside bare grpc-js, and beside the doors of the same frontend over HTTP.
//   node test/bench/cases/kserve.ts [NAME_PART]
import { rmSync, writeFileSync } from "node:fs";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { readBoard } from "../../support/program.ts";
import { type Cluster, listeningPortsOf, residentMbOf, startCluster } from "../cluster.ts";
import { runCases, volume } from "../harness.ts";
import {
  compare,
  compareJoined,
  LONGEST_SECONDS,
  MODEL,
  measure,
  mockRate,
  openBare,
  openClient,
  openProduct,
  overStarts,
  type Server,
  type Side,
  serverOf,
  warm,
  wordsOfPrompt,
} from "../sides.ts";
import type { GrpcLoad } from "./grpc-client.ts";
import type { HttpLoad } from "./http-client.ts";
import type { TensorLoad } from "./tensor-client.ts";

const STREAM_END = "data: [DONE]\n\n\r\n0\r\n\r\n";
const WORKERS = 4;
/** Calls of one connection, as of a client with some users of its own. */
const CALLS = 16;
const TIME = { warmMs: volume(4_000, 1_500), ms: volume(4_000, 800), rounds: volume(2, 1) };

/** The same frontend at its gRPC port, the one that it listens on beside HTTP's. */
function inferenceOf(cluster: Cluster): Server {
  const port = listeningPortsOf(cluster.frontendPid).find((each) => each !== cluster.port);
  if (port === undefined) throw new Error("The frontend has no gRPC port");
  return { ...serverOf(cluster), port };
}

function streamsOf(calls: number, connections: number, maxTokens: number): Omit<GrpcLoad, "port"> {
  return { connections, calls, streams: true, model: MODEL, maxTokens, words: 30 };
}

/** One request on each of 64 calls, faster than a frontend tells one by one; the bare writer has the same rate, and beside it is one that is always full. */
function saturated(): Promise<object> {
  const rate = 1_000;
  const tokens = 4_000;
  return overStarts(async (start) => {
    const base = await openBare("grpc-bare.ts", "stream", rate, tokens, WORKERS, start);
    const full = await openBare("grpc-bare.ts", "stream", 0, tokens, WORKERS, start);
    const cluster = await openProduct(WORKERS, "32k", mockRate(rate));
    const client = await openClient("grpc-client.ts", start);
    try {
      const side = { client, load: streamsOf(CALLS, 64 / CALLS, tokens), counts: "tokens" } as const;
      const ours = { ...side, server: inferenceOf(cluster) };
      const figures = await compareJoined({ ...side, server: base }, ours, TIME);
      const beside = await compareJoined({ ...side, server: full }, ours, { ...TIME, rounds: 1 });
      return { ...figures, fullRatio: beside.ratio };
    } finally {
      client.end();
      for (const { program } of [base, full]) program.end();
      await cluster.close();
    }
  });
}

/** 512 streams, over gRPC and as server-sent events of the same frontend; beside, with a connection for each call. */
function paced(): Promise<object> {
  const rate = 50;
  const tokens = rate * LONGEST_SECONDS;
  const streams = volume(512, 32);
  return overStarts(async (start) => {
    const cluster = await openProduct(WORKERS, "32k", mockRate(rate));
    const [http, grpc] = [await openClient("http-client.ts", start), await openClient("grpc-client.ts", start + 100)];
    try {
      const fields = { model: MODEL, stream: true, max_tokens: tokens, ignore_eos: true };
      const asked = {
        path: "/v1/chat/completions",
        sockets: streams,
        fields,
        words: 30,
        ending: STREAM_END,
        everyMs: 0,
      };
      const sse: Side = { server: serverOf(cluster), client: http, load: asked, counts: "tokens" };
      const ours = (calls: number): Side => {
        const load = streamsOf(calls, streams / calls, tokens);
        return { server: inferenceOf(cluster), client: grpc, load, counts: "tokens" };
      };
      const figures = await compare(sse, ours(CALLS), TIME);
      const alone = await compare(sse, ours(1), { ...TIME, rounds: 1 });
      return { ...figures, aloneRatio: alone.ratio };
    } finally {
      http.end();
      grpc.end();
      await cluster.close();
    }
  });
}

/** New prompts of about 200 tokens, 16 tokens in one step, 16 connections with one call each. */
function unary(): Promise<object> {
  const time = { warmMs: volume(500, 100), ms: volume(3_000, 500), rounds: volume(3, 1) };
  return overStarts(async (start) => {
    const cluster = await openProduct(WORKERS, "32k", ["--mock-speed", 0, "--mock-step-tokens", 16]);
    const [http, grpc] = [await openClient("http-client.ts", start), await openClient("grpc-client.ts", start + 100)];
    try {
      const words = await wordsOfPrompt(cluster.port);
      const fields = { model: MODEL, max_tokens: 16, ignore_eos: true };
      const more = { sockets: 16, fields, words, ending: "}}", everyMs: 0 };
      const posted = (load: Omit<HttpLoad, "port">): Side => {
        return { server: serverOf(cluster), client: http, load, counts: "requests" };
      };
      const completions = posted({ path: "/v1/completions", asPrompt: true, ...more });
      const chat = posted({ path: "/v1/chat/completions", ...more });
      const asked: Omit<GrpcLoad, "port"> = { ...streamsOf(1, 16, 16), streams: false, words };
      const ours: Side = { server: inferenceOf(cluster), client: grpc, load: asked, counts: "requests" };
      for (const side of [completions, chat, ours]) await warm(side);
      const figures = await compare(completions, ours, time);
      return { ...figures, chatRatio: (await compare(chat, ours, { ...time, rounds: 1 })).ratio };
    } finally {
      http.end();
      grpc.end();
      await cluster.close();
    }
  });
}

const TENSOR_BYTES = 8 * 1024 * 1024;
/** What a tensor of one element takes: its length goes before it. */
const ELEMENT_BYTES = TENSOR_BYTES + 4;
const TENSOR_CALLS = 8;
const IDENTITY = "simple_identity";

/** Makes two objects of shared memory and tells the frontend of them. */
async function withRegions(port: number, run: (regions: TensorLoad["regions"]) => Promise<number>): Promise<number> {
  const channel = new Channel(`127.0.0.1:${port}`, loopbackCredentials, systemClock);
  const client = createClient(GRPCInferenceService, channel);
  const keyOf = (name: string) => `/stator-bench-${process.pid}-${name}`;
  const names = ["input", "output"];
  try {
    for (const name of names) {
      const bytes = Buffer.alloc(ELEMENT_BYTES, 7);
      bytes.writeUInt32LE(TENSOR_BYTES);
      writeFileSync(`/dev/shm${keyOf(name)}`, bytes);
      await client.systemSharedMemoryRegister({ name, key: keyOf(name), byteSize: BigInt(ELEMENT_BYTES) });
    }
    return await run({ input: "input", output: "output" });
  } finally {
    channel.close();
    for (const name of names) rmSync(`/dev/shm${keyOf(name)}`, { force: true });
  }
}

/** Tensors that come back as they went, by way of the frontend and of a bare relay to the same worker. */
function tensors(): Promise<object> {
  const time = { warmMs: volume(3_000, 500), ms: volume(4_000, 1_000), rounds: volume(3, 1) };
  return overStarts(async (start) => {
    const cluster = await startCluster(["--engine", "tensor", "--model", IDENTITY, "--workers", "1"]);
    const worker = readBoard(cluster.program).get("worker-1")!.address;
    const base = await openBare("grpc-bare.ts", "relay", worker);
    const client = await openClient("tensor-client.ts", start);
    try {
      const load: Omit<TensorLoad, "port"> = { calls: TENSOR_CALLS, model: IDENTITY, bytes: TENSOR_BYTES };
      const side = { client, load, counts: "requests" } as const;
      const server = inferenceOf(cluster);
      const idle = residentMbOf(cluster.frontendPid).now;
      const figures = await compare({ ...side, server: base }, { ...side, server }, time);
      const { peak } = residentMbOf(cluster.frontendPid);
      const sharedUs = await withRegions(server.port, async (regions) => {
        return (await measure({ client, load: { ...load, regions }, counts: "requests", server }, time)).us;
      });
      return {
        ...figures,
        sharedRatio: sharedUs / figures.baseUs,
        sharedUs,
        peakRatio: ((peak - idle) * 1e6) / (TENSOR_CALLS * TENSOR_BYTES),
        peakMb: peak,
      };
    } finally {
      client.end();
      base.program.end();
      await cluster.close();
    }
  });
}

await runCases({
  "kserve/stream/saturated": saturated,
  "kserve/stream/50-a-second": paced,
  "kserve/unary/200-tokens": unary,
  "kserve/tensors/8-mb": tensors,
});

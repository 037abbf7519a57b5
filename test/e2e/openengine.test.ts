import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { FinishReason, GenerateRequestSchema, GenerateResponseSchema } from "#gen/openengine/v1/generation_pb";
import { Control } from "#gen/openengine/v1/openengine_pb";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { Cluster, readMetric } from "../support/cluster.ts";
import { freePort } from "../support/free-port.ts";

const scale = Number(process.env.TEST_SCALE ?? 1);
const cluster = new Cluster();
const closes: (() => void)[] = [];

afterEach(async () => {
  for (const close of closes.splice(0)) close();
  await cluster.close();
});

// Debian's Python: the one that its packages python3-grpcio and python3-protobuf belong to.
const PYTHON = "/usr/bin/python3";

function pythonMissing(): string {
  try {
    execFileSync(PYTHON, ["-c", "import grpc, google.protobuf"], {
      stdio: "ignore",
    });
    return "";
  } catch {
    if (process.env.CI) throw new Error("apt-get install python3-grpcio python3-protobuf");
    return " (skipped: python3-grpcio and python3-protobuf are missing)";
  }
}

describe(`a Python client with nothing but an address${pythonMissing()}`, () => {
  it.skipIf(pythonMissing() !== "")("learns openengine.v1 by reflection and uses it", async () => {
    const { address } = await cluster.worker("--mock-speed", "5");
    const script = fileURLToPath(new URL("openengine-foreign.py", import.meta.url));
    const { stdout } = await promisify(execFile)(PYTHON, [script, address], { timeout: 100_000 });
    const seen = JSON.parse(stdout) as Record<string, unknown>;
    expect(seen.services).toEqual([
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "openengine.v1.Control",
      "openengine.v1.Inference",
      "stator.worker.v1.ArtifactService",
      "stator.worker.v1.KvEventService",
      "stator.worker.v1.PayloadService",
      "stator.worker.v1.WorkerAdminService",
      "stator.worker.v1.WorkerLinkService",
    ]);
    expect(seen.inference).toEqual([
      ["Generate", "openengine.v1.GenerateRequest", "openengine.v1.GenerateResponse", false, true],
    ]);
    expect(seen.control).toEqual(Control.methods.map(({ name }) => name).sort());
    expect(seen.server).toMatchObject({
      engine_name: "stator-mock",
      engine_role: "ENGINE_ROLE_AGGREGATED",
      supported_models: ["stator-mock"],
      schema_revision: 1,
    });
    expect(seen.model).toMatchObject({ served_model_name: "stator-mock", supports_text_input: true });
    expect(seen.health).toMatchObject({
      state: "HEALTH_STATE_READY",
      checks: expect.arrayContaining([{ name: "inference_probe", state: "HEALTH_STATE_READY" }]),
    });
    expect(seen.text).toMatch(/^( [a-z]+|\.){12}$/);
    expect(seen.messages).toEqual([...Array<string>(12).fill("token"), "finished"]);
    expect(seen.explicit).toBe(true);
    expect(seen.finished).toMatchObject({
      request_id: "text",
      finished: { output_index: 0, reason: "FINISH_REASON_LENGTH" },
      usage: { completion_tokens: 12 },
    });
    expect(seen).toMatchObject({
      cancelled: "CANCELLED",
      duplicate: "ALREADY_EXISTS",
      aborted: "FINISH_REASON_CANCELLED",
      repeated: "INVALID_ARGUMENT",
      urgent: "2 messages",
      empty: "INVALID_ARGUMENT",
      impatient: "DEADLINE_EXCEEDED",
      left: 0,
    });
  });
});

const PATH = "/openengine.v1.Inference/Generate";

function ask(name: string, maxTokens: number): Buffer {
  const request = create(GenerateRequestSchema, {
    requestId: name,
    input: { case: "prompt", value: "What is a fox?" },
    sampling: { temperature: 0 },
    stopping: { maxTokens, ignoreEos: true },
  });
  return Buffer.from(toBinary(GenerateRequestSchema, request));
}

const bytes = (buffer: Buffer) => buffer;

/** A call as a stranger makes it. `leave` cancels it at its first message, or before. */
function call(client: Client, name: string, { maxTokens = 30_000, leave = "" } = {}) {
  const stream = client.makeServerStreamRequest(PATH, bytes, bytes, ask(name, maxTokens));
  const ids: number[] = [];
  let finish: FinishReason | undefined;
  stream.on("data", (data: Buffer) => {
    const { event } = fromBinary(GenerateResponseSchema, data);
    if (event.case === "token") ids.push(...event.value.tokens.map(({ tokenId }) => tokenId));
    if (event.case === "finished") finish = event.value.reason;
    if (leave !== "") stream.cancel();
  });
  const code = new Promise<number>((resolve) => {
    stream.on("error", (error: { code?: number }) => resolve(error.code ?? -1));
    stream.on("end", () => resolve(0));
  });
  // Not in this turn: grpc-js 1.14 opens a stream afterwards that it never resets.
  if (leave === "before") setImmediate(() => stream.cancel());
  return { ids, code, finish: () => finish };
}

describe("many calls that one foreign client cancels", () => {
  // A peer may reset 20,000 streams at once; beyond, its session is closed.
  const CANCELS = Math.min(20_000, Math.round(5_000 * scale));
  const SIDE_BY_SIDE = 200;

  it(`take no innocent stream along, and slots return to zero (${CANCELS} calls)`, { timeout: 300_000 }, async () => {
    const metricsPort = String(await freePort());
    const { address } = await cluster.worker("--mock-speed", "0", "--metrics-port", metricsPort);
    // grpc-js as it comes: one session for everything.
    const client = new Client(address, credentials.createInsecure());
    const channel = new Channel(address, loopbackCredentials, systemClock);
    closes.push(
      () => client.close(),
      () => channel.close(),
    );
    const control = createClient(Control, channel);
    const running = async () => (await control.getLoad({})).runningRequests;
    const alone = call(client, "alone", { maxTokens: 200 });
    expect(await alone.code).toBe(0);
    const innocent = call(client, "innocent");
    await expect.poll(() => innocent.ids.length).toBeGreaterThan(0);
    const codes = new Map<number, number>();
    let started = 0;
    const run = async () => {
      while (started < CANCELS) {
        const at = started++;
        const code = await call(client, `r${at}`, { leave: at % 4 === 0 ? "before" : "at its first message" }).code;
        codes.set(code, (codes.get(code) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: SIDE_BY_SIDE }, run));
    expect(codes).toEqual(new Map([[status.CANCELLED, CANCELS]]));
    await expect.poll(running, { timeout: 30_000 }).toBe(1);
    const before = innocent.ids.length;
    await expect.poll(() => innocent.ids.length, { timeout: 30_000 }).toBeGreaterThan(Math.max(before, 200));
    await control.abort({ target: { case: "requestId", value: "innocent" } });
    expect(await innocent.code).toBe(0);
    expect(innocent.finish()).toBe(FinishReason.CANCELLED);
    expect(innocent.ids.slice(0, 200)).toEqual(alone.ids);
    await expect.poll(running, { timeout: 30_000 }).toBe(0);
    expect((await control.getLoad({})).queuedRequests).toBe(0);
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    expect(readMetric(text, "stator_rpc_sessions_closed_total")).toBe(0);
    expect(readMetric(text, "stator_worker_open_requests")).toBe(0);
    expect(readMetric(text, "stator_rpc_resets_total")).toBeGreaterThan(CANCELS * 0.7);
  });
});

describe("an adapter that a stranger loads into a worker", () => {
  it("is a model of the front door until it is unloaded", async () => {
    const hub = await cluster.hub();
    const discovery = ["--discovery", `hub://${hub.address}`];
    const folder = mkdtempSync(join(tmpdir(), "stator-adapters-"));
    closes.push(() => rmSync(folder, { recursive: true }));
    const sourcePath = join(folder, "pirate.gguf");
    writeFileSync(sourcePath, "the mock does not read it");
    const { address } = await cluster.worker(...discovery, "--mock-speed", "5", "--adapter-folder", folder);
    await cluster.worker(...discovery, "--mock-speed", "5");
    const frontend = await cluster.frontend(...discovery);
    const channel = new Channel(address, loopbackCredentials, systemClock);
    closes.push(() => channel.close());
    const control = createClient(Control, channel);
    const names = async () => {
      const body = (await (await fetch(`http://${frontend.address}/v1/models`)).json()) as { data: { id: string }[] };
      return body.data.map(({ id }) => id).sort();
    };
    const ask = async (model: string) => {
      const body = JSON.stringify({ model, prompt: "What is a fox?", max_tokens: 8, temperature: 0 });
      const headers = { "content-type": "application/json" };
      const response = await fetch(`http://${frontend.address}/v1/completions`, { method: "POST", headers, body });
      const text = ((await response.json()) as { choices?: { text: string }[] }).choices?.[0]?.text;
      return { status: response.status, worker: response.headers.get("x-stator-worker"), text };
    };
    await expect.poll(names, { timeout: 20_000 }).toEqual(["stator-mock"]);
    await expect.poll(async () => (await ask("stator-mock")).status, { timeout: 20_000 }).toBe(200);
    const plain = await ask("stator-mock");
    expect((await ask("pirate")).status).toBe(404);
    const foreign = control.loadLora({ adapter: { loraId: 1n, loraName: "pirate", sourcePath: "/dev/zero" } });
    await expect(foreign).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
    await control.loadLora({ adapter: { loraId: 1n, loraName: "pirate", sourcePath } });
    await expect.poll(names, { timeout: 20_000 }).toEqual(["pirate", "stator-mock"]);
    const { instanceId } = await control.getServerInfo({});
    for (let at = 0; at < 6; at++) {
      const adapted = await ask("pirate");
      expect(adapted).toMatchObject({ status: 200, worker: instanceId });
      expect(adapted.text).not.toBe(plain.text);
    }
    await control.unloadLora({ loraName: "pirate" });
    await expect.poll(names, { timeout: 20_000 }).toEqual(["stator-mock"]);
    expect((await ask("pirate")).status).toBe(404);
    expect((await ask("stator-mock")).text).toBe(plain.text);
    expect(cluster.complaints).toEqual([]);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { printRegionPart } from "#lib/api/kserve/region";
import { asStatorError } from "#lib/base/errors";
import { openClient } from "#lib/rpc/open-client";
import { Cluster, readMetric } from "../support/cluster.ts";
import { TestObjects } from "../support/shared-object.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stator-operators-"));
const objects = new TestObjects();
const cluster = new Cluster();
const closing: (() => void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await cluster.close();
  expect(cluster.complaints).toEqual([]);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
  objects.remove();
});

async function openCluster(...workers: readonly (readonly string[])[]) {
  const hub = await cluster.hub();
  const discovery = ["--discovery", `hub://${hub.address}`];
  for (const args of workers) await cluster.worker(...discovery, ...args);
  const frontend = await cluster.frontend(...discovery);
  const base = `http://${frontend.address}`;
  const { operators } = (await (await fetch(`${base}/health`)).json()) as { operators: string };
  const { client, close } = openClient(GRPCInferenceService, operators);
  closing.push(close);
  return { base, client, frontend };
}

const reasonOf = (error: unknown): string => asStatorError(error).reason;

async function complete(base: string, model: string): Promise<number> {
  const answer = await fetch(`${base}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, prompt: "Hello", max_tokens: 2 }),
  });
  await answer.text();
  return answer.status;
}

test("an adapter loads on every worker by its name, is served at once, and is gone when it is unloaded", async () => {
  writeFileSync(path.join(folder, "pirate.gguf"), "an adapter of the mock may be anything");
  const own = ["--adapter-folder", folder];
  const { base, client } = await openCluster(own, own);
  await expect.poll(async () => (await fetch(`${base}/health`)).status, { timeout: 30_000 }).toBe(200);
  const { data } = (await (await fetch(`${base}/v1/models`)).json()) as { data: { id: string }[] };
  const [model] = data.map(({ id }) => id);
  expect(await complete(base, "pirate")).toBe(404);
  expect(await client.repositoryModelLoad({ modelName: "sailor" }).catch(reasonOf)).toBe("LOAD_REFUSED");
  expect(await client.repositoryModelLoad({ modelName: model ?? "" }).catch(reasonOf)).toBe("LOAD_REFUSED");
  expect(await client.repositoryModelLoad({ repositoryName: "pirate" })).toMatchObject({
    ...{ modelName: "pirate", isLoaded: true },
  });
  expect(await Promise.all([1, 2, 3, 4].map(() => complete(base, "pirate")))).toEqual([200, 200, 200, 200]);
  await client.repositoryModelUnload({ modelName: "pirate" });
  expect([404, 503]).toContain(await complete(base, "pirate"));
  expect(await client.repositoryModelUnload({ modelName: "pirate" }).catch(reasonOf)).toBe("LOAD_REFUSED");
});

/** A client of a worker of tensors, or of a frontend with one. */
async function openTensors(at: "a worker" | "a frontend") {
  if (at === "a frontend") {
    const { client } = await openCluster(["--engine", "tensor"]);
    await expect.poll(() => client.modelReady({ name: "simple" }), { timeout: 30_000 }).toMatchObject({ ready: true });
    return client;
  }
  const { address } = await cluster.worker("--engine", "tensor");
  const { client, close } = openClient(GRPCInferenceService, address);
  closing.push(close);
  return client;
}

test.each(["a worker", "a frontend"] as const)(
  "a model of tensors behind %s reads its inputs from memory that a client registered, and writes its outputs there",
  async (at) => {
    const client = await openTensors(at);
    const numbers = (from: number) => Int32Array.from({ length: 16 }, (_, at) => from + at);
    const [first, second] = [numbers(1), numbers(100)];
    const input = objects.create(Buffer.concat([first, second].map(({ buffer }) => Buffer.from(buffer))));
    const output = objects.create(128);
    await client.systemSharedMemoryUnregister({ name: "" });
    await client.cudaSharedMemoryUnregister({ name: "" });
    await client.systemSharedMemoryRegister({ name: "input_data", key: input.key, byteSize: 128n });
    await client.systemSharedMemoryRegister({ name: "output_data", key: output.key, byteSize: 128n });
    const part = (region: string, offsetBytes: number) => printRegionPart({ region, offsetBytes, lengthBytes: 64 });
    const request = {
      modelName: "simple",
      inputs: [
        { name: "INPUT0", datatype: "INT32", shape: [1n, 16n], parameters: part("input_data", 0) },
        { name: "INPUT1", datatype: "INT32", shape: [1n, 16n], parameters: part("input_data", 64) },
      ],
      outputs: [
        { name: "OUTPUT0", parameters: part("output_data", 0) },
        { name: "OUTPUT1", parameters: part("output_data", 64) },
      ],
    };
    const answer = await client.modelInfer(request);
    expect(answer.rawOutputContents.map(({ length }) => length)).toEqual([0, 0]);
    const { buffer, byteOffset } = output.read();
    const made = new Int32Array(buffer.slice(byteOffset, byteOffset + 128));
    expect([...made.subarray(0, 16)]).toEqual([...first].map((value, at) => value + (second[at] ?? 0)));
    expect([...made.subarray(16)]).toEqual([...first].map((value, at) => value - (second[at] ?? 0)));
    async function* once() {
      yield request;
    }
    output.write(Buffer.alloc(128));
    const errors: string[] = [];
    for await (const { errorMessage } of client.modelStreamInfer(once())) errors.push(errorMessage);
    expect(errors).toEqual([""]);
    expect(output.read()).toEqual(Buffer.from(made.buffer));
    input.cut(100);
    expect(await client.modelInfer(request).catch(reasonOf)).toBe("INVALID_ARGUMENT");
    await client.systemSharedMemoryUnregister({ name: "input_data" });
    expect(await client.modelInfer(request).catch(reasonOf)).toBe("NOT_FOUND");
  },
);

test("a running frontend's log is turned, and its regions are counted and go with it", async () => {
  const { base, client, frontend } = await openCluster([]);
  const { key } = objects.create(64);
  await client.systemSharedMemoryRegister({ name: "in", key, offset: 0n, byteSize: 64n });
  const metrics = await (await fetch(`${base}/metrics`)).text();
  expect(readMetric(metrics, "stator_shared_memory_regions")).toBe(1);
  expect(readMetric(metrics, "stator_shared_memory_region_bytes")).toBe(64);
  expect((await client.traceSetting({})).settings.trace_level?.value).toEqual(["OFF"]);
  const off = { parameterChoice: { case: "boolParam", value: false } } as const;
  await client.logSettings({ settings: { log_info: off } });
  const before = frontend.program.stderr.length;
  expect(await complete(base, "nobody")).toBe(404);
  await client.systemSharedMemoryUnregister({ name: "" });
  expect(frontend.program.stderr.slice(before)).toBe("");
});

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, expect, test } from "vitest";
import { type ModelInferRequest, ModelInferRequestSchema, ModelInferResponseSchema } from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { printRegionPart, readRegionPart } from "#lib/api/kserve/region";
import { SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { createClient } from "#lib/rpc/client";
import { DirectTransport } from "#lib/rpc/direct";
import { createService } from "#lib/rpc/service";
import { TestObjects } from "../../test/support/shared-object.ts";
import type { SharedLimits } from "./limits.ts";
import { PassedRegions } from "./passed-regions.ts";
import { createSharedMemoryCalls } from "./shared-memory-calls.ts";
import { SharedRegions } from "./shared-regions.ts";

const objects = new TestObjects();
const elsewhere = mkdtempSync(path.join(tmpdir(), "stator-regions-"));
const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => {
  objects.remove();
  rmSync(elsewhere, { recursive: true });
});

const bytesOf = (length: number, first = 1) => Uint8Array.from({ length }, (_, at) => first + at);

/** A worker with regions of its own, and the calls that it got. */
function openWorker(options: { folder?: string; limits?: Partial<SharedLimits> } = {}) {
  const regions = new SharedRegions(options);
  const heard: string[] = [];
  const fault: { now?: StatorError } = {};
  const calls = createSharedMemoryCalls(regions);
  const note = (call: string): void => {
    heard.push(call);
    if (fault.now) throw fault.now;
  };
  const service = createService(
    GRPCInferenceService,
    {
      systemSharedMemoryRegister(request) {
        note(request.name.includes("probe") ? "probe" : `register ${request.key}`);
        return calls.systemSharedMemoryRegister(request);
      },
      systemSharedMemoryUnregister(request) {
        note(request.name.includes("probe") ? "end of probe" : "unregister");
        return calls.systemSharedMemoryUnregister(request);
      },
    },
    { access: Access.OPERATOR },
  );
  const transport = new DirectTransport([service], { clock: systemClock, log: silentLog, metrics: noMetrics });
  closing.push(() => regions.close());
  return { regions, heard, fault, peer: { key: "worker", client: createClient(GRPCInferenceService, transport) } };
}

function openFrontend() {
  const regions = new SharedRegions();
  const passed = new PassedRegions({ regions, chance: new SeededChance(1n), log: silentLog });
  const { key } = objects.create(bytesOf(32));
  regions.register({ name: "mine", key, offsetBytes: 8, lengthBytes: 24 });
  closing.push(
    () => passed.close(),
    () => regions.close(),
  );
  return { regions, passed, key };
}

const part = (offsetBytes: number) => printRegionPart({ region: "mine", offsetBytes, lengthBytes: 8 });
const ask = (): ModelInferRequest =>
  create(ModelInferRequestSchema, {
    inputs: [
      { name: "A", datatype: "UINT8", shape: [8n], parameters: part(0) },
      { name: "B", datatype: "UINT8", shape: [2n] },
    ],
    outputs: [{ name: "X", parameters: part(16) }, { name: "Y" }],
    rawInputContents: [bytesOf(2)],
  });

async function enter(passed: PassedRegions, peer: Parameters<PassedRegions["enter"]>[1]) {
  const use = await passed.enter(ask(), peer);
  if (!use) throw new Error("the request names regions");
  return use;
}

test("a worker that sees the same objects gets names, reads and writes by them, and answers come back as the client's", async () => {
  const { passed, regions, key } = openFrontend();
  const worker = openWorker();
  const use = await enter(passed, worker.peer);
  expect(use.request.rawInputContents.map((raw) => raw.length)).toEqual([2]);
  const hold = worker.regions.hold(use.request);
  const filled = await hold?.fill(use.request);
  expect([...(filled?.rawInputContents[0] ?? [])]).toEqual([...bytesOf(8, 9)]);
  const answer = create(ModelInferResponseSchema, {
    outputs: [{ name: "X" }, { name: "Y" }],
    rawOutputContents: [bytesOf(3, 100), bytesOf(1)],
  });
  const placed = await hold?.place(answer);
  if (!placed) throw new Error("nothing is held");
  const told = await use.answer(placed);
  expect(readRegionPart(told.outputs[0]?.parameters ?? {}, "X")).toEqual({
    ...{ region: "mine", offsetBytes: 16, lengthBytes: 3 },
  });
  hold?.release();
  use.release();
  (await enter(passed, worker.peer)).release();
  expect(worker.heard).toEqual(["probe", "end of probe", `register ${key}`]);
  expect([regions.copiedBytes, regions.movedBytes]).toEqual([0, { in: 0, out: 0 }]);
  expect(readdirSync("/dev/shm").filter((name) => name.includes("probe"))).toEqual([]);
});

test("a worker keeps a region until the last request with it has ended here", async () => {
  const { passed, regions } = openFrontend();
  const worker = openWorker();
  const use = await enter(passed, worker.peer);
  regions.unregister("mine");
  await expect(passed.enter(ask(), worker.peer)).rejects.toMatchObject({ reason: "NOT_FOUND" });
  expect(worker.heard).not.toContain("unregister");
  expect(worker.regions.open).toBe(1);
  use.release();
  await expect.poll(() => worker.regions.open).toBe(0);
});

test("for a worker that sees other objects inputs are copied here, and outputs placed", async () => {
  const { passed, regions, key } = openFrontend();
  const worker = openWorker({ folder: elsewhere });
  for (let times = 0; times < 2; times++) {
    const use = await enter(passed, worker.peer);
    expect(use.request.rawInputContents.map((raw) => raw.length)).toEqual([8, 2]);
    expect(regions.copiedBytes).toBe(8);
    const answer = create(ModelInferResponseSchema, { outputs: [{ name: "X" }], rawOutputContents: [bytesOf(3)] });
    expect((await use.answer(answer)).rawOutputContents).toEqual([new Uint8Array(0)]);
    use.release();
  }
  expect(worker.heard).toEqual(["probe"]);
  expect([regions.copiedBytes, regions.movedBytes]).toEqual([0, { in: 16, out: 6 }]);
  expect(key).toBeDefined();
});

test("a key that somebody else took is not passed on: the worker would open another object", async () => {
  const { passed } = openFrontend();
  const regions = new SharedRegions();
  const swapped = new PassedRegions({ regions, chance: new SeededChance(2n), log: silentLog });
  const object = objects.create(bytesOf(24));
  regions.register({ name: "mine", key: object.key, offsetBytes: 0, lengthBytes: 24 });
  object.unlink();
  object.write(bytesOf(24, 200));
  const worker = openWorker();
  const use = await enter(swapped, worker.peer);
  expect([...(use.request.rawInputContents[0] ?? [])]).toEqual([...bytesOf(8)]);
  expect(worker.heard).toEqual(["probe", "end of probe"]);
  use.release();
  regions.close();
  await swapped.close();
  await passed.close();
});

test("a worker with no room is not asked for the same region again; one that was away is", async () => {
  const { passed, key } = openFrontend();
  const full = openWorker({ limits: { regionBytes: 8 } });
  for (let times = 0; times < 2; times++) (await enter(passed, full.peer)).release();
  expect(full.heard).toEqual(["probe", "end of probe", `register ${key}`]);
  const away = openWorker();
  away.fault.now = new StatorError("UNAVAILABLE", { what: "It", detail: "gone" });
  const peer = { ...away.peer, key: "another" };
  const first = await enter(passed, peer);
  expect(first.request.rawInputContents).toHaveLength(2);
  first.release();
  delete away.fault.now;
  const second = await enter(passed, peer);
  expect(second.request.rawInputContents).toHaveLength(1);
  second.release();
});

test("a worker that refused is told again, since it may have forgotten", async () => {
  const { passed, regions, key } = openFrontend();
  const worker = openWorker();
  const use = await enter(passed, worker.peer);
  worker.regions.clear();
  use.release(true);
  const again = await enter(passed, worker.peer);
  expect(worker.regions.open).toBe(1);
  again.release(true);
  (await enter(passed, worker.peer)).release();
  expect(worker.heard).toEqual(["probe", "end of probe", ...Array<string>(3).fill(`register ${key}`)]);
  regions.clear();
  await expect.poll(() => worker.regions.open).toBe(0);
});

test("a request without regions is not touched, and what is refused holds nothing", async () => {
  const { passed, regions } = openFrontend();
  const { peer } = openWorker({ folder: elsewhere });
  expect(await passed.enter(create(ModelInferRequestSchema, { inputs: [{ name: "A" }] }), peer)).toBeUndefined();
  const wrong = { ...ask(), rawInputContents: [] };
  await expect(passed.enter(wrong, peer)).rejects.toMatchObject({ reason: "INVALID_FIELD" });
  regions.clear();
  expect([regions.open, regions.copiedBytes]).toEqual([0, 0]);
});

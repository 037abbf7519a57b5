import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, readdirSync, readlinkSync, symlinkSync } from "node:fs";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, expect, test } from "vitest";
import {
  type ModelInferRequest,
  ModelInferRequestSchema,
  type ModelInferResponse,
  ModelInferResponseSchema,
} from "#gen/inference/infer_pb";
import { printRegionPart, readRegionPart } from "#lib/api/kserve/region";
import { createMetrics } from "#lib/host/metrics";
import { type TestObject, TestObjects } from "../../test/support/shared-object.ts";
import { SHARED_INSTRUMENTS, scrapeRegions } from "./instruments.ts";
import type { SharedLimits } from "./limits.ts";
import type { Region } from "./region.ts";
import { SharedRegions } from "./shared-regions.ts";

const objects = new TestObjects();
afterAll(() => objects.remove());

const opened: SharedRegions[] = [];

const bytesOf = (length: number, first = 1) => Uint8Array.from({ length }, (_, at) => (first + at) % 251);

function open(limits: Partial<SharedLimits> = {}): SharedRegions {
  const regions = new SharedRegions({ limits });
  opened.push(regions);
  return regions;
}

afterEach(() => {
  for (const regions of opened.splice(0)) regions.close();
});

function register(regions: SharedRegions, name: string, object: TestObject, part: Partial<Range> = {}): void {
  const { offset: offsetBytes = 0, length = object.read().length } = part;
  regions.register({ name, key: object.key, offsetBytes, lengthBytes: length });
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** A request with inputs A, B, … and outputs X, Y, …, each in a part of a region or, where that is undefined, raw. */
function ask(
  inputs: readonly ((Range & { readonly region: string }) | Uint8Array)[],
  outputs: readonly (Range & { readonly region: string })[] = [],
): ModelInferRequest {
  const parameters = ({ region, offset, length }: Range & { readonly region: string }) =>
    printRegionPart({ region, offsetBytes: offset, lengthBytes: length });
  return create(ModelInferRequestSchema, {
    id: "7",
    inputs: inputs.map((input, at) => ({
      name: String.fromCharCode(65 + at),
      datatype: "UINT8",
      shape: [BigInt(input.length)],
      parameters: input instanceof Uint8Array ? {} : parameters(input),
    })),
    outputs: outputs.map((output, at) => ({ name: String.fromCharCode(88 + at), parameters: parameters(output) })),
    rawInputContents: inputs.filter((input) => input instanceof Uint8Array),
  });
}

function answer(...contents: readonly Uint8Array[]): ModelInferResponse {
  return create(ModelInferResponseSchema, {
    outputs: contents.map((_, at) => ({ name: String.fromCharCode(88 + at), datatype: "UINT8" })),
    rawOutputContents: [...contents],
  });
}

function held(regions: SharedRegions, request: ModelInferRequest) {
  const hold = regions.hold(request);
  if (!hold) throw new Error("nothing is held");
  return hold;
}

/** Memory objects of this file that are open in this process. */
function openObjects(): string[] {
  return readdirSync("/proc/self/fd").flatMap((name) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`);
      return target.startsWith(`/dev/shm/stator-${process.pid}-`) ? [target] : [];
    } catch {
      return []; // That of the folder itself is closed meanwhile.
    }
  });
}

test("inputs come out of their regions in the order of the inputs, beside those that travelled", async () => {
  const regions = open();
  const object = objects.create(bytesOf(64));
  register(regions, "in", object, { offset: 8, length: 32 });
  const request = ask([{ region: "in", offset: 4, length: 8 }, bytesOf(3), { region: "in", offset: 0, length: 32 }]);
  const hold = held(regions, request);
  const filled = await hold.fill(request);
  expect(filled.rawInputContents.map((raw) => [...raw])).toEqual(
    [bytesOf(8, 13), bytesOf(3), bytesOf(32, 9)].map((raw) => [...raw]),
  );
  expect(filled.inputs.map(({ name, parameters }) => [name, parameters])).toEqual([
    ["A", {}],
    ["B", {}],
    ["C", {}],
  ]);
  expect(filled.id).toBe("7");
  expect(request.inputs[0]?.parameters).not.toEqual({});
  expect([regions.copiedBytes, regions.movedBytes.in]).toEqual([40, 40]);
  hold.release();
  hold.release();
  expect(regions.copiedBytes).toBe(0);
  expect(regions.hold(ask([bytesOf(1)]))).toBeUndefined();
});

test("outputs go into their regions; the answer says where and how long, and keeps the places of the others", async () => {
  const regions = open();
  const object = objects.create(64);
  register(regions, "out", object, { offset: 16, length: 40 });
  const request = ask([bytesOf(1)], [{ region: "out", offset: 4, length: 10 }]);
  const hold = held(regions, request);
  const filled = await hold.fill(request);
  expect(filled.outputs.map(({ name, parameters }) => [name, parameters])).toEqual([["X", {}]]);
  const placed = await hold.place(answer(bytesOf(6), bytesOf(2)));
  expect([...object.read().subarray(16, 32)]).toEqual([0, 0, 0, 0, ...bytesOf(6), 0, 0, 0, 0, 0, 0]);
  expect(placed.rawOutputContents.map((raw) => raw.length)).toEqual([0, 2]);
  expect(readRegionPart(placed.outputs[0]?.parameters ?? {}, "X")).toEqual({
    ...{ region: "out", offsetBytes: 4, lengthBytes: 6 },
  });
  await expect(hold.place(answer(bytesOf(11)))).rejects.toMatchObject({
    message: "The output X has 11 bytes, and its place in the shared memory region out has 10.",
  });
  expect(regions.movedBytes.out).toBe(6);
  hold.release();
  await expect(hold.place(answer(bytesOf(1)))).rejects.toMatchObject({ reason: "CANCELLED" });
  await expect(hold.fill(request)).rejects.toMatchObject({ reason: "CANCELLED" });
});

test("two requests at once read and write one region, each its own part", async () => {
  const regions = open();
  const object = objects.create(bytesOf(1 << 20));
  register(regions, "both", object);
  const half = 1 << 19;
  const run = async (offset: number) => {
    const request = ask([{ region: "both", offset, length: half }], [{ region: "both", offset, length: half }]);
    const hold = held(regions, request);
    const { rawInputContents } = await hold.fill(request);
    await hold.place(answer((rawInputContents[0] ?? new Uint8Array(0)).map((byte) => 255 - byte)));
    hold.release();
  };
  await Promise.all([run(0), run(half)]);
  expect(object.read().equals(bytesOf(1 << 20).map((byte) => 255 - byte))).toBe(true);
  expect([regions.copiedBytes, regions.open]).toEqual([0, 1]);
});

test("an object that was cut after it was registered is a typed error, and is not made longer again", async () => {
  const regions = open();
  const object = objects.create(8192);
  register(regions, "cut", object);
  const request = ask([{ region: "cut", offset: 4096, length: 4096 }], [{ region: "cut", offset: 4096, length: 4096 }]);
  const hold = held(regions, request);
  object.cut(4100);
  const error = {
    reason: "INVALID_ARGUMENT",
    message: `The memory object ${object.key} is shorter now than when the region cut of it was registered.`,
  };
  await expect(hold.fill(request)).rejects.toMatchObject(error);
  await expect(hold.place(answer(bytesOf(5)))).rejects.toMatchObject(error);
  await hold.place(answer(bytesOf(4)));
  expect(object.read().length).toBe(4100);
  hold.release();
  expect(regions.copiedBytes).toBe(0);
});

test("a region that is unregistered in use stays open until its request ends, and its name is free at once", async () => {
  const regions = open();
  const [first, second] = [objects.create(bytesOf(16)), objects.create(bytesOf(16, 100))];
  const closed: string[] = [];
  const end = regions.onClose((region: Region) => closed.push(region.description.key));
  register(regions, "in", first);
  const request = ask([{ region: "in", offset: 0, length: 16 }], [{ region: "in", offset: 0, length: 16 }]);
  const hold = held(regions, request);
  regions.unregister("in");
  first.unlink();
  expect(() => regions.hold(request)).toThrow("The shared memory region in was not found");
  register(regions, "in", second);
  expect(regions.open).toBe(2);
  expect([...((await hold.fill(request)).rawInputContents[0] ?? [])]).toEqual([...bytesOf(16)]);
  await hold.place(answer(bytesOf(16, 50)));
  expect([...second.read()]).toEqual([...bytesOf(16, 100)]);
  expect(closed).toEqual([]);
  hold.release();
  expect([regions.open, closed]).toEqual([1, [first.key]]);
  end();
  regions.close();
  expect([regions.open, regions.openBytes, closed]).toEqual([0, 0, [first.key]]);
});

test("a release while a copy is under way lets the copy end before the object is closed", async () => {
  const regions = open();
  const object = objects.create(bytesOf(4 << 20));
  register(regions, "in", object);
  const request = ask([{ region: "in", offset: 0, length: 4 << 20 }]);
  const hold = held(regions, request);
  const filled = hold.fill(request);
  hold.release();
  regions.close();
  expect(regions.open).toBe(1);
  expect((await filled).rawInputContents[0]?.length).toBe(4 << 20);
  expect(regions.open).toBe(0);
});

test("no descriptor stays open, whatever is refused", async () => {
  const regions = open({ regions: 1 });
  const object = objects.create(16);
  for (let times = 0; times < 20; times++) {
    expect(() => register(regions, "long", object, { offset: 8, length: 9 })).toThrow();
    register(regions, "in", object);
    expect(() => register(regions, "more", object)).toThrow();
    regions.clear();
  }
  register(regions, "in", object);
  expect(openObjects()).toContain(`/dev/shm${object.key}`);
  regions.clear();
  await expect.poll(openObjects).toEqual([]);
});

test.each([
  "",
  "/",
  ".",
  "..",
  "/..",
  "../etc/passwd",
  "/../../etc/passwd",
  "//a",
  "a/b",
  "/a/b",
  "a\0b",
  "x".repeat(256),
])("the key %j leaves the folder or is none", (key) => {
  expect(() => open().register({ name: "in", key, offsetBytes: 0, lengthBytes: 1 })).toThrow(
    "key: expected the name of a memory object",
  );
});

test("a link, a folder, a pipe and nothing at all are not opened, and what a link leads to is not touched", () => {
  const regions = open();
  const object = objects.create(16);
  const [link, folder, pipe, away] = [objects.path(), objects.path(), objects.path(), objects.path()];
  symlinkSync(`/dev/shm${object.key}`, link);
  symlinkSync("/etc/passwd", away);
  mkdirSync(folder);
  execFileSync("mkfifo", [pipe]);
  const put = (file: string) => () =>
    regions.register({ name: "in", key: path.basename(file), offsetBytes: 0, lengthBytes: 1 });
  for (const file of [link, away]) expect(put(file)).toThrow("cannot be used: it is a link");
  for (const file of [folder, pipe]) expect(put(file)).toThrow("cannot be used: it is no memory object");
  expect(put(objects.path())).toThrow(expect.objectContaining({ reason: "NOT_FOUND" }));
  expect(regions.open).toBe(0);
  const hard = objects.path();
  linkSync(`/dev/shm${object.key}`, hard);
  put(hard)();
});

test.each([
  ["an empty region", { lengthBytes: 0 }, "byte_size: expected"],
  ["a negative length", { lengthBytes: -1 }, "byte_size: expected"],
  ["half a byte", { lengthBytes: 0.5 }, "byte_size: expected"],
  ["a negative offset", { offsetBytes: -1 }, "offset: expected"],
  ["a length beyond all numbers", { lengthBytes: 2 ** 53 }, "byte_size: expected"],
  ["one byte too many", { lengthBytes: 17 }, "ends at byte 17, and the memory object"],
  ["a place beyond the object", { offsetBytes: 2 ** 52, lengthBytes: 1 }, "and the memory object"],
  ["no name", { name: "" }, "name: expected"],
  ["a name without end", { name: "n".repeat(257) }, "name: expected"],
])("%s is not registered", (_, change, message) => {
  const { key } = objects.create(16);
  const description = { name: "in", key, offsetBytes: 0, lengthBytes: 16, ...change };
  expect(() => open({ regionBytes: 2 ** 53 }).register(description)).toThrow(message);
});

test("the same name is not registered twice, and parts of a request end within their region", () => {
  const regions = open();
  const object = objects.create(16);
  register(regions, "in", object);
  expect(() => register(regions, "in", object)).toThrow(expect.objectContaining({ reason: "ALREADY_EXISTS" }));
  for (const [offset, length] of [
    [0, 17],
    [16, 1],
    [2 ** 53 - 1, 2 ** 53 - 1],
  ] as const) {
    expect(() => regions.hold(ask([{ region: "in", offset, length }]))).toThrow("of the shared memory region in");
  }
  held(regions, ask([{ region: "in", offset: 16, length: 0 }])).release();
});

test("every limit refuses what goes beyond it, and is counted", async () => {
  const object = objects.create(64);
  const regions = open({ regions: 2, regionBytes: 100, requestBytes: 40, copiedBytes: 60 });
  register(regions, "a", object);
  const limited = expect.objectContaining({ reason: "LIMIT" });
  expect(() => register(regions, "b", object, { length: 37 })).toThrow(limited);
  register(regions, "b", object, { length: 36 });
  regions.unregister("a");
  register(regions, "a", object);
  expect(() => register(regions, "c", object, { length: 1 })).toThrow(limited);
  const whole = ask([{ region: "a", offset: 0, length: 40 }]);
  const [first, second] = [held(regions, whole), held(regions, whole)];
  await first.fill(whole);
  await expect(second.fill(whole)).rejects.toMatchObject({ reason: "OVERLOADED" });
  first.release();
  await second.fill(whole);
  second.release();
  const twice = ask([
    { region: "a", offset: 0, length: 40 },
    { region: "a", offset: 0, length: 1 },
  ]);
  const third = held(regions, twice);
  await expect(third.fill(twice)).rejects.toThrow("has 41 bytes of inputs in shared memory, and may have 40");
  third.release();
  expect(regions.refused).toEqual({ regions: 1, regionBytes: 1, requestBytes: 1, copiedBytes: 1 });
  const metrics = createMetrics([SHARED_INSTRUMENTS], { processMetrics: false });
  const end = scrapeRegions(metrics, regions);
  await metrics.print();
  const printed = await metrics.print();
  expect(printed).toContain('stator_shared_memory_refused_total{limit="copiedBytes"} 1');
  expect(printed).toContain('stator_shared_memory_moved_bytes_total{direction="in"} 80');
  expect(printed).toContain("stator_shared_memory_regions 2");
  end();
});

test("raw contents are those of the inputs that are in no region, neither more nor fewer", async () => {
  const regions = open();
  register(regions, "in", objects.create(16));
  const request = ask([{ region: "in", offset: 0, length: 4 }, bytesOf(2)]);
  for (const rawInputContents of [[], [bytesOf(1), bytesOf(1)]]) {
    const hold = held(regions, request);
    await expect(hold.fill({ ...request, rawInputContents })).rejects.toMatchObject({ row: { grpc: 3 } });
    hold.release();
  }
  expect(regions.copiedBytes).toBe(0);
});

test("typed contents beside a region become raw, and a part is as long as its tensor's shape says", async () => {
  const regions = open();
  register(regions, "in", objects.create(bytesOf(16)));
  const base = ask([{ region: "in", offset: 0, length: 4 }]);
  const typed = create(ModelInferRequestSchema, {
    inputs: [
      ...base.inputs,
      { name: "B", datatype: "INT32", shape: [2n], contents: { intContents: [1, -1] } },
      { name: "C", datatype: "BYTES", shape: [1n], contents: { bytesContents: [bytesOf(2)] } },
    ],
  });
  const hold = held(regions, typed);
  const { inputs, rawInputContents } = await hold.fill(typed);
  expect(inputs.every(({ contents }) => contents === undefined)).toBe(true);
  expect(rawInputContents.map((raw) => [...raw])).toEqual([
    [1, 2, 3, 4],
    [1, 0, 0, 0, 255, 255, 255, 255],
    [2, 0, 0, 0, 1, 2],
  ]);
  hold.release();
  const short = { ...base, inputs: base.inputs.map((input) => ({ ...input, shape: [5n] })) };
  const other = held(regions, short);
  await expect(other.fill(short)).rejects.toThrow("A: has 4 bytes, and its shape says 5 x 1");
  other.release();
});

test("an object that took the place of another is noticed", async () => {
  const regions = open();
  const object = objects.create(16);
  register(regions, "in", object);
  const request = ask([{ region: "in", offset: 0, length: 4 }]);
  const hold = held(regions, request);
  const region = hold.tensors.inputs[0]?.region;
  if (!region) throw new Error("nothing is held");
  expect(regions.isInPlace(region)).toBe(true);
  object.unlink();
  expect(regions.isInPlace(region)).toBe(false);
  object.write(bytesOf(16));
  expect(regions.isInPlace(region)).toBe(false);
  hold.release();
});

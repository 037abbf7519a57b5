import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CancelMode, KvSessionSchema, RequestKind, RoomSchema } from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { FakeTransferAgent } from "../../test/support/fake-transfer-agent.ts";
import { settle, WorkerRig } from "../../test/support/worker-rig.ts";

const layout = {
  layers: 1,
  blockTokens: 16,
  keyRowBytes: 2,
  valueRowBytes: 2,
  elementType: "f16",
  engineFormat: "f",
  order: "layer-kind",
} as const;
const session = create(KvSessionSchema, { sessionId: "s", transfer: "stator" });
const room = create(RoomSchema, { number: 7n, host: "h", port: 1 });
const STOPPING = { maxTokens: 100, minTokens: 3 };

let agent: FakeTransferAgent;
let rig: WorkerRig;
let wire: Awaited<ReturnType<WorkerRig["link"]>>;

beforeEach(async () => {
  agent = new FakeTransferAgent();
  rig = new WorkerRig({ layout }, { transfer: agent });
  Object.assign(rig.engine, { blocks: {} });
  await rig.start();
  wire = await rig.link();
});

afterEach(() => rig.worker.close());

const prefill = (more = {}) => rig.submit(wire.link, { kind: RequestKind.PREFILL, stopping: STOPPING, ...more });
const decode = (more = {}) => rig.submit(wire.link, { generatedTokenIds: writeU32([5]), ...more });

describe("a prefill", () => {
  it("draws one token, which comes at once, and keeps what was computed", async () => {
    const { heard, id } = await prefill({ cacheSalt: "salt", generatedTokenIds: writeU32([8, 9]) });
    expect(rig.engine.open.get(id)).toMatchObject({ stopping: { ...STOPPING, maxTokens: 3 }, cacheSalt: "salt" });
    rig.engine.step({ tokens: { [id]: [4] }, finishes: [{ id, reason: "length", completionTokens: 3 }] });
    await settle();
    expect(heard.tokens).toEqual([4]);
    expect(heard.finish).toMatchObject({ reason: "length", completionTokens: 3 });
    expect(heard.finish?.session).toMatchObject({ sessionId: "1", firstTokenIds: writeU32([4]) });
    expect(agent.kept).toMatchObject([
      { tokens: Uint32Array.of(1, 2, 8, 9), firstTokens: Uint32Array.of(4), cacheSalt: "salt", room: undefined },
    ]);
    expect(wire.kept.at(-1)).toEqual([1, 2]);
  });

  it.each([
    ["the model ended it", {}, { reason: "end" }],
    ["a stop token ended it", {}, { reason: "stop_token", stopToken: 4 }],
    ["it was to have one token", { stopping: { maxTokens: 1 } }, { reason: "length" }],
    [
      "it has all its tokens",
      { stopping: { maxTokens: 3 }, generatedTokenIds: writeU32([8, 9]) },
      { reason: "length" },
    ],
    ["the context is full", { promptTokenIds: writeU32(new Array<number>(511).fill(1)) }, { reason: "length" }],
    ["it failed", {}, { reason: "failed", error: new StatorError("ENGINE_FAILED", { detail: "no memory" }) }],
  ] as const)("keeps nothing of an answer that is over: %s", async (_, more, finish) => {
    const { heard, id } = await prefill({ ...more, room });
    rig.engine.step({ tokens: { [id]: [4] }, finishes: [{ id, ...finish }] });
    await settle();
    expect(heard.finish).toMatchObject({ reason: finish.reason });
    expect(heard.finish?.session).toBeUndefined();
    expect(agent.kept).toEqual([]);
    expect(agent.said.at(-1)).toBe(`room 7 ${finish.reason === "failed" ? "ENGINE_FAILED" : "CANCELLED"}`);
  });

  it("of a room is announced before it runs, and those who wait are told whatever becomes of it", async () => {
    const { id } = await prefill({ room });
    expect(agent.said).toEqual(["room 7 of 2"]);
    rig.engine.kv({ kind: "removed", hashes: BigUint64Array.of(1n) });
    const stored = { kind: "stored", parent: undefined, hashes: BigUint64Array.of(1n), adapter: undefined } as const;
    rig.engine.kv({ ...stored, tokens: new Uint32Array(16), cacheSalt: "" });
    expect(agent.said).toEqual(["room 7 of 2", "progressed"]);
    rig.engine.step({ tokens: { [id]: [4] }, finishes: [{ id, reason: "length" }] });
    expect(agent.kept).toMatchObject([{ room: 7n }]);
    rig.engine.refuse = new StatorError("OVERLOADED", { what: "the engine" });
    expect((await prefill({ room: { ...room, number: 8n } })).heard.said).toEqual(["finish OVERLOADED"]);
    expect(agent.said.slice(2)).toEqual(["room 8 of 2", "room 8 OVERLOADED"]);
  });

  it("is refused where as much is kept as may be, or its room", async () => {
    agent.isFull = true;
    expect((await prefill()).heard.said).toEqual(["finish OVERLOADED"]);
    agent.isFull = false;
    agent.refuse = new StatorError("LIMIT", { what: "Rooms", limit: 1 });
    expect((await prefill({ room })).heard.said).toEqual(["finish LIMIT"]);
    expect(rig.engine.open.size).toBe(0);
  });

  it("is told to be gone when its link ends", async () => {
    await prefill({ room });
    wire.link.close();
    await settle();
    rig.engine.finishCancelled();
    expect(agent.said.at(-1)).toBe("room 7 CANCELLED");
  });
});

describe("a leg that goes on", () => {
  const report = { blocks: 2, bytes: 64n, rung: "grpc" };

  it("is accepted at once, asks the engine when the blocks are there, and reports", async () => {
    const { heard } = await decode({ session, cacheSalt: "salt" });
    expect([heard.said, rig.engine.open.size]).toEqual([["accepted"], 0]);
    const [fetch] = agent.fetches;
    expect(fetch).toMatchObject({ prompt: { tokens: Uint32Array.of(1, 2, 5), cacheSalt: "salt" } });
    expect(fetch!.from).toMatchObject({ session: { sessionId: "s" } });
    fetch!.resolve({ firstTokens: Uint32Array.of(5), report });
    await settle();
    const [id] = rig.engine.ids;
    expect(rig.engine.open.get(id!)).toMatchObject({ generatedTokens: Uint32Array.of(5) });
    rig.engine.step({ tokens: { [id!]: [6] }, finishes: [{ id: id!, reason: "end", completionTokens: 2 }] });
    await settle();
    expect(heard).toMatchObject({ said: ["accepted", "finish end"], tokens: [6], finish: { transfer: report } });
  });

  it("of a room goes on from what the prefill drew", async () => {
    await rig.submit(wire.link, { room });
    agent.fetches[0]!.resolve({ firstTokens: Uint32Array.of(4), report });
    await settle();
    expect([...rig.engine.open.values()]).toMatchObject([{ generatedTokens: Uint32Array.of(4) }]);
  });

  it("fails with its room, and with an engine that refuses", async () => {
    const one = await rig.submit(wire.link, { room });
    agent.fetches[0]!.reject(new StatorError("STREAM_LOST", { detail: "gone" }));
    const two = await decode({ session });
    rig.engine.refuse = new StatorError("OVERLOADED", { what: "the engine" });
    agent.fetches[1]!.resolve({ firstTokens: Uint32Array.of(5), report });
    await settle();
    expect([one.heard.said, two.heard.said]).toEqual([
      ["accepted", "finish STREAM_LOST"],
      ["accepted", "finish OVERLOADED"],
    ]);
  });

  it("ends while its blocks come: by a cancel, at its deadline, with its link", async () => {
    const cancelled = await decode({ session });
    wire.link.cancel(cancelled.handle, CancelMode.STOP);
    const late = await decode({ session, deadlineMs: 100 });
    rig.clock.advance(100);
    await settle();
    expect(cancelled.heard.said).toEqual(["accepted", "finish cancelled"]);
    expect(late.heard.said).toEqual(["accepted", "finish DEADLINE"]);
    await decode({ session });
    wire.link.close();
    await settle();
    expect(agent.fetches.map(({ signal }) => signal.aborted)).toEqual([true, true, true]);
    expect(await rig.metrics.print()).toMatch(/^stator_worker_open_requests 0$/m);
  });

  it("is waited for by a drain, and by a worker that closes", async () => {
    const { heard } = await decode({ session });
    let isOver = false;
    const drained = rig.worker.drain(60_000).then(() => {
      isOver = true;
    });
    await settle();
    expect(isOver).toBe(false);
    agent.fetches[0]!.resolve({ firstTokens: Uint32Array.of(5), report });
    await settle();
    rig.engine.step({ finishes: [{ id: rig.engine.ids[0]!, reason: "end" }] });
    await drained;
    await settle();
    expect(heard.said).toEqual(["accepted", "finish end"]);
  });
});

it("what cannot be is refused by its name", async () => {
  const wrong = [
    { kind: RequestKind.PREFILL, session },
    { session, room },
    { kind: RequestKind.EMBED, session },
    { kind: RequestKind.EMBED, room },
  ];
  for (const more of wrong) {
    expect((await rig.submit(wire.link, more)).heard.said).toEqual(["finish INVALID_ARGUMENT"]);
  }
  expect(wire.link.welcome?.features).toEqual(["prefill", "session", "room"]);
});

it("callers hear what is kept, also when it goes without a step", async () => {
  const { id } = await prefill();
  rig.engine.step({ tokens: { [id]: [4] }, finishes: [{ id, reason: "length" }] });
  await settle();
  rig.clock.advance(250);
  await settle();
  expect(wire.kept).toEqual([[1, 2]]);
  agent.release(["1"]);
  rig.clock.advance(250);
  await settle();
  expect(wire.kept.slice(1)).toEqual([[0, 0]]);
});

it("callers who were told that there is no room hear at once that there is some", async () => {
  agent.isFull = true;
  const { id } = await prefill({ leg: undefined });
  rig.engine.step({ tokens: { [id]: [4] }, finishes: [{ id, reason: "length" }] });
  await settle();
  expect(wire.full).toEqual([true]);
  agent.sessions.add("1").add("2");
  agent.release(["1"]);
  expect(wire.full).toEqual([true]);
  agent.isFull = false;
  agent.release(["2"]);
  await settle();
  expect(wire.full).toEqual([true, false]);
});

it("a worker whose engine's blocks cannot move says so and takes no legs", async () => {
  const other = new WorkerRig({ layout }, { transfer: new FakeTransferAgent() });
  await other.start();
  const { link } = await other.link();
  expect(link.welcome?.features).toEqual([]);
  for (const more of [{ kind: RequestKind.PREFILL }, { session }, { room }]) {
    expect((await other.submit(link, more)).heard.said).toEqual(["finish UNSUPPORTED_FEATURE"]);
  }
  await other.worker.close();
  const wrong = new WorkerRig({}, { role: "prefill" });
  await expect(wrong.start()).rejects.toThrow("a fake engine keeps no blocks");
  expect(wrong.engine.closed).toBe(true);
  await wrong.worker.close();
});

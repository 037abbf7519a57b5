import { create } from "@bufbuild/protobuf";
import { afterEach, expect, test } from "vitest";
import { InstanceRecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { RequestKind, SubmitSchema, WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { createRpcFeed } from "#lib/events/rpc-feed";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { openCallerLink } from "#lib/link/caller-link";
import type { Transport } from "#lib/rpc/transport";
import { TokenHasher } from "#lib/tokens/block-hash";
import { FakeEngine } from "../../test/support/fake-engine.ts";
import { StillClock } from "../../test/support/still-clock.ts";
import { Heard, settle } from "../../test/support/worker-rig.ts";
import type { NearLimits } from "./near-limits.ts";
import { NearWorkers } from "./near-workers.ts";

const instance = (id: bigint) =>
  create(InstanceRecordSchema, { instanceId: id, incarnation: 9n, address: `there:${id}` });

/** Near workers whose engines a test holds: `opens` says what becomes of the next. */
class Rig {
  readonly clock = new StillClock();
  readonly engines: FakeEngine[] = [];
  readonly signals: AbortSignal[] = [];
  opens: (engine: FakeEngine, signal: AbortSignal) => Promise<FakeEngine> = async (engine) => engine;
  readonly near: NearWorkers;

  constructor(limits: Partial<NearLimits> = {}) {
    this.near = new NearWorkers({
      ...{ clock: this.clock, log: silentLog, metrics: noMetrics, hasher: new TokenHasher(), limits },
      openEngine: (_, signal) => {
        const engine = new FakeEngine({ blockTokens: 2 });
        this.engines.push(engine);
        this.signals.push(signal);
        return this.opens(engine, signal);
      },
    });
    rigs.push(this);
  }

  async link(way: Transport) {
    const said: string[] = [];
    const link = openCallerLink(way.open(WorkerLinkService.method.link), {
      ...{ caller: "test", features: [], clock: this.clock },
      listener: {
        onState: (state, reason) => void said.push(reason ? `${state} ${reason.reason}` : state),
        onWelcome: ({ instanceId, incarnation, models }) =>
          void said.push(`${instanceId} ${incarnation} ${models.join()}`),
        onStep() {},
        onNotice: ({ draining }) => void said.push(`draining ${draining}`),
      },
    });
    await settle();
    return { link, said };
  }

  /** What is told of the caches behind a way: kinds of messages, with the hashes that were stored. */
  async feed(way: Transport): Promise<string[]> {
    const heard: string[] = [];
    createRpcFeed(way).subscribe(
      { rank: 0, incarnation: 9n, fromId: 0n },
      {
        onMessage: (message) => {
          const changes = "changes" in message ? message.changes : [];
          heard.push([message.kind, ...changes.map(({ kind }) => kind)].join(" "));
        },
        onEnd: (error) => void heard.push(`end ${error?.reason}`),
      },
    );
    await settle();
    return heard;
  }
}

const rigs: Rig[] = [];
afterEach(async () => {
  for (const { near } of rigs.splice(0)) await near.close();
});

const SUBMIT = create(SubmitSchema, {
  ...{ requestId: "r", kind: RequestKind.GENERATE, model: "fake-model", promptTokenIds: writeU32([1, 2]) },
  stopping: { maxTokens: 9 },
});

test("the link and the events of a worker share one engine, which is given back with the last way to it", async () => {
  const rig = new Rig();
  const [one, other] = [rig.near.dial(instance(5n)), rig.near.dial(instance(5n))];
  const { link, said } = await rig.link(one);
  const told = await rig.feed(other);
  expect([said, rig.engines.length]).toEqual([["5 9 fake-model", "ready"], 1]);
  const [engine] = rig.engines;
  const heard = new Heard();
  link.submit(SUBMIT, heard);
  await settle();
  const [id] = engine!.ids;
  engine!.kv({
    kind: "stored",
    parent: undefined,
    hashes: BigUint64Array.of(7n),
    tokens: Uint32Array.of(1, 2),
    cacheSalt: "",
    adapter: undefined,
  });
  engine!.step({ tokens: { [id!]: [3, 4] }, finishes: [{ id: id!, reason: "end" }] });
  rig.clock.advance(20);
  await settle();
  expect([heard.tokens, heard.finish?.reason]).toEqual([[3, 4], "end"]);
  expect(told).toEqual(["header", "snapshot", "events stored"]);

  // What runs on one way ends with it, and the engine stays for the other.
  link.submit(SUBMIT, heard);
  await settle();
  one.close();
  one.close();
  await settle();
  expect([engine!.cancels.map(({ mode }) => mode), engine!.closed]).toEqual([["kill"], false]);
  other.close();
  await settle();
  expect([engine!.closed, rig.signals[0]!.aborted]).toEqual([true, true]);
  await rig.link(rig.near.dial(instance(5n)));
  expect(rig.engines.length).toBe(2);
});

test("an engine that takes nothing for now drains its links, and one that has failed is opened anew for whoever calls", async () => {
  const rig = new Rig();
  const way = rig.near.dial(instance(5n));
  const { said } = await rig.link(way);
  const told = await rig.feed(way);
  const [engine] = rig.engines;
  engine!.stand({ state: "away", reason: "It is away." });
  await settle();
  expect((await rig.link(way)).said).toEqual(["5 9 fake-model", "draining"]);
  engine!.stand({ state: "ready", reason: "" });
  await settle();
  engine!.fail(new StatorError("ENGINE_FAILED", { detail: "it came back as another" }));
  await settle();
  expect(said).toEqual([
    ...["5 9 fake-model", "ready", "draining true", "draining", "draining false", "ready"],
    "closed ENGINE_FAILED",
  ]);
  expect([engine!.closed, rig.engines.length]).toEqual([true, 1]);
  expect((await rig.link(way)).said).toEqual(["5 9 fake-model", "ready"]);
  rig.clock.advance(20);
  await settle();
  // Numbers of events go on, and what was kept is gone.
  expect([rig.engines.length, told]).toEqual([2, ["header", "snapshot", "events cleared"]]);
});

test("calls end with the reason why an engine cannot be opened, and the next one tries again", async () => {
  const rig = new Rig();
  rig.opens = async () => {
    throw new StatorError("CONTRACT_MISMATCH", { what: "The engine", detail: "it is another" });
  };
  const way = rig.near.dial(instance(5n));
  expect((await rig.link(way)).said).toEqual(["closed CONTRACT_MISMATCH"]);
  expect(await rig.feed(way)).toEqual(["end CONTRACT_MISMATCH"]);
  rig.opens = async (engine) => engine;
  expect((await rig.link(way)).said).toEqual(["5 9 fake-model", "ready"]);
  expect(rig.engines.length).toBe(3);
});

test("so many engines are open, so many are being opened, and one has so long for it", async () => {
  const rig = new Rig({ engines: 3, openings: 1, openMs: 100 });
  rig.opens = (_, signal) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
  const ways = [1n, 2n, 3n].map((id) => rig.near.dial(instance(id)));
  expect(() => rig.near.dial(instance(4n))).toThrow(expect.objectContaining({ reason: "LIMIT" }) as Error);
  const [first, second, third] = await Promise.all(ways.map((way) => rig.link(way)));
  expect(rig.engines.length).toBe(1);
  // Whoever goes does not keep the others waiting.
  ways[1]!.close();
  await settle();
  rig.clock.advance(99);
  await settle();
  expect([first!.said, rig.engines.length]).toEqual([[], 1]);
  rig.opens = async (engine) => engine;
  rig.clock.advance(1);
  await settle();
  expect([first!.said, second!.said, third!.said]).toEqual([
    ["closed UNAVAILABLE"],
    ["closed UNAVAILABLE"],
    ["3 9 fake-model", "ready"],
  ]);
  rig.near.dial(instance(4n)).close();
});

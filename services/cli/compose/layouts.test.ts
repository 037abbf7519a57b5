import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RequestKind } from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { SeededChance } from "#lib/base/chance";
import { handOver, LegCaller } from "../../../test/support/leg-caller.ts";
import { createWorker, type ServingWorker, type StatorOptions } from "./library.ts";

const OPTIONS = { engine: "mock", "mock.speed": 0, "grpc.port": 0, "transfer.lease-ms": 60_000 } as const;
/** Workers of one model whose blocks lie in different ways. */
const LAYOUTS = {
  small: { "mock.block-tokens": 16 },
  large: { "mock.block-tokens": 64 },
  "large, keys first": { "mock.block-tokens": 64, "mock.block-order": "kind-layer" },
  "small, keys first": { "mock.block-tokens": 16, "mock.block-order": "kind-layer" },
} as const satisfies Record<string, StatorOptions>;
type Name = keyof typeof LAYOUTS;
const NAMES = Object.keys(LAYOUTS) as Name[];

const workers: ServingWorker[] = [];
const callers = {} as Record<Name | "whole", LegCaller>;
const addresses = {} as Record<Name | "whole", string>;
const chance = new SeededChance(4n);
const draw = (below: number) => Math.floor(chance.next() * below);

async function open(name: keyof typeof callers, options: StatorOptions): Promise<void> {
  const worker = await createWorker({ ...OPTIONS, ...options });
  workers.push(worker);
  addresses[name] = worker.address;
  callers[name] = new LegCaller(worker.address);
  await callers[name].ready;
}

beforeAll(async () => {
  await Promise.all([open("whole", {}), ...NAMES.map((name) => open(name, LAYOUTS[name]))]);
});

afterAll(async () => {
  for (const caller of Object.values(callers)) caller.close();
  for (const worker of workers) await worker.close();
});

/** A prompt that nobody has seen. */
const ask = (tokens: number, more = {}) => ({
  model: workers[0]!.card.model,
  promptTokenIds: writeU32(Array.from({ length: tokens }, () => 10 + draw(400))),
  stopping: { maxTokens: 24 },
  sampling: { temperature: 1, seed: BigInt(draw(1000)) },
  ...more,
});

/** Blocks of `to` that a prompt at `from` fills. */
function blocksFor(tokens: number, from: Name, to: Name): number {
  const kept = tokens - (tokens % LAYOUTS[from]["mock.block-tokens"]);
  return Math.floor(kept / LAYOUTS[to]["mock.block-tokens"]);
}

const PAIRS = [
  ["large", "small"],
  ["small", "large"],
  ["small", "small, keys first"],
  ["large", "small, keys first"],
  ["small, keys first", "large"],
  ["large, keys first", "small, keys first"],
] as const satisfies readonly (readonly [Name, Name])[];

describe("an answer whose prompt was computed in blocks of another kind", () => {
  it.each(PAIRS)("is the one of a worker that does it all: %s to %s", async (from, to) => {
    for (const [tokens, more] of [
      [200, {}],
      [128, { cacheSalt: "salt", choice: 2 }],
      [70, { outputs: { logprobs: true, topLogprobs: 3 } }],
      [30, {}],
    ] as const) {
      const request = ask(tokens, more);
      const wanted = await callers.whole.run(request);
      const { first, second, ...found } = await handOver(callers[from], callers[to], request);
      expect(found.tokens).toEqual(wanted.tokens);
      expect([...first.logprobs, ...second!.logprobs]).toEqual(wanted.logprobs);
      expect(second!.end).toBe(wanted.end);
      expect(second!.transfer).toMatchObject({ blocks: blocksFor(tokens, from, to), heldBlocks: 0, reason: "" });
    }
  });

  it.each([
    ["large", "small, keys first"],
    ["small", "large, keys first"],
  ] as const)("brings only what is lacking: %s to %s", async (from, to) => {
    const request = ask(200);
    const shorter = { ...request, promptTokenIds: request.promptTokenIds.subarray(0, 100 * 4) };
    await callers[to].run(shorter);
    const held = Math.floor(100 / LAYOUTS[to]["mock.block-tokens"]);
    const { tokens, second } = await handOver(callers[from], callers[to], request);
    expect(tokens).toEqual((await callers.whole.run(request)).tokens);
    expect(second!.transfer).toMatchObject({ heldBlocks: held, blocks: blocksFor(200, from, to) - held, reason: "" });
  });

  it.each([
    ["large", "small"],
    ["small", "large, keys first"],
  ] as const)("meets in a room: %s to %s", async (from, to) => {
    const request = ask(300);
    const [host = "", port = ""] = addresses[from].split(":");
    const room = { number: chance.id(), host, port: Number(port) };
    const [first, second] = await Promise.all([
      callers[from].run({ ...request, kind: RequestKind.PREFILL, room }),
      callers[to].run({ ...request, room }),
    ]);
    expect(second.transfer).toMatchObject({ blocks: blocksFor(300, from, to), reason: "" });
    expect([...first.tokens, ...second.tokens]).toEqual((await callers.whole.run(request)).tokens);
  });
});

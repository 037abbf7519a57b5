import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { GenerateRequestSchema } from "#gen/openengine/v1/generation_pb";
import { type KvSessionRef, KvSessionRefSchema } from "#gen/openengine/v1/kv_pb";
import { AbortStatus } from "#gen/openengine/v1/lifecycle_pb";
import { Control, Inference } from "#gen/openengine/v1/openengine_pb";
import { SeededChance } from "#lib/base/chance";
import { openClient } from "#lib/rpc/open-client";
import { createWorker, type ServingWorker } from "./library.ts";

// Callers that know nothing of ours but openengine.v1, and engines that compute: each leg is a call of its own.

const OPTIONS = { engine: "mock", "mock.speed": 0, "grpc.port": 0, "transfer.lease-ms": 60_000 } as const;
const ROLES = ["prefill", "decode", "aggregated"] as const;
const chance = new SeededChance(15n);
let engines: Record<(typeof ROLES)[number], ReturnType<typeof open>>;
const workers: ServingWorker[] = [];

beforeAll(async () => {
  for (const role of ROLES) workers.push(await createWorker({ ...OPTIONS, role }));
  const [prefill, decode, aggregated] = workers.map(({ address }) => open(address));
  engines = { prefill: prefill!, decode: decode!, aggregated: aggregated! };
});

afterAll(async () => {
  for (const { close } of Object.values(engines)) close();
  for (const worker of workers) await worker.close();
});

function open(address: string) {
  const inference = openClient(Inference, address);
  const control = openClient(Control, address);
  const close = (): void => {
    inference.close();
    control.close();
  };
  return { generate: inference.client.generate, control: control.client, close };
}

type Init = Exclude<MessageInitShape<typeof GenerateRequestSchema>, { $typeName: string }>;

const ask = (more: Init = {}): Init => ({
  input: { case: "tokenIds", value: { ids: Array.from({ length: 100 }, () => 10 + Math.floor(chance.next() * 400)) } },
  stopping: { maxTokens: 20 },
  sampling: { temperature: 0 },
  ...more,
});

/** The same, going on from a session. */
const within = (request: Init, session: KvSessionRef): Init => ({
  ...request,
  kv: { ...(request.kv?.cacheSalt !== undefined && { cacheSalt: request.kv.cacheSalt }), session },
});

let requests = 0;

/** All that came of a call: tokens of each sequence, and how it ended. */
async function run(engine: (typeof ROLES)[number], init: Init) {
  const tokens: number[][] = [];
  const finishes: [number, number][] = [];
  let session: KvSessionRef | undefined;
  let usage: unknown;
  for await (const response of engines[engine].generate({ ...init, requestId: `request ${requests++}` })) {
    usage = response.usage ?? usage;
    const { event } = response;
    if (event.case === "token") {
      const at = event.value.outputIndex ?? -1;
      tokens[at] = [...(tokens[at] ?? []), ...event.value.tokens.map(({ tokenId }) => tokenId)];
    } else if (event.case === "finished") finishes.push([event.value.outputIndex ?? -1, event.value.reason]);
    else if (event.case === "prefillReady") session = event.value.kvSession;
    else throw new Error(`${event.case}`);
  }
  return { tokens, finishes: finishes.sort(), session, usage };
}

const sessionsAt = async (engine: (typeof ROLES)[number]) =>
  Number((await engines[engine].control.getLoad({})).activeKvSessions);

it.each([
  ["greedy", {}],
  ["drawn, with a seed and several sequences", { sampling: { temperature: 1, seed: 7n, numSequences: 3 } }],
  ["with penalties", { sampling: { temperature: 0.8, seed: 8n, frequencyPenalty: 1 } }],
  ["within a salt", { kv: { cacheSalt: "salt" } }],
] satisfies [string, Init][])("two calls give the answer of one: %s", async (_, more) => {
  const request = ask(more);
  const wanted = await run("aggregated", request);
  const { session, tokens, finishes } = await run("prefill", request);
  expect([tokens, finishes]).toEqual([[], []]);
  expect(session).toMatchObject({ transferBackend: "stator" });
  expect(await sessionsAt("prefill")).toBe(1);
  // As it would go through somebody else's router.
  const passed = fromBinary(KvSessionRefSchema, toBinary(KvSessionRefSchema, session!));
  const found = await run("decode", within(request, passed));
  expect([found.tokens, found.finishes]).toEqual([wanted.tokens, wanted.finishes]);
  await expect.poll(() => sessionsAt("prefill")).toBe(0);
});

it("a session that was let go, or that the engine never had, costs the computation and nothing else", async () => {
  const request = ask({ kv: { cacheSalt: "late" } });
  const wanted = await run("aggregated", request);
  const { session } = await run("prefill", request);
  const target = { case: "kvSession", value: session! } as const;
  expect((await engines.prefill.control.abort({ target })).status).toBe(AbortStatus.ABORTED);
  expect(await sessionsAt("prefill")).toBe(0);
  const unknown = create(KvSessionRefSchema, { ...session!, sessionId: "nobody" });
  for (const [at, ref] of [session!, unknown].entries()) {
    const found = await run("decode", within(request, ref));
    expect([at, found.tokens]).toEqual([at, wanted.tokens]);
  }
});

it("a session of somebody else's transport is refused by its name before anything runs", async () => {
  const session = create(KvSessionRefSchema, { sessionId: "x", transferBackend: "nixl", dpRank: 1 });
  await expect(run("decode", ask({ kv: { session } }))).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE" });
});

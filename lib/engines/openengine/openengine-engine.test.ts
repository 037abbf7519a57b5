import { create } from "@bufbuild/protobuf";
import { afterEach, expect, it } from "vitest";
import { FinishReason } from "#gen/openengine/v1/generation_pb";
import { AbortStatus, HealthState } from "#gen/openengine/v1/lifecycle_pb";
import { LoraAdapterSchema } from "#gen/openengine/v1/lora_pb";
import { EngineRole } from "#gen/openengine/v1/server_pb";
import { SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { DirectTransport } from "#lib/rpc/direct";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import { GREEDY } from "#lib/tokens/sampling";
import { DEMO_MODEL } from "../../../test/support/engine-driver.ts";
import { type ForeignCall, ForeignEngine } from "../../../test/support/foreign-engine.ts";
import { settle } from "../../../test/support/worker-rig.ts";
import { requireAbility } from "../ability.ts";
import type { Engine, EngineFinish, EngineStanding, GenerateRequest, StepMetrics } from "../engine.ts";
import type { ToldModel } from "./card.ts";
import type { OpenEngineLimits } from "./limits.ts";
import { type OpenEngineOptions, openOpenEngine } from "./openengine-engine.ts";

const opened: Engine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

const LIMITS: Partial<OpenEngineLimits> = { lookMs: 5, cancelAgainMs: 2, lingerMs: 20 };

/** Opens the adapter over calls in this process. */
async function open(remote: ForeignEngine, options: Partial<OpenEngineOptions> = {}): Promise<Engine> {
  const engine = await openOpenEngine({
    transport: new DirectTransport(remote.services, { clock: systemClock, log: silentLog, metrics: noMetrics }),
    address: "there:1",
    modelPath: DEMO_MODEL,
    clock: systemClock,
    chance: new SeededChance(5n),
    log: silentLog,
    ...options,
    limits: { ...LIMITS, ...options.limits },
  });
  opened.push(engine);
  return engine;
}

/** Keeps what the engine says. */
class Heard {
  readonly tokens: number[] = [];
  readonly texts: string[] = [];
  readonly finishes: EngineFinish[] = [];
  readonly admitted: number[] = [];
  readonly refused: StatorError[] = [];
  readonly standings: EngineStanding[] = [];
  readonly failures: StatorError[] = [];
  readonly notices: string[] = [];
  metrics: StepMetrics | undefined;

  constructor(engine: Engine) {
    engine.listen({
      onStep: ({ tokens, texts = [], finishes, metrics }) => {
        this.tokens.push(...tokens);
        this.texts.push(...texts.map(({ text }) => text));
        this.finishes.push(...finishes);
        this.metrics = metrics;
      },
      onAdmitted: (id) => void this.admitted.push(id),
      onRefused: (_, error) => void this.refused.push(error),
      onStanding: (standing) => void this.standings.push(standing),
      onFailure: (error) => void this.failures.push(error),
      onKv: ({ kind }) => void this.notices.push(kind),
    });
  }
}

function request(id: number, more: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    ...{ kind: "generate", id, promptTokens: Uint32Array.of(1, 2, 3), generatedTokens: new Uint32Array(0), choice: 0 },
    sampling: GREEDY,
    stopping: { maxTokens: 1000, minTokens: 0, ignoreEos: false, stopTokens: new Uint32Array(0) },
    ...{ guidance: undefined, topLogprobs: undefined, promptLogprobs: false, adapter: undefined },
    ...{ cacheSalt: "", priority: 0, ...more },
  } as GenerateRequest;
}

const tokens = (...ids: number[]) =>
  ({ case: "token", value: { outputIndex: 0, tokens: ids.map((tokenId) => ({ tokenId })) } }) as const;
const finished = (reason: FinishReason = FinishReason.LENGTH) =>
  ({ case: "finished", value: { outputIndex: 0, reason } }) as const;

const LATE = new StatorError("INTERNAL", { detail: "late" });

async function callOf(remote: ForeignEngine, at = 0): Promise<ForeignCall> {
  await expect.poll(() => remote.calls.length).toBeGreaterThan(at);
  return remote.calls[at]!;
}

it("says of an engine what it says of itself, and nothing of what it does not", async () => {
  const { card, text, adapters } = await open(new ForeignEngine());
  expect(card).toMatchObject({
    ...{ engine: "openengine", model: "far", input: "tokens", contextTokens: 64, blockTokens: 2, totalBlocks: 64 },
    ...{ maxRunningRequests: 8, maxWaitingRequests: undefined, software: { name: "scripted", version: "9" } },
    capabilities: { grammar: "unknown", logprobs: "unknown", maxTopLogprobs: undefined, lora: false, embed: false },
  });
  expect([text !== undefined, adapters]).toEqual([true, undefined]);
  const bare = new ForeignEngine();
  bare.server = { engineName: "bare", schemaRevision: 1, minimumClientRevision: 1 };
  bare.model = { servedModelName: "far", maxContextLength: 0 };
  const asText = await open(bare, { modelPath: undefined, model: "near" });
  expect(asText.card).toMatchObject({
    model: "near",
    input: "text",
    hashScheme: "",
    capabilities: { logprobs: false },
  });
  expect([asText.card.contextTokens, asText.card.blockTokens, asText.text]).toEqual([undefined, undefined, undefined]);
});

const TOLD = { input: "tokens", contextTokens: 64, blocks: { blockTokens: 2, hashScheme: HASH_SCHEME } } as const;

it("takes token ids by what others were told, without a file of the model", async () => {
  const remote = new ForeignEngine();
  const engine = await open(remote, { modelPath: undefined, told: TOLD });
  expect([engine.card.input, engine.card.hashScheme, engine.card.artifacts, engine.text]).toEqual([
    "tokens",
    HASH_SCHEME,
    [],
    undefined,
  ]);
  const heard = new Heard(engine);
  engine.submit(request(1, { generatedTokens: Uint32Array.of(4) }));
  const call = await callOf(remote);
  expect(call.request.input).toMatchObject({ case: "tokenIds", value: { ids: [1, 2, 3, 4] } });
  // Ids beyond any vocabulary: whoever has the tokenizer knows what they are.
  call.send(tokens(4_000_000_000));
  await expect.poll(() => heard.tokens).toEqual([4_000_000_000]);
  const unread = await open(new ForeignEngine(), { modelPath: undefined, told: { ...TOLD, blocks: undefined } });
  expect(unread.card).toMatchObject({ blockTokens: 2, hashScheme: "" });
});

it("knows adapters that others load there, where others were told of the engine", async () => {
  const remote = new ForeignEngine();
  remote.model = { ...remote.model, supportsLora: true };
  const engine = await open(remote, { modelPath: undefined, told: TOLD });
  new Heard(engine);
  const names = () =>
    requireAbility(engine, "adapters")
      .list()
      .map(({ name }) => name);
  expect(names()).toEqual([]);
  remote.adapters.push(create(LoraAdapterSchema, { loraId: 1n, loraName: "fast", sourcePath: "/fast" }));
  await expect.poll(names).toEqual(["fast"]);
});

it("refuses an engine that is not what others were told, and waits for none that others ask again", async () => {
  const refusal = (told: Partial<ToldModel>, remote = new ForeignEngine()) =>
    open(remote, { modelPath: undefined, waits: false, told: { ...TOLD, ...told } }).then(
      () => "none",
      (error: StatorError) => `${error.reason} ${error.message}`,
    );
  expect(await refusal({ contextTokens: undefined })).toBe("none");
  expect(await refusal({ contextTokens: 65 })).toMatch(/CONTRACT_MISMATCH .*a context of 65 tokens, and it takes 64/);
  const blocks = { ...TOLD.blocks, blockTokens: 4 };
  expect(await refusal({ blocks })).toMatch(/CONTRACT_MISMATCH .*says blocks of 4 tokens, and it has blocks of 2/);
  expect(await refusal({ blocks: { ...TOLD.blocks, hashScheme: "" } })).toMatch(/names blocks by nothing/);
  const remote = new ForeignEngine();
  remote.model = { ...remote.model, supportsTokenIdsInput: false };
  expect(await refusal({}, remote)).toMatch(/takes text alone: its model card must say TEXT/);
  remote.model = { ...remote.model, supportsTokenIdsInput: true, supportsTextInput: false };
  expect(await refusal({ input: "text" }, remote)).toMatch(/takes token ids alone: its model card must say TOKENS/);
  remote.health = HealthState.STARTING;
  expect(await refusal({}, remote)).toMatch(/UNAVAILABLE .*is starting/);
  remote.server = { engineName: "bare", schemaRevision: 1, minimumClientRevision: 1 };
  remote.model = { servedModelName: "far" };
  remote.health = HealthState.READY;
  expect(await refusal({}, remote)).toBe("none");
});

it("refuses to stand in front of what it cannot", async () => {
  const refusal = async (
    change: Partial<Pick<ForeignEngine, "server" | "model">>,
    options: Partial<OpenEngineOptions> = {},
  ) => {
    return await open(Object.assign(new ForeignEngine(), change), options).then(
      () => "none",
      (error: StatorError) => error.message,
    );
  };
  const server = new ForeignEngine().server;
  expect(await refusal({ server: { ...server, schemaRevision: 0 } })).toContain("is none");
  expect(await refusal({ server: { ...server, minimumClientRevision: 2 } })).toContain("callers of revision 2");
  const prefill = { ...server, engineRole: EngineRole.PREFILL };
  expect(await refusal({ server: prefill })).toContain("prompts alone");
  const textAlone = { servedModelName: "far", supportsTokenIdsInput: false };
  expect(await refusal({ model: textAlone })).toContain("leave --model out");
  const idsAlone = { servedModelName: "far", supportsTextInput: false };
  expect(await refusal({ model: idsAlone }, { modelPath: undefined })).toContain("--model");
});

it("waits for an engine that is not there yet, until nobody waits for it", async () => {
  const remote = new ForeignEngine();
  remote.health = HealthState.STARTING;
  const waits = open(remote);
  setTimeout(() => {
    remote.health = HealthState.DEGRADED;
  }, 15);
  expect((await waits).card.model).toBe("far");
  remote.health = HealthState.NOT_READY;
  const abort = new AbortController();
  const left = open(remote, { signal: abort.signal });
  abort.abort(new StatorError("CANCELLED"));
  await expect(left).rejects.toMatchObject({ reason: "CANCELLED" });
});

it("what comes in one turn is one step, and what was counted is in the end", async () => {
  const remote = new ForeignEngine();
  const engine = await open(remote);
  const heard = new Heard(engine);
  expect(engine.submit(request(1, { priority: -3 }))).toBe("later");
  const call = await callOf(remote);
  expect(call.request.requestId).toMatch(/^stator-[0-9a-f]{16}-1$/);
  expect(call.priority).toBe("-3");
  expect(heard.admitted).toEqual([]);
  call.send(tokens(5, 6));
  call.send(tokens(...Array.from({ length: 300 }, () => 7)));
  call.send(finished(), { promptTokens: 3, completionTokens: 302, totalTokens: 305, cachedPromptTokens: 2 });
  call.channel.end();
  await expect.poll(() => heard.finishes.length).toBe(1);
  expect(heard.admitted).toEqual([1]);
  expect(heard.tokens).toHaveLength(302);
  expect(heard.finishes[0]).toMatchObject({ reason: "length", completionTokens: 302, cachedTokens: 2 });
});

it("is asked in text and answers with text where it alone has the tokenizer", async () => {
  const remote = new ForeignEngine();
  const engine = await open(remote, { modelPath: undefined });
  const heard = new Heard(engine);
  engine.submit(request(1, { promptTokens: new Uint32Array(0), promptText: "hi" }));
  const call = await callOf(remote);
  expect(call.request.input).toEqual({ case: "prompt", value: "hi" });
  call.send({ case: "token", value: { outputIndex: 0, tokens: [], text: " you" } });
  call.send(finished(), { promptTokens: 1, completionTokens: 1, totalTokens: 2 });
  call.channel.end();
  await expect.poll(() => heard.finishes.length).toBe(1);
  expect([heard.texts, heard.finishes[0]!.completionTokens]).toEqual([[" you"], 1]);
});

it("a refusal is one, with its reason; what fails behind the first event is a failure", async () => {
  const remote = new ForeignEngine();
  const engine = await open(remote);
  const heard = new Heard(engine);
  engine.submit(request(1));
  (await callOf(remote)).channel.end(new StatorError("OVERLOADED", { what: "the batch" }));
  await expect.poll(() => heard.refused.length).toBe(1);
  expect(heard.refused[0]!.reason).toBe("OVERLOADED");
  engine.submit(request(2));
  const call = await callOf(remote, 1);
  call.send(tokens(5));
  await settle();
  call.channel.end(new StatorError("STREAM_LOST", { detail: "gone" }));
  await expect.poll(() => heard.finishes.length).toBe(1);
  expect(heard.finishes[0]).toMatchObject({ id: 2, reason: "failed", completionTokens: 1 });
  expect(heard.finishes[0]!.error!.reason).toBe("STREAM_LOST");
});

it("an engine that breaks the contract fails the request that it is about, and no other", async () => {
  const remote = new ForeignEngine();
  const engine = await open(remote, { limits: { lingerMs: 10_000 } });
  const heard = new Heard(engine);
  // What an engine does, one after the other; undefined waits until that has arrived.
  const breaks: (((call: ForeignCall) => void) | undefined)[][] = [
    [(call) => call.send(finished()), (call) => call.send(finished())],
    [(call) => call.send(finished()), (call) => call.send(tokens(1))],
    [(call) => call.send(finished()), undefined, (call) => call.channel.end(LATE)],
    [(call) => call.channel.end()],
    [(call) => call.send(tokens(0xffff_ffff))],
    [(call) => call.send(finished(FinishReason.CANCELLED)), (call) => call.channel.end()],
  ];
  for (const id of [1, 2, 3, 4, 5, 6, 7]) engine.submit(request(id));
  await callOf(remote, 6);
  for (const [at, acts] of breaks.entries()) {
    for (const act of acts) {
      if (act) act(remote.calls[at]!);
      else await settle();
    }
  }
  await expect.poll(() => heard.finishes.length).toBe(6);
  const byId = heard.finishes.toSorted((left, right) => left.id - right.id);
  expect(byId.map(({ error }) => error?.reason)).toEqual(Array(6).fill("ENGINE_FAILED"));
  expect(
    byId.map(({ error }) => error?.message.replace(/^The engine failed: (it broke openengine\.v1: )?/, "")),
  ).toEqual([
    "something followed the end of an answer.",
    "something followed the end of an answer.",
    "an answer ended and then failed.",
    "a stream ended without an end of its answer.",
    "the vocabulary has no token 4294967295.",
    "somebody else ended the request there.",
  ]);
  const last = remote.calls[6]!;
  last.send(tokens(9));
  last.send(finished());
  last.channel.end();
  await expect.poll(() => heard.finishes.length).toBe(7);
  expect(heard.finishes[6]).toMatchObject({ id: 7, reason: "length", completionTokens: 1 });
});

it("an end whose status does not come is an end all the same", async () => {
  const remote = new ForeignEngine();
  const engine = await open(remote, { limits: { lingerMs: 1 } });
  const heard = new Heard(engine);
  engine.submit(request(1));
  const call = await callOf(remote);
  call.send(finished());
  await expect.poll(() => heard.finishes.length).toBe(1);
  expect(heard.finishes[0]!.reason).toBe("length");
  await expect.poll(() => call.isReset).toBe(true);
});

it("a cancel is an Abort, repeated until the engine knows the request, and never a reset", async () => {
  const remote = new ForeignEngine();
  let asked = 0;
  remote.onAbort = () => {
    if (++asked < 3) throw new StatorError("NOT_FOUND", { what: "The request" });
    return AbortStatus.ABORTED;
  };
  const engine = await open(remote);
  const heard = new Heard(engine);
  engine.submit(request(1));
  engine.cancel([1, 99], "kill");
  engine.cancel([1], "stop");
  const call = await callOf(remote);
  await expect.poll(() => remote.aborts.length).toBe(3);
  expect(new Set(remote.aborts)).toEqual(new Set([call.request.requestId]));
  call.send(tokens(5));
  call.send(finished(FinishReason.CANCELLED));
  call.channel.end();
  await expect.poll(() => heard.finishes.length).toBe(1);
  expect(heard.finishes[0]).toMatchObject({ reason: "cancelled", completionTokens: 1 });
  expect([call.isReset, remote.aborts.length]).toEqual([false, 3]);
});

it("an engine that does not end what it is told to has so long, and its streams are cut one at a time", async () => {
  const remote = new ForeignEngine();
  const engine = await open(remote, { limits: { cancelMs: 5, resetEveryMs: 1, openRequests: 3 } });
  const heard = new Heard(engine);
  for (const id of [1, 2, 3]) engine.submit(request(id));
  expect(() => engine.submit(request(4))).toThrow("Every place for requests of this engine is taken");
  await callOf(remote, 2);
  engine.cancel([1, 2, 3], "stop");
  await expect.poll(() => heard.finishes.map(({ reason }) => reason)).toEqual(Array(3).fill("cancelled"));
  await expect.poll(() => remote.calls.every(({ isReset }) => isReset)).toBe(true);
  await expect.poll(() => engine.submit(request(5))).toBe("later");
});

it("load is what the engine says, told also when nothing runs here", async () => {
  const remote = new ForeignEngine();
  remote.load = { runningRequests: 3, queuedRequests: 2, usedKvBlocks: 5n, totalKvBlocks: 64n, waitingTokens: 9n };
  const heard = new Heard(await open(remote));
  await expect
    .poll(() => heard.metrics)
    .toMatchObject({ runningRequests: 3, waitingRequests: 2, usedBlocks: 5, totalBlocks: 64, waitingTokens: 9 });
  const silent = new ForeignEngine();
  silent.load = undefined;
  const engine = await open(silent);
  const quiet = new Heard(engine);
  engine.submit(request(1));
  (await callOf(silent)).send(tokens(5));
  await expect.poll(() => quiet.metrics).toMatchObject({ runningRequests: 1, waitingRequests: 0 });
});

it("an engine that goes is told of, takes nothing meanwhile, and comes back", async () => {
  const remote = new ForeignEngine();
  const engine = await open(remote);
  const heard = new Heard(engine);
  remote.away = new StatorError("UNAVAILABLE", { what: "there:1", detail: "no connection" });
  await expect.poll(() => heard.standings.at(-1)?.state).toBe("away");
  expect(heard.standings.at(-1)!.reason).toContain("there:1");
  expect(() => engine.submit(request(1))).toThrow("cannot be reached");
  remote.away = undefined;
  await expect.poll(() => heard.standings.at(-1)?.state).toBe("ready");
  remote.health = HealthState.DRAINING;
  await expect.poll(() => heard.standings.at(-1)?.state).toBe("draining");
  expect(() => engine.submit(request(1))).toThrow("shutting down");
  remote.health = undefined;
  await expect.poll(() => heard.standings.at(-1)?.state).toBe("ready");
  expect(engine.submit(request(2))).toBe("later");
  expect(heard.failures).toEqual([]);
});

it("one that comes back as another cannot be gone on with", async () => {
  const remote = new ForeignEngine();
  const engine = await open(remote);
  const heard = new Heard(engine);
  remote.health = HealthState.NOT_READY;
  await expect.poll(() => heard.standings.length).toBe(1);
  remote.model = { servedModelName: "other", maxContextLength: 64 };
  remote.health = HealthState.READY;
  await expect.poll(() => heard.failures.length).toBe(1);
  expect(heard.failures[0]!.message).toContain("came back as another");
  expect(() => engine.submit(request(1))).toThrow("it has been closed");
});

it("adapters are loaded there, under numbers that nobody has, and asked for by name", async () => {
  const remote = new ForeignEngine();
  remote.model = { ...remote.model, supportsLora: true };
  remote.adapters.push({ loraId: 2n ** 60n, loraName: "old", sourcePath: "/old" } as never);
  const engine = await open(remote);
  new Heard(engine);
  const adapters = requireAbility(engine, "adapters");
  expect(adapters.list()).toMatchObject([{ name: "old", path: "/old" }]);
  expect(await adapters.load("new", "/new")).toMatchObject({ adapter: { name: "new" }, alreadyLoaded: false });
  expect(remote.adapters.at(-1)).toMatchObject({ loraId: 2n ** 60n + 1n, loraName: "new", sourcePath: "/new" });
  expect(() => engine.submit(request(1, { adapter: "none" }))).toThrow("The model none does not exist here");
  engine.submit(request(2, { adapter: "new" }));
  expect((await callOf(remote)).request.loraName).toBe("new");
  await adapters.unload("old");
  expect(remote.adapters.map(({ loraName }) => loraName)).toEqual(["new"]);
  await expect(adapters.unload("old")).rejects.toMatchObject({ reason: "NOT_FOUND" });
  const small = open(remote, { limits: { adapters: 0 } });
  await expect(small).rejects.toMatchObject({ reason: "LIMIT" });
});

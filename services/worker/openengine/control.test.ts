import { afterEach, describe, expect, it } from "vitest";
import { HealthState } from "#gen/openengine/v1/lifecycle_pb";
import { EngineRole } from "#gen/openengine/v1/server_pb";
import { StatorError } from "#lib/base/errors";
import { FakeEngine } from "../../../test/support/fake-engine.ts";
import { NOTHING_KNOWN } from "../../../test/support/late-engine.ts";
import { settle, WorkerRig } from "../../../test/support/worker-rig.ts";

const rigs: WorkerRig[] = [];

function rigOf(...args: ConstructorParameters<typeof WorkerRig>): WorkerRig {
  const rig = new WorkerRig(...args);
  rigs.push(rig);
  return rig;
}

async function started(...args: ConstructorParameters<typeof WorkerRig>): Promise<WorkerRig> {
  const rig = rigOf(...args);
  await rig.start();
  return rig;
}

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.worker.close();
});

const PIRATE = { loraId: 1n, loraName: "pirate", sourcePath: "/a" };

describe("what the engine says of itself", () => {
  it("is a revision, a role, names and limits", async () => {
    const { control } = await started();
    const info = await control.getServerInfo({});
    expect(info).toMatchObject({
      engineName: "stator-fake",
      engineRole: EngineRole.AGGREGATED,
      supportedModels: ["fake-model"],
      schemaRevision: 1,
      minimumClientRevision: 1,
      schemaRelease: "4def7c50",
      capacity: { kvBlockSize: 16, totalKvBlocks: 64n, maxRunningRequests: 8n },
      kvConnector: { enabled: false },
    });
    expect(info.instanceId).toMatch(/^[0-9a-f]{16}$/);
    const model = await control.getModelInfo({ model: "" });
    expect(model).toMatchObject({ servedModelName: "fake-model", maxContextLength: 512, supportsTextInput: false });
    expect(model.generation).toMatchObject({
      outputLogprobs: { supported: true, maxTopN: 5 },
      promptLogprobs: { supported: false },
      guidedDecoding: { supported: true },
      supportsPrefixCacheBypass: false,
    });
    await expect(control.getModelInfo({ model: "other" })).rejects.toMatchObject({ reason: "MODEL_NOT_FOUND" });
  });

  it("does not report what nobody knows", async () => {
    const { capabilities } = new FakeEngine().card;
    const unknown = { ...capabilities, logprobs: "unknown", grammar: "unknown", maxTopLogprobs: undefined } as const;
    const rig = await started({ ...NOTHING_KNOWN, capabilities: unknown });
    const { capacity } = await rig.control.getServerInfo({});
    const { maxContextLength, maxOutputTokens, generation } = await rig.control.getModelInfo({});
    const { outputLogprobs, guidedDecoding } = generation!;
    const absent = [
      ...[capacity?.kvBlockSize, capacity?.totalKvBlocks, capacity?.maxRunningRequests],
      ...[maxContextLength, maxOutputTokens, outputLogprobs?.supported, outputLogprobs?.maxTopN],
      ...[guidedDecoding?.supported, (await rig.control.getLoad({})).totalKvBlocks],
    ];
    expect(absent).toEqual(absent.map(() => undefined));
    expect([outputLogprobs?.candidateSelectionModes, guidedDecoding?.modes]).toEqual([[], []]);
  });

  it("is not known before the model is loaded", async () => {
    const { control } = rigOf();
    for (const call of [control.getServerInfo({}), control.getModelInfo({}), control.listLoras({})]) {
      await expect(call).rejects.toMatchObject({ reason: "MODEL_LOADING" });
    }
    const load = await control.getLoad({});
    expect(load).toMatchObject({ runningRequests: 0, queuedRequests: 0 });
    expect(load.totalKvBlocks).toBeUndefined();
  });

  it("is as busy as its last step was", async () => {
    const rig = await started();
    expect(await rig.control.getLoad({})).toMatchObject({ totalKvBlocks: 64n, runningRequests: 0, ranks: [] });
    rig.engine.step({
      metrics: { runningRequests: 3, waitingRequests: 2, waitingTokens: 9, usedBlocks: 5, decodeSequences: 3 },
    });
    const load = await rig.control.getLoad({ includePerRank: true });
    const at = { runningRequests: 3, queuedRequests: 2, usedKvBlocks: 5n, totalKvBlocks: 64n, decodeBatchSize: 3 };
    expect(load).toMatchObject({ ...at, waitingTokens: 9n, ranks: [{ dataParallelRank: 0, ...at }] });
    expect(load.timestampUnixNanos).toBe(BigInt(rig.clock.unixMs()) * 1_000_000n);
    expect(load.activeKvSessions, "what is not counted is absent").toBeUndefined();
  });
});

describe("health", () => {
  it("follows the worker through its life", async () => {
    const rig = rigOf();
    expect((await rig.control.health({})).state).toBe(HealthState.STARTING);
    await rig.start();
    const ready = await rig.control.health({ model: "fake-model", role: EngineRole.AGGREGATED });
    expect(ready.state).toBe(HealthState.READY);
    expect(ready.checks.map(({ name }) => name)).toEqual(["grpc", "model", "scheduler"]);
    await rig.worker.drain(0);
    expect((await rig.control.health({})).state).toBe(HealthState.DRAINING);
  });

  it("is not ready for a model or role that it does not have", async () => {
    const { control } = await started();
    const other = await control.health({ model: "other" });
    expect(other.state).toBe(HealthState.NOT_READY);
    expect(other.checks.find(({ name }) => name === "model")).toMatchObject({ state: HealthState.NOT_READY });
    // A role that only a newer contract has counts as unspecified.
    expect((await control.health({ role: 99 as EngineRole })).state).toBe(HealthState.READY);
    const decode = await control.health({ role: EngineRole.DECODE });
    const message = "This engine does prefill and decode.";
    expect(decode.checks.at(-1)).toMatchObject({ name: "role", state: HealthState.NOT_READY, message });
  });

  it("asks the engine itself for a token when told to", async () => {
    const rig = await started();
    const probed = async (then: () => void) => {
      const answer = rig.control.health({ includeInferenceProbe: true });
      await settle();
      then();
      return (await answer).checks.at(-1)!;
    };
    const [well, failed, silent] = [
      await probed(() => rig.engine.step({ finishes: [{ id: rig.engine.ids[0]!, reason: "length" }] })),
      await probed(() => {
        const error = new StatorError("ENGINE_FAILED", { detail: "no memory" });
        rig.engine.step({ finishes: [{ id: rig.engine.ids[0]!, reason: "failed", error }] });
      }),
      await probed(() => rig.clock.advance(5000)),
    ];
    expect(well).toMatchObject({ name: "inference_probe", state: HealthState.READY });
    expect(failed).toMatchObject({ state: HealthState.NOT_READY, message: "The engine failed: no memory." });
    expect(silent.state).toBe(HealthState.NOT_READY);
    expect(rig.engine.cancels).toEqual([{ ids: rig.engine.ids, mode: "kill" }]);
    const overloaded = new StatorError("OVERLOADED", { what: "the engine" });
    rig.engine.finishCancelled();
    rig.engine.answersLater = true;
    const busyLater = await probed(() => rig.engine.refuseLate(rig.engine.ids[0]!, overloaded));
    expect(busyLater).toMatchObject({ state: HealthState.READY });
    rig.engine.refuse = overloaded;
    expect((await rig.control.health({ includeInferenceProbe: true })).state, "busy is not ill").toBe(
      HealthState.READY,
    );
  });

  it("does not probe what is not there", async () => {
    const { control } = rigOf();
    const { state, checks } = await control.health({ includeInferenceProbe: true });
    expect(state).toBe(HealthState.STARTING);
    expect(checks.at(-1)).toMatchObject({ name: "inference_probe", state: HealthState.NOT_READY });
  });
});

describe("adapters", () => {
  it("come and go, and everybody is told", async () => {
    const rig = await started();
    const { control } = rig;
    const { link, said } = await rig.link();
    expect(await control.loadLora({ adapter: PIRATE })).toMatchObject({ adapter: PIRATE, alreadyLoaded: false });
    expect(await control.loadLora({ adapter: PIRATE })).toMatchObject({ adapter: PIRATE, alreadyLoaded: true });
    expect(rig.discovery.seen.names).toEqual(["model fake-model", "adapter pirate"]);
    expect(rig.discovery.seen.instance?.models).toEqual(["fake-model", "pirate"]);
    await settle();
    expect(said).toContain("notice fake-model pirate");
    expect((await rig.submit(link, { model: "pirate" })).heard.said).toEqual(["accepted"]);
    expect([...rig.engine.open.values()]).toMatchObject([{ adapter: "pirate" }]);
    expect(await control.listLoras({})).toMatchObject({ adapters: [PIRATE] });
    expect(await control.unloadLora({ loraName: "pirate" })).toMatchObject({ adapter: PIRATE });
    expect(rig.discovery.seen.names).toEqual(["model fake-model"]);
    expect((await rig.submit(link, { model: "pirate" })).heard.said).toEqual(["finish MODEL_NOT_FOUND"]);
    expect((await control.listLoras({})).adapters).toEqual([]);
  });

  it("are off the list as soon as their unloading began, while their requests end", async () => {
    const rig = await started();
    await rig.control.loadLora({ adapter: PIRATE });
    const gate = Promise.withResolvers<void>();
    rig.engine.unused = gate.promise;
    const unloading = rig.control.unloadLora({ loraName: "pirate" });
    await settle();
    expect(rig.discovery.seen.names).toEqual(["model fake-model"]);
    await expect(rig.control.unloadLora({ loraName: "pirate" })).rejects.toMatchObject({ reason: "NOT_FOUND" });
    gate.resolve();
    expect(await unloading).toMatchObject({ adapter: PIRATE });
  });

  it("have one name and one number each", async () => {
    const { control } = await started();
    const both = [PIRATE, { ...PIRATE, loraName: "sailor" }].map((adapter) => control.loadLora({ adapter }));
    const outcomes = await Promise.allSettled(both);
    expect(
      outcomes.map(({ status }) => status),
      "asked at the same time",
    ).toEqual(["fulfilled", "rejected"]);
    for (const adapter of [
      { ...PIRATE, loraId: 2n },
      { ...PIRATE, loraName: "sailor" },
      { ...PIRATE, sourcePath: "/b" },
      { ...PIRATE, loraId: 3n, loraName: "fake-model" },
    ]) {
      await expect(control.loadLora({ adapter })).rejects.toMatchObject({ reason: "ALREADY_EXISTS" });
    }
    expect((await control.listLoras({})).adapters).toMatchObject([PIRATE]);
    await control.unloadLora({ loraName: "pirate" });
    await control.loadLora({ adapter: { ...PIRATE, loraName: "sailor" } });
  });

  it("free their number when they could not be loaded", async () => {
    const rig = await started();
    const adapters = rig.engine.adapters!;
    const { load } = adapters;
    adapters.load = () => Promise.reject(new StatorError("FILE_NOT_FOUND", { path: "/a", hint: "" }));
    await expect(rig.control.loadLora({ adapter: PIRATE })).rejects.toMatchObject({ reason: "FILE_NOT_FOUND" });
    adapters.load = load;
    await rig.control.loadLora({ adapter: { ...PIRATE, loraName: "sailor" } });
  });

  it.each([undefined, { ...PIRATE, loraId: 0n }, { ...PIRATE, loraName: "" }, { ...PIRATE, sourcePath: "a" }])(
    "are refused as %o",
    async (adapter) => {
      const { control } = await started();
      await expect(control.loadLora({ adapter })).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
    },
  );

  it("are refused by an engine that takes none", async () => {
    const { engine } = new WorkerRig();
    const capabilities = { ...engine.card.capabilities, lora: false, missing: { lora: "no room" } };
    const { control } = await started({ capabilities });
    const calls = [control.loadLora({ adapter: PIRATE }), control.unloadLora({ loraName: "pirate" })];
    for (const call of calls)
      await expect(call).rejects.toMatchObject({ reason: "FEATURE_DISABLED", row: { grpc: 9 } });
    expect((await control.listLoras({})).adapters).toEqual([]);
  });
});

it("events of the cache reach whoever subscribed", async () => {
  const rig = await started();
  const events = rig.control.subscribeKvEvents({});
  const next = events.next();
  await settle();
  rig.engine.kv({ kind: "cleared" });
  rig.clock.advance(20);
  expect((await next).value).toMatchObject({
    event: { case: "batch", value: { events: [{ event: { case: "allBlocksCleared" } }] } },
  });
  await events.return(undefined);
  expect((await rig.control.getKvEventSources({})).sources).toEqual([]);
});

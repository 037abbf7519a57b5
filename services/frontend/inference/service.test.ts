import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InstanceState, ModelInput } from "#gen/stator/discovery/v1/discovery_pb";
import { RequestRecordSchema } from "#gen/stator/frontend/v1/frontend_pb";
import { StatorError } from "#lib/base/errors";
import { Ledger } from "#lib/serving/ledger";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import { type InferenceRehearsal, openInference } from "../../../test/support/rehearsal/inference.ts";
import { rehearsalRecords } from "../../../test/support/rehearsal/open.ts";

const ledger = new Ledger(10);
let inference: InferenceRehearsal;
beforeAll(async () => {
  const dispatcher = new RehearsalDispatcher({ running: true, reply: () => ({ tokens: new Uint32Array(0) }) });
  inference = await openInference(dispatcher, {
    inference: {
      ...{ ledger, serverName: "triton", extensions: ["logging"] },
      handlers: {
        logSettings: () => ({ settings: { said: { parameterChoice: { case: "boolParam", value: true } } } }),
      },
    },
  });
  const { watch } = inference.rehearsal;
  const tensors = rehearsalRecords("simple", { id: 5n });
  for (const { value } of tensors) if (value.case === "model") value.value.input = ModelInput.TENSOR;
  watch.put(...tensors);
  watch.put(...rehearsalRecords("loads", { id: 2n, state: InstanceState.LOADING }));
  watch.put(...rehearsalRecords("asleep", { id: 3n, state: InstanceState.ASLEEP }));
  watch.put(...rehearsalRecords("leaves", { id: 4n, state: InstanceState.DRAINING }));
});
afterAll(() => inference.close());

const reasonOf = async (promise: Promise<unknown>) =>
  promise.then(
    () => "answered",
    (error: unknown) => (error instanceof StatorError ? error.reason : String(error)),
  );

describe("the health of a server", () => {
  it("is that of what a request would find now", async () => {
    const { client } = inference;
    expect((await client.serverLive({})).live).toBe(true);
    expect((await client.serverReady({})).ready).toBe(true);
    const ready = async (name: string, version = "") => (await client.modelReady({ name, version })).ready;
    expect([await ready("rehearsal"), await ready("rehearsal", "1")]).toEqual([true, true]);
    for (const name of ["loads", "asleep", "leaves", "nobody", ""]) expect(await ready(name), name).toBe(false);
    expect(await ready("rehearsal", "2")).toBe(false);
    // What versions a model of tensors has is its workers' to say.
    expect([await ready("simple"), await ready("simple", "2")]).toEqual([true, true]);
  });
});

describe("what a server is", () => {
  it("has its name, the version of this program and the extensions that it speaks", async () => {
    const { name, version, extensions } = await inference.client.serverMetadata({});
    expect([name, version]).toEqual(["triton", "0.0.0"]);
    expect(extensions).toEqual(expect.arrayContaining(["statistics", "model_configuration", "logging"]));
  });

  it("is told of its models by name and version", async () => {
    const { client } = inference;
    expect(await client.modelMetadata({ name: "rehearsal" })).toMatchObject({ name: "rehearsal", versions: ["1"] });
    expect((await client.modelConfig({ name: "rehearsal", version: "1" })).config?.name).toBe("rehearsal");
    const wrong = [
      [{ name: "nobody" }, "MODEL_NOT_FOUND"],
      [{ name: "rehearsal", version: "3" }, "NOT_FOUND"],
    ] as const;
    for (const [ask, reason] of wrong) {
      expect(await reasonOf(client.modelMetadata(ask))).toBe(reason);
      expect(await reasonOf(client.modelConfig(ask))).toBe(reason);
    }
  });
});

describe("the index of models", () => {
  it("has each with its state, or those that answer alone", async () => {
    const { client } = inference;
    const list = async (ready: boolean) =>
      (await client.repositoryIndex({ ready })).models.map(({ name, version, state }) => `${name} ${version} ${state}`);
    expect(await list(true)).toEqual(["rehearsal 1 READY", "simple 1 READY"]);
    expect(await list(false)).toEqual([
      "rehearsal 1 READY",
      "simple 1 READY",
      "asleep 1 UNAVAILABLE",
      "leaves 1 UNLOADING",
      "loads 1 LOADING",
    ]);
    const away = (await client.repositoryIndex({})).models.find(({ name }) => name === "asleep");
    expect(away?.reason).not.toBe("");
  });

  it("is one for all repositories", async () => {
    expect(await reasonOf(inference.client.repositoryIndex({ repositoryName: "here" }))).toBe("UNSUPPORTED_FEATURE");
  });
});

describe("statistics", () => {
  it("are those of the ledger, one entry for a name", async () => {
    const record = (outcome: string, totalMs: number, firstTokenMs?: number) =>
      ledger.add(
        create(RequestRecordSchema, { model: "rehearsal", outcome, totalMs, firstTokenMs, arrivedUnixMs: 5n }),
      );
    record("finished", 30, 10);
    record("finished", 2.5);
    record("failed", 1, 1);
    record("cancelled", 4);
    const { modelStats } = await inference.client.modelStatistics({ name: "rehearsal" });
    expect(modelStats.length).toBe(1);
    expect(modelStats[0]).toMatchObject({ name: "rehearsal", version: "1", lastInference: 5n, inferenceCount: 2n });
    expect(modelStats[0]?.inferenceStats).toMatchObject({
      success: { count: 2n, ns: 32_500_000n },
      fail: { count: 2n, ns: 5_000_000n },
      computeInput: { count: 2n, ns: 10_000_000n },
      computeInfer: { count: 2n, ns: 22_500_000n },
      queue: { count: 2n, ns: 0n },
      cacheHit: { count: 0n },
    });
  });

  it("are told of every name that is known, and of nobody else", async () => {
    const { client } = inference;
    const names = (await client.modelStatistics({})).modelStats.map(({ name }) => name);
    expect(names).toEqual(["asleep", "leaves", "loads", "rehearsal", "simple"]);
    expect(await reasonOf(client.modelStatistics({ name: "simple", version: "2" }))).toBe("answered");
    expect((await client.modelStatistics({ name: "asleep", version: "1" })).modelStats).toHaveLength(1);
    expect(await reasonOf(client.modelStatistics({ name: "nobody" }))).toBe("MODEL_NOT_FOUND");
    expect(await reasonOf(client.modelStatistics({ name: "asleep", version: "2" }))).toBe("NOT_FOUND");
  });
});

it("has the methods that are handed in, and says of others that it has none", async () => {
  const { client } = inference;
  expect((await client.logSettings({})).settings).toHaveProperty("said");
  expect(await reasonOf(client.traceSetting({}))).toBe("UNSUPPORTED_FEATURE");
});

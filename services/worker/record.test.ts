import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  Determinism,
  InstanceState,
  ModelCardSchema,
  ModelInput,
  WorkerRole,
} from "#gen/stator/discovery/v1/discovery_pb";
import { readModels } from "#lib/discovery/models";
import { NO_TIME, parseTimePrior } from "#lib/perf/time-prior";
import { FakeEngine } from "../../test/support/fake-engine.ts";
import { NOTHING_KNOWN } from "../../test/support/late-engine.ts";
import { modelCard, workerRecords } from "./record.ts";

const IDENTITY = {
  instanceId: 5n,
  incarnation: 6n,
  address: "127.0.0.1:8010",
  version: "1.2.3",
  engine: "fake",
  role: "aggregated",
  aliases: ["other"],
  taints: ["zone=a"],
  markersInContent: false,
  models: ["fake-model", "pirate"],
  services: ["stator.worker.v1.WorkerLinkService"],
} as const;
const READY = { state: "ready", reason: "" } as const;

test("a worker without its model publishes itself alone", () => {
  const records = workerRecords(IDENTITY, { state: "loading", reason: "The model is loading." }, undefined);
  expect(records).toHaveLength(1);
  expect(records[0]!.value).toMatchObject({
    case: "instance",
    value: {
      state: InstanceState.LOADING,
      reason: "The model is loading.",
      models: IDENTITY.models,
      maxRunningRequests: 0,
    },
  });
});

test("a record says what part of requests the worker does and what computes", () => {
  const facts = [
    { what: "threads", value: "4", by: "the cores" },
    { what: "device", value: "CPU" },
  ];
  const { card } = new FakeEngine({ facts });
  const served = { card, createdUnixSeconds: 10, adapters: [] };
  expect(workerRecords(IDENTITY, READY, served)[0]!.value.value).toMatchObject({
    workerRole: WorkerRole.AGGREGATED,
    engine: "fake",
    engineDescription: { name: "fake", version: "1.0", facts: { threads: "4", device: "CPU" } },
  });
  const loading = workerRecords({ ...IDENTITY, role: "prefill" }, READY, undefined)[0]!.value.value;
  expect(loading).toMatchObject({ workerRole: WorkerRole.PREFILL });
  expect(loading).not.toHaveProperty("engineDescription");
});

test("a reader finds model and adapters of a ready worker under the keys where it looks", () => {
  const { card } = new FakeEngine({ artifacts: [] });
  const adapters = [{ name: "pirate", path: "/a", digest: new Uint8Array(32).fill(1) }];
  const records = workerRecords(IDENTITY, READY, { card, createdUnixSeconds: 10, adapters });
  const { leftOut, names } = readModels(records, { policy: "strict", before: undefined, nowMs: 0 });
  expect(leftOut).toEqual([]);
  const worker = names.get("fake-model")?.sets[0]?.workers[0];
  expect(worker?.instance).toMatchObject({
    instanceId: 5n,
    incarnation: 6n,
    totalKvBlocks: 64n,
    maxRunningRequests: 8,
  });
  expect(worker?.card).toMatchObject({ contextTokens: 512, createdUnixSeconds: 10n });
  expect(names.get("pirate")).toMatchObject({ parent: "fake-model" });
});

test.each([
  ["ready", InstanceState.READY],
  ["draining", InstanceState.DRAINING],
  ["asleep", InstanceState.ASLEEP],
  ["failed", InstanceState.FAILED],
] as const)("%s is a state of the record", (state, expected) => {
  const [record] = workerRecords(IDENTITY, { state, reason: "why" }, undefined);
  expect(record!.value.value).toMatchObject({ state: expected, reason: "why" });
});

test("what nobody knows of an engine is unknown to whoever reads its records, and absent for an older build", () => {
  const { capabilities } = new FakeEngine().card;
  const { card } = new FakeEngine({
    ...{ ...NOTHING_KNOWN, hashScheme: "", quantization: "", modelDigest: new Uint8Array(0) },
    capabilities: {
      ...{ ...capabilities, grammar: "unknown", logprobs: "unknown", embed: false, kvBlocks: false, lora: false },
      ...{ maxTopLogprobs: undefined, embeddingSize: undefined },
    },
  });
  const records = workerRecords(IDENTITY, READY, { card, createdUnixSeconds: 10, adapters: [] });
  const { names } = readModels(records, { policy: "strict", before: undefined, nowMs: 0 });
  const { facts, sets, ready } = names.get("fake-model")!;
  expect(facts?.contextTokens).toBeUndefined();
  expect(facts?.features).toMatchObject({
    ...{ generate: true, embed: false, grammar: "unknown", logprobs: "unknown", promptLogprobs: true },
    ...{ maxTopLogprobs: 20, embeddingSize: undefined },
  });
  expect([...ready.keys()]).toEqual([5n]);
  const [worker] = sets[0]!.workers;
  expect(worker).toMatchObject({ kvRouting: false, reason: "Its routing scope is unknown." });
  expect([worker?.instance.maxRunningRequests, worker?.instance.totalKvBlocks]).toEqual([0, undefined]);
  expect(worker?.card).toMatchObject({ contextTokens: 0, reuseTokens: 0 });
  expect(worker?.card.weights).toBeUndefined();
  expect(worker?.card.capabilities).toMatchObject({ grammar: false, logprobs: false, maxTopLogprobs: 0 });
  const loading = workerRecords(IDENTITY, READY, undefined)[0]!.value.value;
  expect(loading, "before it is loaded nobody knows, either").not.toHaveProperty("totalKvBlocks");
});

test("a card says what is missing and why, and survives the wire", () => {
  const content = Uint8Array.of(1, 2, 3);
  const digest = new Uint8Array(32).fill(7);
  const { card } = new FakeEngine({
    artifacts: [{ kind: "tokenizer", format: "gguf", digest, content }],
    defaultSampling: { temperature: 0.7, top_k: 64 },
  });
  const written = modelCard(IDENTITY, card, 10);
  expect(fromBinary(ModelCardSchema, toBinary(ModelCardSchema, written))).toEqual(create(ModelCardSchema, written));
  expect(written.aliases).toEqual(["other"]);
  expect(written.routing?.tokenizerDigest).toEqual(digest);
  expect(written.routing?.templateDigest).toEqual(new Uint8Array(0));
  expect(written.artifacts[0]).toMatchObject({ kind: "tokenizer", sizeBytes: 3n });
  expect(written.capabilities).toMatchObject({ mock: true, kvBlocks: false, missing: card.capabilities.missing });
  expect(written.defaultSampling).toEqual({ temperature: 0.7, top_k: 64 });
  expect(written).toMatchObject({ deterministic: Determinism.BATCH, reuseTokens: card.reuseTokens });
  expect([written.input, modelCard(IDENTITY, { ...card, input: "text" }, 10).input]).toEqual([
    ModelInput.TOKENS,
    ModelInput.TEXT,
  ]);
  const markers = modelCard({ ...IDENTITY, markersInContent: true }, card, 10).markersInContent;
  expect([written.markersInContent, markers]).toEqual([false, true]);
  expect(written.transfer).toBeUndefined();
});

test("how fast an engine says that it is comes back from its card, and nothing where it does not say", () => {
  const times = { ...NO_TIME, prefillTokenMs: 0.125, decodeMs: 10, passTokens: 2_048 };
  const written = modelCard(IDENTITY, new FakeEngine({ times }).card, 10);
  const read = fromBinary(ModelCardSchema, toBinary(ModelCardSchema, written));
  expect(parseTimePrior(read.timePrior)).toEqual(times);
  expect(modelCard(IDENTITY, new FakeEngine().card, 10).timePrior).toBeUndefined();
});

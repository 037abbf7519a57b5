import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Certainty } from "#gen/stator/common/v1/common_pb";
import {
  AdapterCardSchema,
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  ModelCardSchema,
  ModelInput,
  WorkerRole,
} from "#gen/stator/discovery/v1/discovery_pb";
import { pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import type { DiscoveryRecord } from "./discovery.ts";
import { type AskedAt, knownModel, type Models, readModels, readyModel } from "./models.ts";
import { adapterKey, instanceKey, modelKey } from "./record-keys.ts";

const digest = (byte: number) => new Uint8Array(32).fill(byte);
const hex = (byte: number) => byte.toString(16).padStart(2, "0").repeat(32);

interface Card {
  readonly name?: string;
  readonly tokenizer?: number;
  readonly block?: number;
  readonly weights?: number;
  readonly quantization?: string;
  readonly aliases?: string[];
  readonly scope?: boolean;
  readonly weight?: number;
  readonly state?: InstanceState;
  readonly contextTokens?: number;
  readonly unknown?: string[];
  readonly role?: WorkerRole;
  readonly input?: ModelInput;
  readonly tensor?: { platform?: string; decoupled?: boolean };
  readonly logprobs?: boolean;
  readonly markersInContent?: boolean;
}

function worker(id: bigint, card: Card = {}): [DiscoveryRecord, DiscoveryRecord] {
  const {
    name = "m",
    tokenizer = 1,
    block = 16,
    weights = 1,
    quantization = "Q8_0",
    aliases = [],
    scope = true,
  } = card;
  const { state = InstanceState.READY, weight, contextTokens = 100, logprobs = true, unknown = [] } = card;
  const instance = create(InstanceRecordSchema, {
    workerRole: card.role,
    ...{ instanceId: id, incarnation: 1n, role: InstanceRole.WORKER, state, weight, models: [name] },
  });
  const routing = { blockTokens: block, hashScheme: "x", tokenizerDigest: digest(tokenizer) };
  const model = create(ModelCardSchema, {
    ...{ name, instanceId: id, aliases, createdUnixSeconds: id, contextTokens, input: card.input },
    markersInContent: card.markersInContent,
    tensor: card.tensor,
    capabilities: { generate: true, logprobs, maxTopLogprobs: unknown.length > 0 ? 0 : 5, unknown },
    weights: { modelDigest: digest(weights), quantization, certainty: Certainty.REPORTED },
    routing: scope ? { ...routing, templateDigest: digest(9), certainty: Certainty.REPORTED } : undefined,
    artifacts: scope ? [{ kind: "tokenizer", format: "bytes", digest: digest(tokenizer) }] : [],
  });
  return [
    { key: instanceKey(id), value: { case: "instance", value: instance } },
    { key: modelKey(name, id), value: { case: "model", value: model } },
  ];
}

function adapter(id: bigint, name: string, baseModel = "m", file = 1): DiscoveryRecord {
  const card = create(AdapterCardSchema, { name, instanceId: id, baseModel, digest: digest(file) });
  return { key: adapterKey(name, id), value: { case: "adapter", value: card } };
}

const read = (records: DiscoveryRecord[], policy: "strict" | "degrade" = "strict", before?: Models, nowMs = 0) =>
  readModels(records, { policy, before, nowMs });
/** The least that a worker publishes of a model. */
function bare(id: bigint): DiscoveryRecord[] {
  const [instance] = worker(id);
  const model = create(ModelCardSchema, { name: "m", instanceId: id });
  return [instance, { key: modelKey("m", id), value: { case: "model", value: model } }];
}

const NOW: AskedAt = { nowMs: 0, expecting: false };

function told(run: () => unknown): string {
  try {
    run();
    return "found";
  } catch (error) {
    return error instanceof StatorError ? `${error.reason} ${error.retryAfterMs ?? ""}`.trim() : String(error);
  }
}

describe("workers of a model", () => {
  it("are grouped by their weights, whatever the order of the records", () => {
    const records = [
      ...worker(1n, { weight: 3 }),
      ...worker(2n),
      ...worker(3n, { weights: 2 }),
      ...worker(4n, { quantization: "Q4_K" }),
      ...worker(5n, { name: "other", aliases: ["m", "alias"] }),
    ];
    const models = read(records);
    const { sets, ready } = models.names.get("m")!;
    const ids = sets.map(({ workers }) => workers.map(({ instance }) => instance.instanceId));
    expect(ids).toEqual([[1n, 2n], [3n], [4n]]);
    expect(sets.map(({ weight }) => weight)).toEqual([4, 1, 1]);
    expect(new Set(sets.map(({ id }) => id)).size).toBe(3);
    expect([...ready]).toEqual(sets.flatMap(({ id, workers }) => workers.map((one) => [one.instance.instanceId, id])));
    expect(models.leftOut).toEqual([]);
    const chance = new SeededChance(3n);
    for (let at = 0; at < 20; at++) {
      const shuffled = records.map((one) => ({ one, by: pick(chance, 1000) })).sort((a, b) => a.by - b.by);
      expect(read(shuffled.map(({ one }) => one)).names).toEqual(models.names);
    }
  });

  it("are refused with another routing scope, or kept without KV routing; with another tokenizer always refused", () => {
    const records = [...worker(1n), ...worker(2n, { block: 32 }), ...worker(3n, { tokenizer: 2 })];
    const strict = read(records);
    expect([...strict.names.get("m")!.ready.keys()]).toEqual([1n]);
    expect(strict.refused).toEqual([
      { instanceId: 2n, model: "m", reason: "It has blocks of 32 tokens instead of 16." },
      { instanceId: 3n, model: "m", reason: "It has another tokenizer." },
    ]);
    const degraded = read(records, "degrade");
    expect(degraded.refused).toEqual([{ instanceId: 3n, model: "m", reason: "It has another tokenizer." }]);
    expect(degraded.names.get("m")!.sets[0]!.workers.map(({ kvRouting, reason }) => [kvRouting, reason])).toEqual([
      [true, ""],
      [false, "Without KV routing: it has blocks of 32 tokens instead of 16."],
    ]);
  });

  it("take token ids or text as the first of them does; where text is taken nobody needs a tokenizer", () => {
    const text = { input: ModelInput.TEXT, scope: false };
    const { names, refused } = read([
      ...worker(1n, { name: "ids" }),
      ...worker(2n, { ...text, name: "ids" }),
      ...worker(3n, { ...text, name: "texts", tokenizer: 4 }),
      ...worker(4n, { input: ModelInput.TEXT, name: "texts" }),
      ...worker(5n, { input: ModelInput.TOKENS, name: "texts" }),
    ]);
    const seen = ["ids", "texts"].map((name) => {
      const { facts, tokenizer, ready } = names.get(name)!;
      return [facts?.input, facts?.text?.key, tokenizer, [...ready.keys()]];
    });
    expect(seen).toEqual([
      ["tokens", `${hex(1)}:`, hex(1), [1n]],
      ["text", undefined, "", [3n, 4n]],
    ]);
    expect(refused).toEqual([
      { instanceId: 2n, model: "ids", reason: "It takes text, and others of this model take token ids." },
      { instanceId: 5n, model: "texts", reason: "It takes token ids, and others of this model take text." },
    ]);
  });

  it("take tensors, and are ready without a tokenizer; what their first card says counts, and none takes text beside them", () => {
    const tensors = { input: ModelInput.TENSOR, scope: false };
    const { names, refused } = read([
      ...worker(1n, { ...tensors, name: "simple", tensor: { platform: "onnx", decoupled: true } }),
      ...worker(2n, { ...tensors, name: "simple", tensor: { platform: "other" } }),
      ...worker(3n, { name: "simple" }),
      ...worker(4n, { ...tensors, name: "bare" }),
      ...worker(5n, { name: "ids" }),
    ]);
    const seen = ["simple", "bare", "ids"].map((name) => {
      const { facts, tokenizer, ready } = names.get(name)!;
      return [facts?.input, facts?.tensor, facts?.text === undefined, tokenizer, [...ready.keys()]];
    });
    expect(seen).toEqual([
      ["tensor", { platform: "onnx", decoupled: true }, true, "", [1n, 2n]],
      ["tensor", { platform: "", decoupled: false }, true, "", [4n]],
      ["tokens", undefined, false, hex(1), [5n]],
    ]);
    expect(refused).toEqual([
      { instanceId: 3n, model: "simple", reason: "It takes token ids, and others of this model take tensors." },
    ]);
  });

  it("take whole requests or prompts, or are refused whatever their tokenizer; a record without a role takes whole ones", () => {
    const records = [
      ...worker(1n, { role: WorkerRole.PREFILL, tokenizer: 9 }),
      ...worker(6n, { role: WorkerRole.PREFILL }),
      ...worker(2n, { role: WorkerRole.UNSPECIFIED }),
      ...worker(3n, { role: WorkerRole.AGGREGATED }),
      ...worker(4n, { role: WorkerRole.DECODE }),
      ...worker(5n, { role: WorkerRole.ENCODE, name: "other" }),
    ];
    const { names, refused } = read(records);
    const { ready, prefill, tokenizer, workers, sets } = names.get("m")!;
    expect([[...ready.keys()], [...workers.keys()], tokenizer]).toEqual([[2n, 3n, 4n], [2n, 3n, 4n, 6n], hex(1)]);
    expect([...prefill]).toEqual([[6n, ready.get(2n)]]);
    expect(sets.map(({ weight }) => weight)).toEqual([3]);
    expect(refused).toEqual([
      { instanceId: 1n, model: "m", reason: "It has another tokenizer." },
      { instanceId: 5n, model: "other", reason: "Its role is encode: it takes no whole requests." },
    ]);
    expect(told(() => readyModel(read(records), "other", NOW))).toBe("NO_WORKERS 2000");
    const announced = records.filter(({ value }) => value.case === "instance");
    expect([...read(announced).names.get("m")!.ready.keys()], "before their cards are there").toEqual([2n, 3n, 4n]);
  });

  it("may have another scope in another set, but not another tokenizer", () => {
    const records = [
      ...worker(1n),
      ...worker(2n, { block: 32, weights: 2 }),
      ...worker(3n, { tokenizer: 2, weights: 3 }),
    ];
    const { names, refused } = read(records);
    expect(names.get("m")!.sets.map(({ routing }) => routing?.blockTokens)).toEqual([16, 32]);
    expect(refused).toEqual([{ instanceId: 3n, model: "m", reason: "It has another tokenizer." }]);
  });

  it("are refused where nobody stated their tokenizer and it matters", () => {
    const { names, refused } = read([...worker(1n), ...worker(2n, { scope: false })]);
    expect([...names.get("m")!.ready.keys()]).toEqual([1n]);
    expect(refused).toEqual([{ instanceId: 2n, model: "m", reason: "Its tokenizer is unknown." }]);
    const { sets, tokenizer } = read(worker(2n, { scope: false })).names.get("m")!;
    expect(tokenizer).toBe("");
    expect(sets[0]!.workers[0]).toMatchObject({
      ...{ kvRouting: false, unverified: true, reason: "Its routing scope is unknown." },
    });
  });
});

describe("facts of a name", () => {
  it("are what is known; a feature that some worker may have and none lacks is unknown", () => {
    const unknown = { logprobs: false, unknown: ["logprobs", "maxTopLogprobs"] };
    const features = (...records: DiscoveryRecord[]) => read(records).names.get("m")!.facts!.features.logprobs;
    expect(features(...worker(1n, unknown))).toBe("unknown");
    expect(features(...worker(1n, unknown), ...worker(2n))).toBe("unknown");
    expect(features(...worker(1n, unknown), ...worker(2n), ...worker(3n, { logprobs: false }))).toBe(false);
    const facts = (...records: DiscoveryRecord[]) => read(records).names.get("m")!.facts!;
    expect(facts(...worker(1n, { contextTokens: 0 })).contextTokens).toBeUndefined();
    expect(facts(...worker(1n, { contextTokens: 0 }), ...worker(2n, { contextTokens: 9 })).contextTokens).toBe(9);
    const most = (...records: DiscoveryRecord[]) => facts(...records).features.maxTopLogprobs;
    expect(most(...worker(1n, unknown))).toBe(20);
    expect(most(...worker(1n, unknown), ...worker(2n))).toBe(5);
  });

  it("are what its workers agree on; who is refused or failed has no say", () => {
    const poor = { contextTokens: 10, logprobs: false };
    const { names } = read([
      ...worker(1n, { state: InstanceState.FAILED, tokenizer: 3, ...poor }),
      ...worker(2n, { contextTokens: 80 }),
      ...worker(3n, { contextTokens: 60 }),
      ...worker(4n, { block: 32, ...poor }),
      ...worker(5n, { tokenizer: 2, weights: 2, ...poor }),
    ]);
    const { facts, tokenizer, workers } = names.get("m")!;
    expect(facts).toMatchObject({ contextTokens: 60, createdUnixSeconds: 2, features: { logprobs: true } });
    expect([tokenizer, facts?.text?.key]).toEqual([hex(1), `${hex(1)}:`]);
    expect(facts?.text?.holders.map(({ instanceId }) => instanceId)).toEqual([2n, 3n]);
    expect([...workers.keys()]).toEqual([2n, 3n, 1n]);
  });

  it("say whether markers in content count as the first worker does, whatever others of it say", () => {
    const texts = (first: boolean) => {
      const cards = [worker(1n, { markersInContent: first }), worker(2n, { markersInContent: !first })];
      const { facts } = read(cards.flat()).names.get("m")!;
      return { ...facts!.text!, holders: facts!.text!.holders.length };
    };
    const digests = `${hex(1)}:`;
    expect(texts(false)).toMatchObject({ key: digests, markersInContent: false, holders: 2 });
    expect(texts(true)).toMatchObject({ key: `${digests}:markers`, markersInContent: true, holders: 2 });
  });

  it("come from the model of that name, not from an older one that has it as an alias", () => {
    const old = worker(1n, { name: "b", aliases: ["a", "c"], tokenizer: 1, contextTokens: 10 });
    const { names } = read([...old, ...worker(2n, { name: "a", tokenizer: 2 })]);
    const of = (name: string) => {
      const { model, tokenizer, facts, ready } = names.get(name)!;
      return [model, tokenizer, facts?.text?.tokenizer.digest[0], facts?.contextTokens, [...ready.keys()]];
    };
    expect(of("a")).toEqual(["a", hex(2), 2, 100, [2n]]);
    for (const name of ["b", "c"]) expect(of(name)).toEqual(["b", hex(1), 1, 10, [1n]]);
  });

  it("belong to the longest servable model that has an alias", () => {
    const { names } = read([
      ...worker(2n, { name: "young", aliases: ["x"], tokenizer: 2 }),
      ...worker(1n, { name: "old", aliases: ["x"] }),
    ]);
    expect(names.get("x")).toMatchObject({ name: "x", model: "old", tokenizer: hex(1) });
  });
});

describe("an adapter", () => {
  it("has the base's facts on the workers that hold it, and moves only where file and weights are equal", () => {
    const { names } = read([
      ...worker(1n),
      ...worker(2n),
      ...worker(3n, { weights: 2 }),
      ...worker(4n),
      ...worker(5n, { block: 32 }),
      ...[1n, 2n, 3n, 5n].map((id) => adapter(id, "pirate")),
      adapter(4n, "pirate", "m", 2),
    ]);
    const { ready, ...pirate } = names.get("pirate")!;
    expect(pirate).toMatchObject({ model: "pirate", parent: "m", tokenizer: hex(1), facts: { contextTokens: 100 } });
    const words = [...ready.values()];
    // The fifth is refused as a worker of the base.
    expect([...ready.keys()]).toEqual([1n, 2n, 4n, 3n]);
    expect([words[0] === words[1], new Set(words).size]).toEqual([true, 3]);
  });

  it("is left out without its base, under a model's name, and for another base than the first's", () => {
    const { names } = read([
      ...worker(1n),
      ...worker(2n, { name: "n" }),
      ...[adapter(1n, "n"), adapter(1n, "orphan", "nobody"), adapter(1n, "two"), adapter(2n, "two", "n")],
      adapter(1n, "chained", "two"),
    ]);
    expect(names.get("n")).toMatchObject({ model: "n", parent: undefined });
    expect([...names.keys()]).toEqual(["m", "n", "two"]);
    expect([...names.get("two")!.workers.keys()]).toEqual([1n]);
  });
});

describe("a name", () => {
  const asked = (models: Models, name: string, at: Partial<AskedAt> = {}) =>
    [knownModel, readyModel].map((find) => told(() => find(models, name, { ...NOW, ...at })));

  it("is ready, loading, away or nowhere", () => {
    const [instance] = worker(2n, { name: "coming", state: InstanceState.LOADING });
    const models = read([...worker(1n), instance, ...worker(3n, { name: "draining", state: InstanceState.DRAINING })]);
    expect(asked(models, "m")).toEqual(["found", "found"]);
    expect(asked(models, "coming")).toEqual(["found", "MODEL_LOADING 1000"]);
    expect(asked(models, "draining")).toEqual(["found", "NO_WORKERS 2000"]);
    expect(asked(models, "other")).toEqual(["MODEL_NOT_FOUND", "MODEL_NOT_FOUND"]);
    expect(() => knownModel(models, "comming", NOW)).toThrow(/Did you mean coming\?/);
    expect(() => knownModel(models, "x".repeat(500), NOW)).toThrow(/x{128} does not .* GET \/v1\/models lists/);
  });

  it("is there by workers of prompts alone, and it is said that those for answers are missing", () => {
    const prefill = { role: WorkerRole.PREFILL };
    const alone = read([...worker(1n, prefill), adapter(1n, "a")]);
    for (const name of ["m", "a"]) {
      expect(asked(alone, name)).toEqual(["found", "NO_WORKERS 2000"]);
      expect(() => readyModel(alone, name, NOW)).toThrow("No worker with the role decode can take a request for");
      const { facts, tokenizer, prefill: takers } = alone.names.get(name)!;
      expect([facts?.contextTokens, tokenizer, takers.size]).toEqual([100, hex(1), 1]);
    }
    const [coming] = worker(2n, { role: WorkerRole.DECODE, state: InstanceState.LOADING });
    expect(asked(read([...worker(1n, prefill), coming]), "m")[1]).toBe("MODEL_LOADING 1000");
    const away = { ...prefill, state: InstanceState.DRAINING };
    expect(read([...worker(1n, away), ...worker(2n)]).names.get("m")!.prefill.size).toBe(0);
    const [card] = worker(3n, prefill);
    expect([...read([card, ...worker(2n)]).names.get("m")!.prefill], "before its card").toEqual([[3n, "unknown"]]);
  });

  it("may be that of the first worker, or of one that has named nothing yet", () => {
    expect(asked(read([]), "m", { expecting: true })).toEqual(["MODEL_LOADING 1000", "MODEL_LOADING 1000"]);
    const silent = create(InstanceRecordSchema, {
      ...{ instanceId: 1n, role: InstanceRole.WORKER, state: InstanceState.LOADING },
    });
    const models = read([{ key: instanceKey(1n), value: { case: "instance", value: silent } }]);
    expect(asked(models, "m")[0]).toBe("MODEL_LOADING 1000");
  });

  it("whose workers all left a moment ago is away and not unknown, until it is served again or time has passed", () => {
    const before = read([...worker(1n), ...worker(2n)]);
    const [onlyInstance] = worker(1n, { name: "another" });
    // One is still there and does not serve it any more.
    expect(asked(read([onlyInstance], "strict", before), "m")[0]).toBe("MODEL_NOT_FOUND");
    const gone = read([], "strict", before, 5_000);
    const later = read([], "strict", gone, 20_000);
    for (const [models, nowMs] of [
      [gone, 5_000],
      [later, 35_000],
    ] as const)
      expect(asked(models, "m", { nowMs })[0]).toBe("NO_WORKERS 2000");
    expect(asked(later, "m", { nowMs: 35_001 })[0]).toBe("MODEL_NOT_FOUND");
    expect(read([], "strict", later, 35_001).gone.size).toBe(0);
    expect(read([...worker(1n)], "strict", gone, 6_000).gone.size).toBe(0);
  });

  it("that left is remembered among 1,024", () => {
    const many = Array.from({ length: 1_025 }, (_, at) => worker(BigInt(at + 1), { name: `m${at}` })).flat();
    const { gone } = read([], "strict", read(many), 0);
    expect([gone.size, gone.has("m0"), gone.has("m1"), gone.has("m1024")]).toEqual([1_024, false, true, true]);
  });
});

it("leaves out cards without a worker and records under another's key", () => {
  const [instance, model] = worker(1n);
  const [frontend, orphan] = worker(2n);
  if (frontend.value.case === "instance") frontend.value.value.role = InstanceRole.FRONTEND;
  const elsewhere = { ...instance, key: "instances/elsewhere" };
  const { workers, leftOut } = read([instance, { ...model, key: modelKey("x", 1n) }, frontend, orphan, elsewhere]);
  expect([...workers.keys()]).toEqual([1n]);
  expect(leftOut).toEqual([
    { key: modelKey("x", 1n), reason: `the value belongs under ${modelKey("m", 1n)}` },
    { key: "instances/elsewhere", reason: `the value belongs under ${instanceKey(1n)}` },
    { key: modelKey("m", 2n), reason: "its worker is not there" },
  ]);
});

it("a card that says nothing of what its engine can do and since when decides for nobody else, and all is tried", () => {
  const { names, cards } = read([...bare(1n), ...worker(2n)]);
  const { facts, workers, sets } = names.get("m")!;
  expect([facts?.createdUnixSeconds, facts?.features.logprobs]).toEqual([2, true]);
  expect([workers.size, sets.flatMap((set) => set.workers).map(({ card }) => card.instanceId)]).toEqual([1, [2n]]);
  expect(cards.get(1n)?.map(({ name }) => name)).toEqual(["m"]);
  const alone = read(bare(1n)).names.get("m")!.facts!;
  expect(alone).toMatchObject({ createdUnixSeconds: 0, contextTokens: undefined, text: undefined });
  const { generate, embed, grammar, embeddingSize } = alone.features;
  expect([generate, embed, grammar, embeddingSize]).toEqual(["unknown", "unknown", "unknown", undefined]);
});

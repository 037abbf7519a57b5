import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  AdapterCardSchema,
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  ModelCardSchema,
} from "#gen/stator/discovery/v1/discovery_pb";
import { StatorError } from "#lib/base/errors";
import type { DiscoveryRecord } from "./discovery.ts";
import { absent, knownModel, type Models, readModels, readyModel } from "./models.ts";
import { adapterKey, instanceKey, modelKey } from "./record-keys.ts";

// What happens at the edges of the reading, where two are equal, and where a record is on its way.

const digest = (byte: number) => new Uint8Array(32).fill(byte);

function instance(id: bigint, models: string[], state: InstanceState = InstanceState.READY): DiscoveryRecord {
  const value = create(InstanceRecordSchema, { instanceId: id, role: InstanceRole.WORKER, state, models });
  return { key: instanceKey(id), value: { case: "instance", value } };
}

function card(id: bigint, options: { name?: string; created?: bigint; weights?: number; tokenizer?: number } = {}) {
  const { name = "m", created = id, weights = 1, tokenizer = 1 } = options;
  const value = create(ModelCardSchema, {
    ...{ name, instanceId: id, createdUnixSeconds: created, contextTokens: Number(id) },
    weights: { modelDigest: digest(weights), quantization: "q" },
    artifacts: [{ kind: "tokenizer", format: "bytes", digest: digest(tokenizer) }],
  });
  return { key: modelKey(name, id), value: { case: "model", value } } satisfies DiscoveryRecord;
}

function adapter(id: bigint, baseModel = "m", name = "a"): DiscoveryRecord {
  const value = create(AdapterCardSchema, { name, instanceId: id, baseModel, digest: digest(1) });
  return { key: adapterKey(name, id), value: { case: "adapter", value } };
}

const read = (records: DiscoveryRecord[], before?: Models, nowMs = 0) =>
  readModels(records, { policy: "strict", before, nowMs });
const at = { nowMs: 0, expecting: false };

function told(run: () => unknown): string {
  try {
    run();
    return "found";
  } catch (error) {
    return error instanceof StatorError ? error.reason : String(error);
  }
}

describe("the order of a view", () => {
  it("is by id for workers, whatever comes first", () => {
    const records = [5n, 3n, 9n, 1n].map((id) => instance(id, ["m"]));
    for (const some of [records, records.toReversed()])
      expect([...read(some).workers.keys()]).toEqual([1n, 3n, 5n, 9n]);
  });

  it("is by age for cards, and by id for cards of one second: the first decides what the model is", () => {
    const first = (...records: DiscoveryRecord[]) => {
      const all = [1n, 2n, 3n].map((id) => instance(id, []));
      const names = [read([...all, ...records]), read([...records.toReversed(), ...all])].map(
        ({ names: each }) => each,
      );
      expect(names[0]).toEqual(names[1]);
      return [...names[0]!.get("m")!.ready.keys()];
    };
    expect(first(card(1n, { created: 30n }), card(2n, { created: 20n }), card(3n, { created: 10n }))).toEqual([
      3n,
      2n,
      1n,
    ]);
    expect(first(card(1n, { created: 7n }), card(2n, { created: 7n }), card(3n, { created: 7n }))).toEqual([
      1n,
      2n,
      3n,
    ]);
    expect(first(card(1n, { created: 7n }), card(2n, { created: 6n }), card(3n, { created: 7n }))).toEqual([
      2n,
      1n,
      3n,
    ]);
  });

  it("is by id for adapters: the first holder's base is the adapter's", () => {
    const workers = [instance(1n, []), instance(2n, []), card(1n, { name: "n" }), card(2n)];
    for (const adapters of [
      [adapter(1n, "n"), adapter(2n)],
      [adapter(2n), adapter(1n, "n")],
    ]) {
      // biome-ignore format: one line
      expect(read([...workers, ...adapters]).names.get("a")).toMatchObject({ parent: "n" });
    }
  });
});

describe("a worker whose card is on the way", () => {
  it("takes requests of the name that it says, with weights that nobody knows; who needs the card waits for it", () => {
    const models = read([instance(1n, ["m"])]);
    expect([...readyModel(models, "m", at).ready]).toEqual([[1n, "unknown"]]);
    expect(models.names.get("m")?.facts).toBeUndefined();
    expect(absent(models.names.get("m")!).reason).toBe("MODEL_LOADING");
  });

  it("is one more of a model that others have a card of", () => {
    const models = read([
      instance(1n, ["m"]),
      card(1n),
      instance(2n, ["m"]),
      instance(3n, ["m"], InstanceState.LOADING),
    ]);
    const { ready, workers } = models.names.get("m")!;
    expect([[...ready.keys()], ready.get(2n), [...workers.keys()]]).toEqual([[1n, 2n], "unknown", [1n, 2n, 3n]]);
  });

  it("may say less than its card does", () => {
    expect([
      ...read([instance(1n, []), card(1n)])
        .names.get("m")!
        .ready.keys(),
    ]).toEqual([1n]);
  });

  it("may bring any name while it loads and says none; a ready one that says none brings none", () => {
    const asked = (...records: DiscoveryRecord[]) => told(() => knownModel(read(records), "x", at));
    expect(asked(instance(1n, [], InstanceState.LOADING))).toBe("MODEL_LOADING");
    expect(asked(instance(1n, ["m"], InstanceState.LOADING))).toBe("MODEL_NOT_FOUND");
    expect(asked(instance(1n, []))).toBe("MODEL_NOT_FOUND");
  });
});

describe("a record that is not read", () => {
  it("names nothing", () => {
    const { names, leftOut } = read([instance(1n, []), { ...card(1n), key: modelKey("x", 1n) }]);
    expect([names.size, leftOut.length]).toEqual([0, 1]);
  });
});

describe("an adapter", () => {
  it("has the sets of its base in which somebody holds it, and is no name when none does", () => {
    const base = [instance(1n, []), card(1n), instance(2n, []), card(2n, { weights: 2 })];
    const { sets, ready } = read([...base, adapter(2n)]).names.get("a")!;
    expect([sets.length, [...ready.keys()]]).toEqual([1, [2n]]);
    const refused = [instance(3n, []), card(3n, { tokenizer: 2 })];
    expect([...read([...base, ...refused, adapter(3n)]).names.keys()]).toEqual(["m"]);
  });
});

describe("what a client is told of a name that is not there", () => {
  const sentence = (models: Models, name: string) => {
    try {
      knownModel(models, name, at);
    } catch (error) {
      return (error as Error).message;
    }
    return "found";
  };

  it("points to the list when something is served, and to nothing else", () => {
    expect(sentence(read([]), "zzzzzz")).not.toContain("/v1/models");
    expect(sentence(read([instance(1n, ["m"])]), "zzzzzz")).toContain("GET /v1/models lists what is served.");
  });

  it("shows 128 characters of it", () => {
    const name = `y${"x".repeat(126)}`;
    expect(sentence(read([]), `${name}vw`)).toContain(`${name}v `);
    expect(sentence(read([]), `${name}vw`)).not.toContain("w ");
  });
});

describe("a name that is gone", () => {
  it("is known for 30 s to the moment, and is forgotten with the next view", () => {
    const before = read([instance(1n, ["m"])]);
    const gone = read([], before, 1_000);
    expect(read([], gone, 31_000).gone.has("m")).toBe(true);
    expect(read([], gone, 31_001).gone.has("m")).toBe(false);
    expect(told(() => knownModel(gone, "m", { ...at, nowMs: 31_000 }))).toBe("NO_WORKERS");
    expect(told(() => knownModel(gone, "m", { ...at, nowMs: 31_001 }))).toBe("MODEL_NOT_FOUND");
  });

  it("that came back and left again is known from its last end", () => {
    const one = [instance(1n, ["m"])];
    const again = read([], read(one, read([], read(one), 0), 20_000), 25_000);
    expect(read([], again, 55_000).gone.has("m")).toBe(true);
    expect(read([], again, 55_001).gone.has("m")).toBe(false);
  });
});

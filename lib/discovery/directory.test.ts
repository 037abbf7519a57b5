import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Certainty } from "#gen/stator/common/v1/common_pb";
import {
  AdapterCardSchema,
  InstanceRecordSchema,
  InstanceState,
  ModelCardSchema,
} from "#gen/stator/discovery/v1/discovery_pb";
import { pick, SeededChance } from "#lib/base/chance";
import { adapterKey, instanceKey, modelKey, parseDirectoryKey, readDirectory } from "./directory.ts";
import type { DiscoveryRecord } from "./discovery.ts";

const digest = (byte: number) => new Uint8Array(32).fill(byte);

function worker(
  id: bigint,
  card: {
    name?: string;
    tokenizer?: number;
    block?: number;
    weights?: number;
    quantization?: string;
    aliases?: string[];
    scope?: boolean;
    weight?: number;
  } = {},
): DiscoveryRecord[] {
  const {
    name = "m",
    tokenizer = 1,
    block = 16,
    weights = 1,
    quantization = "Q8_0",
    aliases = [],
    scope = true,
  } = card;
  const instance = create(InstanceRecordSchema, {
    instanceId: id,
    incarnation: 1n,
    state: InstanceState.READY,
    weight: card.weight,
  });
  const model = create(ModelCardSchema, {
    name,
    instanceId: id,
    aliases,
    createdUnixSeconds: id,
    weights: { modelDigest: digest(weights), quantization, certainty: Certainty.REPORTED },
    routing: scope
      ? {
          blockTokens: block,
          hashScheme: "x",
          tokenizerDigest: digest(tokenizer),
          templateDigest: digest(9),
          certainty: Certainty.REPORTED,
        }
      : undefined,
  });
  return [
    { key: instanceKey(id), value: { case: "instance", value: instance } },
    { key: modelKey(name, id), value: { case: "model", value: model } },
  ];
}

describe("keys of the directory", () => {
  it("are read back as what they say", () => {
    expect(instanceKey(255n)).toBe("instances/00000000000000ff");
    expect(parseDirectoryKey(instanceKey(255n))).toEqual({ kind: "instance", name: "", instanceId: 255n });
    const name = "Org/Model-7B:Q4_K";
    expect(parseDirectoryKey(modelKey(name, 2n ** 64n - 1n))).toEqual({
      kind: "model",
      name,
      instanceId: 2n ** 64n - 1n,
    });
    expect(parseDirectoryKey(adapterKey(name, 1n))).toEqual({ kind: "adapter", name, instanceId: 1n });
    for (const other of ["instances", "instances/1", "models/a", "models/A/0000000000000001", "x/y/0000000000000001"]) {
      expect(parseDirectoryKey(other), other).toBeUndefined();
    }
  });
});

describe("the directory", () => {
  it("groups workers of a model by their weights, whatever the order of the records", () => {
    const records = [
      ...worker(1n, { weight: 3 }),
      ...worker(2n),
      ...worker(3n, { weights: 2 }),
      ...worker(4n, { quantization: "Q4_K" }),
      ...worker(5n, { name: "other", aliases: ["m", "alias"] }),
    ];
    const directory = readDirectory(records, "strict");
    const sets = directory.models.get("m")!.sets;
    expect(sets.map(({ workers }) => workers.map(({ instance }) => instance.instanceId))).toEqual([
      [1n, 2n],
      [3n],
      [4n],
    ]);
    expect(sets.map(({ weight }) => weight)).toEqual([4, 1, 1]);
    expect(new Set(sets.map(({ id }) => id)).size).toBe(3);
    expect([...directory.aliases]).toEqual([["alias", "other"]]);
    expect(directory.leftOut).toEqual([]);
    const chance = new SeededChance(3n);
    for (let at = 0; at < 20; at++) {
      const shuffled = records
        .map((one) => ({ one, by: pick(chance, 1000) }))
        .sort((left, right) => left.by - right.by);
      expect(
        readDirectory(
          shuffled.map(({ one }) => one),
          "strict",
        ).models.get("m"),
      ).toEqual(directory.models.get("m"));
    }
  });

  it("refuses a worker with another routing scope, or keeps it without KV routing", () => {
    const records = [...worker(1n), ...worker(2n, { block: 32 }), ...worker(3n, { tokenizer: 2 })];
    const strict = readDirectory(records, "strict").models.get("m")!;
    expect(strict.sets[0]!.workers).toHaveLength(1);
    expect(strict.refused).toEqual([
      { instanceId: 2n, reason: "It has blocks of 32 tokens instead of 16." },
      { instanceId: 3n, reason: "It has another tokenizer." },
    ]);
    const degraded = readDirectory(records, "degrade").models.get("m")!;
    expect(degraded.refused).toEqual([]);
    expect(
      degraded.sets[0]!.workers.map(({ kvRouting, sharesTokens, reason }) => [kvRouting, sharesTokens, reason]),
    ).toEqual([
      [true, true, ""],
      [false, true, "Without KV routing: it has blocks of 32 tokens instead of 16."],
      [false, false, "Without KV routing: it has another tokenizer."],
    ]);
  });

  it("lets another set have another scope", () => {
    const directory = readDirectory([...worker(1n), ...worker(2n, { block: 32, weights: 2 })], "strict");
    expect(directory.models.get("m")!.sets.map(({ routing }) => routing?.blockTokens)).toEqual([16, 32]);
  });

  it("shows what nobody stated as unverified", () => {
    const directory = readDirectory([...worker(1n), ...worker(2n, { scope: false })], "strict");
    const [first, second] = directory.models.get("m")!.sets[0]!.workers;
    expect(first).toMatchObject({ kvRouting: true, unverified: false });
    expect(second).toMatchObject({
      kvRouting: false,
      sharesTokens: false,
      unverified: true,
      reason: "Its routing scope is unknown.",
    });
  });

  it("leaves out cards without an instance and records under another's key", () => {
    const adapter = create(AdapterCardSchema, { name: "a", instanceId: 1n, baseModel: "m" });
    const [instance, model] = worker(1n) as [DiscoveryRecord, DiscoveryRecord];
    const [, orphan] = worker(2n) as [DiscoveryRecord, DiscoveryRecord];
    const directory = readDirectory(
      [
        instance,
        { ...model, key: modelKey("x", 1n) },
        orphan,
        { key: adapterKey("a", 1n), value: { case: "adapter", value: adapter } },
        { ...instance, key: "instances/elsewhere" },
      ],
      "strict",
    );
    expect(directory.instances.size).toBe(1);
    expect(directory.models.size).toBe(0);
    expect(directory.adapters.get("a")).toMatchObject({ baseModel: "m", holders: [{ instance: { instanceId: 1n } }] });
    expect(directory.leftOut).toHaveLength(3);
  });
});

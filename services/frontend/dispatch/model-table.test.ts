import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  ModelCardSchema,
} from "#gen/stator/discovery/v1/discovery_pb";
import { instanceKey, modelKey } from "#lib/discovery/directory";
import type { DiscoveryRecord } from "#lib/discovery/discovery";
import { readModelTable } from "./model-table.ts";

function worker(
  instanceId: bigint,
  card: MessageInitShape<typeof ModelCardSchema>,
  state: InstanceState = InstanceState.READY,
): DiscoveryRecord[] {
  const role = InstanceRole.WORKER;
  const instance = create(InstanceRecordSchema, { instanceId, incarnation: 1n, role, state, models: ["m"] });
  const model = create(ModelCardSchema, { name: "m", instanceId, createdUnixSeconds: instanceId, ...card });
  return [
    { key: instanceKey(instanceId), value: { case: "instance", value: instance } },
    { key: modelKey("m", instanceId), value: { case: "model", value: model } },
  ];
}

const routing = (tokenizer: number, blockTokens = 16) => ({
  blockTokens,
  hashScheme: "xxh3-1337-v1",
  tokenizerDigest: Uint8Array.of(tokenizer),
});
const weights = (digest: number) => ({ modelDigest: Uint8Array.of(digest), quantization: "q8_0" });

describe("readModelTable()", () => {
  it("refuses a worker with another tokenizer, whatever the policy", () => {
    const records = [...worker(1n, { routing: routing(1) }), ...worker(2n, { routing: routing(2) })];
    for (const policy of ["strict", "degrade"] as const) {
      const table = readModelTable(records, policy);
      expect([...table.find("m").instances.keys()]).toEqual([1n]);
      expect(table.refused.map(({ worker: refused }) => refused)).toEqual([2n]);
    }
  });

  it("refuses other blocks when strict, and serves them when it may degrade", () => {
    const records = [...worker(1n, { routing: routing(1) }), ...worker(2n, { routing: routing(1, 32) })];
    const strict = readModelTable(records, "strict");
    expect([...strict.find("m").instances.keys()]).toEqual([1n]);
    expect(strict.refused[0]?.reason).toBe("It has blocks of 32 tokens instead of 16.");
    expect([...readModelTable(records, "degrade").find("m").instances.keys()]).toEqual([1n, 2n]);
  });

  it("keeps workers with other weights in a set of their own", () => {
    const records = [
      ...worker(1n, { routing: routing(1), weights: weights(1) }),
      ...worker(2n, { routing: routing(1), weights: weights(1) }),
      ...worker(3n, { routing: routing(1), weights: weights(2) }),
    ];
    const { instances } = readModelTable(records, "strict").find("m");
    const sets = [1n, 2n, 3n].map((id) => instances.get(id));
    expect(sets[0]).toBe(sets[1]);
    expect(sets[0]).not.toBe(sets[2]);
  });

  it("says whether a model is loading, away, or nowhere", () => {
    const loading = worker(1n, {}, InstanceState.LOADING).slice(0, 1);
    expect(() => readModelTable(loading, "strict").find("m")).toThrow(/is loading/);
    const draining = worker(1n, {}, InstanceState.DRAINING);
    expect(() => readModelTable(draining, "strict").find("m")).toThrow(/No worker can take/);
    expect(readModelTable(draining, "strict").known("m")).toMatchObject({ model: "m", workers: new Set([1n]) });
    for (const ask of ["find", "known"] as const)
      expect(() => readModelTable(draining, "strict")[ask]("mm")).toThrow(/Did you mean m\?/);
  });
});

import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  ModelCardSchema,
  ModelInput,
  WorkerRole,
} from "#gen/stator/discovery/v1/discovery_pb";
import { readModels } from "#lib/discovery/models";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import { fleetOf } from "./fleet.ts";

const HASHES = "xxh3-1337-v1";

function records(id: bigint, blockTokens: number | undefined, instance: object = {}, card: object = {}) {
  const about = {
    instanceId: id,
    incarnation: 7n,
    role: InstanceRole.WORKER,
    state: InstanceState.READY,
    models: ["m"],
  };
  const value = create(InstanceRecordSchema, { ...about, ...instance });
  const routing = { blockTokens, hashScheme: HASHES };
  const model = create(ModelCardSchema, {
    name: "m",
    instanceId: id,
    routing: blockTokens ? routing : undefined,
    ...card,
  });
  return [
    { key: instanceKey(id), value: { case: "instance", value } },
    ...(blockTokens === undefined ? [] : [{ key: modelKey("m", id), value: { case: "model", value: model } } as const]),
  ] as const;
}

const fleet = (...all: Parameters<typeof readModels>[0] extends Iterable<infer One> ? One[][] : never) =>
  fleetOf(readModels(all.flat(), { policy: "degrade", before: undefined, nowMs: 0 }));

test("a worker is what its record and its card say", () => {
  const said = { ranks: 2, totalKvBlocks: 101n, maxRunningRequests: 4, taints: ["zone=a", "no word"] };
  const weights = { modelDigest: Uint8Array.of(1), quantization: "q8_0" };
  expect(fleet([...records(1n, 16, said, { reuseTokens: 64, weights, aliases: ["other"] })])).toEqual(
    new Map([
      [
        1n,
        {
          ...{ worker: 1n, incarnation: 7n, ranks: 2, weights: "01-q8_0", why: "", reuseTokens: 64, totalBlocks: 50 },
          ...{ scope: { blockTokens: 16, hashScheme: HASHES }, maxRunningRequests: 4, taints: new Set(["zone=a"]) },
          prior: undefined,
        },
      ],
    ]),
  );
});

test("how fast it is, is what its card says, unless that cannot be", () => {
  const said = { passMs: 1, prefillTokenMs: 0.5, passTokens: 512 };
  expect(fleet([...records(1n, 16, {}, { timePrior: said })]).get(1n)?.prior).toMatchObject(said);
  expect(fleet([...records(1n, 16, {}, { timePrior: { ...said, passMs: -1 } })]).get(1n)?.prior).toBeUndefined();
});

test("what part of requests it does, and how its blocks lie", () => {
  const transfer = { layers: 2, keyRowBytes: 8, valueRowBytes: 4, elementType: "f16", engineFormat: "e" };
  const card = { transfer: { ...transfer, blockTokens: 16, order: 2 } };
  const found = fleet(
    [...records(1n, 16, { workerRole: WorkerRole.PREFILL }, card)],
    [...records(2n, 16, { workerRole: WorkerRole.DECODE }, { transfer: { ...transfer, blockTokens: 64 } })],
    [...records(3n, 16, { workerRole: WorkerRole.AGGREGATED }, { transfer: { ...transfer, elementType: "q8_0" } })],
    [...records(4n, 16)],
  );
  const [first, second, third, fourth] = [1n, 2n, 3n, 4n].map((worker) => found.get(worker));
  expect([first, second, third, fourth].map((worker) => worker?.role)).toEqual([
    "prefill",
    "decode",
    undefined,
    undefined,
  ]);
  const layout = { layers: 2, keyRowBytes: 8, valueRowBytes: 4, elementType: "f16", engineFormat: "e" };
  expect(first?.kv).toMatchObject({ tokenBytes: 24, layout: { ...layout, blockTokens: 16, order: "kind-layer" } });
  expect(second?.kv?.layout).toMatchObject({ blockTokens: 64, order: "layer-kind" });
  expect(third?.kv?.layout).toMatchObject({ blockTokens: 16, elementType: "q8_0" });
  expect(fourth?.kv).toBeUndefined();
});

test("what nobody said is not known, and the grain of reuse is the block", () => {
  const found = fleet([...records(1n, undefined)], [...records(2n, 32)]);
  expect(found.get(1n)).toMatchObject({ ranks: 1, scope: undefined, why: "It has no model card.", reuseTokens: 1 });
  expect(found.get(1n)).toMatchObject({ totalBlocks: undefined, maxRunningRequests: undefined, weights: "unknown" });
  expect(found.get(2n)).toMatchObject({ scope: { blockTokens: 32 }, reuseTokens: 32, why: "" });
});

test("one whose blocks are of another length is not compared by prefixes, and it is said why", () => {
  const found = fleet([...records(1n, 16)], [...records(2n, 32)]);
  const without = [...found.values()].filter(({ scope }) => scope === undefined);
  expect(without).toMatchObject([{ why: expect.stringContaining("tokens instead of") }]);
  expect(found.size).toBe(2);
});

test("one that loads or has failed is not there", () => {
  for (const state of [InstanceState.LOADING, InstanceState.FAILED]) {
    expect(fleet([...records(1n, undefined, { state })]).size).toBe(0);
  }
  expect(fleet([...records(1n, undefined, { state: InstanceState.DRAINING })]).size).toBe(1);
});

test("a worker of tensors has no prompts, and nothing of it is lacking", () => {
  const found = fleet([...records(1n, 0, { maxRunningRequests: 4 }, { input: ModelInput.TENSOR })]).get(1n);
  expect(found).toMatchObject({ scope: undefined, why: "", noPrompts: true, maxRunningRequests: 4 });
  expect(fleet([...records(2n, 16)]).get(2n)?.noPrompts).toBeUndefined();
});

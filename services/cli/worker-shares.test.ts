import { expect, it } from "vitest";
import { shareWorkers, type WantedWorkers } from "./worker-shares.ts";

const wanted: WantedWorkers = {
  ...{ workers: undefined, prefill: 0, decode: 0, engine: "mock", models: [], modelName: undefined },
};
const namesOf = (more: Partial<WantedWorkers>) => shareWorkers({ ...wanted, ...more }).map(({ name }) => name);

it("a tree has two workers, or those that were asked for", () => {
  expect(namesOf({})).toEqual(["worker-1", "worker-2"]);
  expect(namesOf({ workers: 1 })).toEqual(["worker-1"]);
  expect(namesOf({ prefill: 1, decode: 2 })).toEqual(["prefill-1", "decode-1", "decode-2"]);
  expect(namesOf({ workers: 1, prefill: 1 })).toEqual(["worker-1", "prefill-1"]);
  expect(namesOf({ decode: 1 })).toEqual(["decode-1"]);
  expect(namesOf({ workers: 2, engine: "tensor" })).toEqual(["worker-1", "worker-2"]);
});

it("each role has each model", () => {
  const models = [{ file: "/a.gguf" }, { file: "/b.gguf" }];
  const shares = shareWorkers({ ...wanted, models, prefill: 1, decode: 3 });
  expect(shares.map(({ role, models: [model] }) => `${role} ${model?.file}`)).toEqual([
    ...["prefill /a.gguf", "prefill /b.gguf"],
    ...["decode /a.gguf", "decode /b.gguf", "decode /a.gguf"],
  ]);
});

it("what cannot answer is not started", () => {
  expect(() => shareWorkers({ ...wanted, prefill: 1 })).toThrow("add --decode 1");
  expect(() => shareWorkers({ ...wanted, prefill: 32, decode: 33 })).toThrow("at most 64");
  expect(() => shareWorkers({ ...wanted, engine: "tensor", prefill: 1, decode: 1 })).toThrow("serves tensors");
});

import { expect, test } from "vitest";
import { resolveConfig } from "#lib/host/config/resolve";
import { OPTIONS } from "./compose/options.ts";
import type { ModelEntry } from "./model-entry.ts";
import { type Shares, shareModels } from "./model-shares.ts";

const share = (models: ModelEntry[], more: Partial<Shares> = {}): Shares => ({
  ...{ models, engine: "llama", modelName: undefined, workers: 2 },
  ...more,
});
const filesOf = (shares: Shares) => shareModels(shares).map((entry) => entry?.file);

test("workers are shared out fairly, at least one each", () => {
  const [a, b, c] = ["a.gguf", "b.gguf", "c.gguf"].map((file) => ({ file })) as [ModelEntry, ModelEntry, ModelEntry];
  expect(filesOf(share([]))).toEqual([undefined, undefined]);
  expect(filesOf(share([a]))).toEqual(["a.gguf", "a.gguf"]);
  expect(filesOf(share([a, b], { workers: 5 }))).toEqual(["a.gguf", "b.gguf", "a.gguf", "b.gguf", "a.gguf"]);
  expect(filesOf(share([a, b, c], { workers: 1 }))).toEqual(["a.gguf", "b.gguf", "c.gguf"]);
});

test("several models have names of their own", () => {
  const models = [{ file: "x/one-q8_0.gguf" }, { file: "two.gguf", name: "2", aliases: ["deux"] }];
  expect(shareModels(share(models)).map((entry) => entry?.name)).toEqual(["one", "2"]);
  expect(shareModels(share(models, { engine: "mock" })).map((entry) => entry?.name)).toEqual(["one-mock", "2"]);
  expect(() => shareModels(share(models, { modelName: "m" }))).toThrow("--model-name names one model");
  const same = [{ file: "one-q4_0.gguf" }, { file: "two.gguf", aliases: ["one"] }];
  expect(() => shareModels(share(same))).toThrow("Two models are called one;");
});

test("models come from flags, a variable or a list of the file", () => {
  const read = (args: string[], file?: unknown) => resolveConfig(OPTIONS, { args, env: {}, file }).config.values.model;
  expect(read(["--model", "a.gguf", "--model", "b.gguf"])).toEqual([{ file: "a.gguf" }, { file: "b.gguf" }]);
  const entry = { file: "b.gguf", name: "b", aliases: ["c"], "markers-in-content": true };
  expect(read([], { model: ["a.gguf", entry] })).toEqual([{ file: "a.gguf" }, entry]);
  expect(read([], { model: "a.gguf" })).toEqual([{ file: "a.gguf" }]);
  expect(read([`--model=${JSON.stringify(entry)}`])).toEqual([entry]);
  for (const wrong of [
    { file: 1 },
    { name: "b" },
    { ...entry, extra: 1 },
    { ...entry, aliases: "c" },
    { ...entry, "markers-in-content": 1 },
    "",
  ]) {
    expect(() => read([], { model: [wrong] })).toThrow("model: expected the path of a file, or a mapping");
  }
});

import { expect, test } from "vitest";
import { TENSOR_EXAMPLES } from "#lib/engines/tensor/examples";
import { resolveConfig } from "#lib/host/config/resolve";
import { isModule, moduleFile, takesTensors } from "../engine-option.ts";
import { readModule } from "./module.ts";
import { OPTIONS } from "./options.ts";
import { readTensorModels } from "./tensor-models.ts";

const valuesOf = (...args: string[]) => resolveConfig(OPTIONS, { args, env: {}, file: undefined }).config.values;

async function read(...args: string[]): Promise<string[]> {
  const values = valuesOf(...args);
  const module = isModule(values.engine) ? await readModule(values.engine) : undefined;
  if (module && module.kind !== "tensor") throw new Error("an engine of text");
  const models = readTensorModels(module?.models ?? TENSOR_EXAMPLES, values);
  return models.map(({ name, aliases, model }) => [name, ...aliases, model.name].join(" "));
}

const EXAMPLE = ["--engine", "tensor", "--model", "simple"];
const MODULE = ["--engine", "module:test/fixtures/tensors/scale.ts"];

test("the engine is a name or the file of a module", () => {
  expect(valuesOf().engine).toBe("llama");
  const { engine } = valuesOf(...MODULE);
  expect(isModule(engine) && moduleFile(engine)).toBe("test/fixtures/tensors/scale.ts");
  expect(["mock", "kserve"].map((name) => takesTensors(valuesOf("--engine", name).engine))).toEqual([false, true]);
  for (const wrong of ["module:", "modul:x", "Tensor"]) {
    expect(() => valuesOf("--engine", wrong)).toThrow("one of llama, mock, openengine, tensor, kserve, or module:FILE");
  }
});

test("models of tensors are those that are named, all where none is", async () => {
  expect(await read("--engine", "tensor")).toHaveLength(5);
  expect(await read(...EXAMPLE, "--model", "simple_int8")).toEqual(["simple simple", "simple_int8 simple_int8"]);
  expect(await read(...EXAMPLE, "--model-name", "add")).toEqual(["add simple"]);
  expect(await read("--engine", "tensor", "--model", '{"file": "simple", "name": "add", "aliases": ["sum"]}')).toEqual([
    "add sum simple",
  ]);
  expect(await read(...MODULE)).toEqual(["scale scale"]);
});

test("a name that there is not is refused with the one that was meant", async () => {
  await expect(read("--engine", "tensor", "--model", "simpel")).rejects.toThrow("Did you mean simple?");
  await expect(read(...MODULE, "--model", "unlike")).rejects.toThrow("There are scale.");
  await expect(read(...EXAMPLE, "--model", "simple_int8", "--model-name", "m")).rejects.toThrow("names one model");
});

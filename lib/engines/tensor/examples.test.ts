import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Tensor } from "#lib/api/kserve/tensor";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { pause } from "#lib/host/pause";
import { giveInputs } from "./check.ts";
import { TENSOR_EXAMPLES } from "./examples.ts";
import { mistakeIn } from "./mistakes.ts";
import type { Given, MadeTensor, TensorCall, TensorModel, TensorSpecs } from "./model.ts";
import { makeBytes } from "./values.ts";

function example(name: string): TensorModel {
  const model = TENSOR_EXAMPLES.find((each) => each.name === name);
  if (!model) throw new Error(`no example ${name}`);
  return model;
}

function given(model: TensorModel, values: Record<string, unknown>, shape: number[] | undefined = undefined) {
  const tensors = Object.entries(values).map(([name, each]): Tensor => {
    const { datatype = "BYTES" } = model.inputs[name] ?? {};
    const data = makeBytes(datatype, each) ?? new Uint8Array(0);
    return { name, datatype, shape: shape ?? [(each as ArrayLike<unknown>).length], data };
  });
  return giveInputs(model, tensors) as Given<TensorSpecs>;
}

function callOf(clock = new FakeClock()): TensorCall {
  const { signal } = new AbortController();
  const refuse = (detail: string) => {
    throw new StatorError("INVALID_ARGUMENT", { detail });
  };
  return { id: "", parameters: {}, wanted: [], signal, wait: (ms) => pause(clock, ms, signal), refuse };
}

function values(made: Readonly<Record<string, MadeTensor>>): unknown[] {
  return Object.values(made).map((each) => ("values" in each ? each.values : each.data));
}

async function infer(name: string, inputs: Record<string, unknown>): Promise<unknown[]> {
  const model = example(name);
  return values((await model.infer?.(given(model, inputs, [1, 16]), callOf())) ?? {});
}

const COUNT = Int32Array.from({ length: 16 }, (_, at) => at);
const texts = (numbers: Iterable<number>) => Array.from(numbers, (number) => Buffer.from(`${number}`));

describe("the examples of models", () => {
  it("have no mistake, and take fewer than 40 lines each", () => {
    for (const model of TENSOR_EXAMPLES) {
      expect(mistakeIn(model), model.name).toBeUndefined();
      const file = new URL(`examples/${model.name.replaceAll("_", "-")}.ts`, import.meta.url);
      expect(readFileSync(file, "utf8").split("\n").length, model.name).toBeLessThan(41);
    }
    expect(TENSOR_EXAMPLES.map(({ name }) => name)).toEqual([
      "simple",
      "simple_int8",
      "simple_string",
      "simple_identity",
      "repeat_int32",
    ]);
  });

  it("add and subtract", async () => {
    const made = await infer("simple", { INPUT0: COUNT, INPUT1: COUNT.map(() => 1) });
    expect(made).toEqual([COUNT.map((each) => each + 1), COUNT.map((each) => each - 1)]);
    const small = Int8Array.from(COUNT);
    const wrapped = await infer("simple_int8", { INPUT0: small.map(() => 127), INPUT1: small });
    expect(wrapped).toEqual([small.map((each) => 127 + each), small.map((each) => 127 - each)]);
  });

  it("add and subtract numbers that are texts, and nothing else", async () => {
    const made = await infer("simple_string", { INPUT0: texts(COUNT), INPUT1: texts(COUNT.map(() => -1)) });
    expect(made).toEqual([texts(COUNT.map((each) => each - 1)), texts(COUNT.map((each) => each + 1))]);
    const wrong = infer("simple_string", { INPUT0: texts(COUNT).with(3, Buffer.from("1e3")), INPUT1: texts(COUNT) });
    await expect(wrong).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
  });

  it("give back what they take", async () => {
    const [made] = (await infer("simple_identity", { INPUT0: texts(COUNT) })) as [readonly Uint8Array[]];
    expect(made.map((each) => Buffer.from(each).toString())).toEqual([...COUNT].map(String));
  });

  it("answer once for each number, after its delay", async () => {
    const clock = new FakeClock();
    const model = example("repeat_int32");
    const inputs = given(model, { IN: Int32Array.of(7, 8), DELAY: Uint32Array.of(5, 10), WAIT: Uint32Array.of(20) });
    const told: unknown[] = [];
    const all = (async () => {
      for await (const made of model.stream?.(inputs, callOf(clock)) ?? []) told.push(values(made));
      told.push("done");
    })();
    const seen: unknown[] = [];
    for (const ms of [4, 1, 9, 1, 19, 1]) {
      clock.advance(ms);
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
      seen.push(told.length);
    }
    await all;
    expect(told).toEqual([[Int32Array.of(7)], [Int32Array.of(8)], "done"]);
    expect(seen).toEqual([0, 1, 1, 2, 2, 3]);
    const uneven = given(model, { IN: Int32Array.of(7), DELAY: Uint32Array.of(), WAIT: Uint32Array.of(0) });
    const refused = (async () => {
      for await (const made of model.stream?.(uneven, callOf()) ?? []) values(made);
    })();
    await expect(refused).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
  });
});

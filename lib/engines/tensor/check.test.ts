import { describe, expect, it } from "vitest";
import type { Tensor } from "#lib/api/kserve/tensor";
import { giveInputs, takeOutputs, wantOutputs } from "./check.ts";
import { defineTensorModel, type MadeTensor } from "./model.ts";

const MODEL = defineTensorModel({
  name: "m",
  maxBatch: 2,
  inputs: {
    A: { datatype: "INT32", shape: [-1, 2] },
    B: { datatype: "BYTES", shape: [-1, -1], optional: true },
  },
  outputs: { C: { datatype: "INT32", shape: [-1, 2] }, D: { datatype: "BYTES", shape: [1] } },
  infer: () => ({ C: { shape: [1, 2], values: Int32Array.of(1, 2) }, D: { shape: [1], values: [] } }),
});

function tensor(name: string, shape: number[], datatype: Tensor["datatype"] = "INT32"): Tensor {
  return { name, datatype, shape, data: new Uint8Array(shape.reduce((size, each) => size * each, 4)) };
}

const given = (...tensors: Tensor[]) => giveInputs(MODEL, tensors);
const C: MadeTensor = { shape: [1, 2], values: Int32Array.of(1, 2) };
const D: MadeTensor = { shape: [1], values: [Buffer.from("d")] };
const taken = (made: Record<string, MadeTensor>, wanted = ["C", "D"]) => takeOutputs(MODEL, made, wanted);

describe("the inputs of a model", () => {
  it("are given by name, with their values", () => {
    const { A, B } = given({ ...tensor("A", [1, 2]), data: new Uint8Array(Int32Array.of(3, -4).buffer) });
    expect([A?.shape, A?.values, B]).toEqual([[1, 2], Int32Array.of(3, -4), undefined]);
  });

  it("are refused by name where the model takes others", () => {
    expect(() => given(tensor("A", [1, 2]), tensor("X", [1]))).toThrow(
      "X: is no input of the model, which takes A, B.",
    );
    expect(() => given(tensor("A", [1, 2]), tensor("toString", [1]))).toThrow("toString: is no input");
    expect(() => given()).toThrow("A: is missing.");
    expect(() => given(tensor("A", [1, 2], "UINT32"))).toThrow("A: is UINT32, and the model takes INT32.");
    expect(() => given(tensor("A", [1, 3]))).toThrow("A: has the shape [1,3], and the model takes [-1,2].");
    expect(() => given(tensor("A", [2]))).toThrow("A: has the shape [2], and the model takes [-1,2].");
  });

  it("have as many rows as each other, and no more than a batch", () => {
    expect(() => given(tensor("A", [2, 2]))).not.toThrow();
    expect(() => given(tensor("A", [3, 2]))).toThrow("A: has 3 rows, and the model takes 1 to 2.");
    expect(() => given(tensor("A", [0, 2]))).toThrow("A: has 0 rows, and the model takes 1 to 2.");
    expect(() => given(tensor("A", [2, 2]), tensor("B", [1, 0], "BYTES"))).toThrow(
      "B: has 1 rows, and another input 2.",
    );
  });
});

describe("the outputs of a model", () => {
  it("are wanted by name, all of them where none is named", () => {
    expect(wantOutputs(MODEL, [])).toEqual(["C", "D"]);
    expect(wantOutputs(MODEL, ["D"])).toEqual(["D"]);
    expect(() => wantOutputs(MODEL, ["E"])).toThrow("E: is no output of the model, which gives C, D.");
    expect(() => wantOutputs(MODEL, ["C", "C"])).toThrow("C: is wanted twice.");
  });

  it("are taken in the order in which they are wanted, as values or as bytes", () => {
    expect(taken({ C, D }).map(({ data, ...tensor }) => ({ ...tensor, data: [...data] }))).toEqual([
      { name: "C", datatype: "INT32", shape: [1, 2], data: [1, 0, 0, 0, 2, 0, 0, 0] },
      { name: "D", datatype: "BYTES", shape: [1], data: [1, 0, 0, 0, 100] },
    ]);
    expect(taken({ C, D: { shape: [1], data: Uint8Array.of(0, 0, 0, 0) } }, ["D"])).toHaveLength(1);
  });

  it("are the fault of the model where they are not as it says", () => {
    const cases: [Record<string, MadeTensor>, string][] = [
      [{ C }, "made no D"],
      [{ C: { ...C, shape: [1, 3] }, D }, "made C with another shape than [-1,2]"],
      [{ C: { ...C, shape: [1, -1] }, D }, "made C with another shape than [-1,2]"],
      [{ C: { ...C, shape: [2, 2] }, D }, "made C with another number of INT32 elements than its shape [2,2] has"],
      [{ C: { shape: [1, 2], values: Float32Array.of(1, 2) }, D }, "made C with another number of INT32"],
      [{ C, D: { shape: [1], data: Uint8Array.of(9) } }, "made D with another number of BYTES"],
    ];
    for (const [made, words] of cases) {
      expect(() => taken(made), words).toThrow(expect.objectContaining({ reason: "ENGINE_FAILED" }));
      expect(() => taken(made)).toThrow(`the model m ${words}`);
    }
  });
});

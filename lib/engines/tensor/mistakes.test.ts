import { describe, expect, it } from "vitest";
import { mistakeIn } from "./mistakes.ts";
import type { TensorModel } from "./model.ts";

describe("a model that a user wrote", () => {
  const side = { A: { datatype: "INT32", shape: [-1, 2] } } as const;
  const good: TensorModel = { name: "m", inputs: side, outputs: side, maxBatch: 1, infer: () => ({}) };
  const wrong = (change: object) => mistakeIn({ ...good, ...change } as TensorModel);
  const spec = (change: object) => wrong({ outputs: { A: { ...side.A, ...change } } });

  it("is told its first mistake", () => {
    expect(mistakeIn(good)).toBeUndefined();
    expect(wrong({ name: 7 })).toMatch(/its name/);
    expect(wrong({ version: 0 })).toMatch(/its version/);
    expect(wrong({ maxBatch: 1.5 })).toMatch(/its maxBatch/);
    expect(wrong({ stream: () => [] })).toMatch(/both infer and stream/);
    expect(wrong({ inputs: {} })).toMatch(/no tensor/);
    expect(wrong({ inputs: { A: 7 } })).toMatch(/the tensor A is not a mapping/);
    expect(spec({ datatype: "INT4" })).toMatch(/the tensor A has none of the datatypes BOOL, /);
    expect(spec({ shape: [-1, -2] })).toMatch(/the tensor A has no shape of at most 16/);
    expect(spec({ shape: [-1, ...new Array<number>(16).fill(1)] })).toMatch(/the tensor A has no shape/);
    expect(spec({ shape: [1, 2] })).toMatch(/the tensor A has no -1 as its first dimension/);
    expect(wrong({ maxBatch: 0, outputs: { A: { datatype: "INT32", shape: [1, 2] } } })).toBeUndefined();
  });
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadTensorModule, mistakeIn } from "./load-module.ts";
import type { TensorModel } from "./model.ts";

const folder = mkdtempSync(join(tmpdir(), "stator-module-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fileOf(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

const SIDE = '{ A: { datatype: "INT32", shape: [1] } }';
const model = (name: string, more = "") =>
  `{ name: ${JSON.stringify(name)}, inputs: ${SIDE}, outputs: ${SIDE}, infer: ({ A }) => ({ A })${more} }`;

describe("a module of models", () => {
  it("has every model that it exports, each once, and whatever else it exports", async () => {
    const text = `export const one = ${model("one")}; export const two = ${model("two")}; export const three = 3; export default one;`;
    const found = await loadTensorModule(fileOf("several.mjs", text));
    expect(found.map(({ name }) => name).sort()).toEqual(["one", "two"]);
  });

  it("may be TypeScript", async () => {
    const found = await loadTensorModule("test/fixtures/tensors/scale.ts");
    expect(found).toMatchObject([{ name: "scale", inputs: { X: { datatype: "FP32" } } }]);
  });

  it("is refused with what is wrong with it", async () => {
    const cases: [string, string][] = [
      ["export const three = 3;", "it exports no object with inputs, outputs and infer or stream"],
      ["export const broken = {", "it cannot be imported"],
      ["throw new Error('no weights');", "it cannot be imported: no weights"],
      [`export const a = ${model("a")}; export const b = ${model("a")};`, "two of its models are called a"],
      [`export const a = ${model("a b")};`, "a: its name is not 1 to 128 letters"],
    ];
    for (const [at, [text, words]] of cases.entries()) {
      const loading = loadTensorModule(fileOf(`wrong-${at}.mjs`, text));
      await expect(loading, words).rejects.toMatchObject({
        reason: "BAD_MODEL_FILE",
        message: expect.stringContaining(words),
      });
    }
    await expect(loadTensorModule(join(folder, "none.mjs"))).rejects.toMatchObject({ reason: "FILE_NOT_FOUND" });
  });
});

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

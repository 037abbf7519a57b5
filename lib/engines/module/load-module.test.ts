import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { StatorError } from "#lib/base/errors";
import { loadModule } from "./load-module.ts";

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

/** What a module of this text is; its name is one that nobody imported. */
let count = 0;
const load = (text: string) => loadModule(fileOf(`module-${count++}.mjs`, text));

async function refusal(text: string): Promise<string> {
  return load(text).then(
    ({ kind }) => kind,
    (error: StatorError) => (error.reason === "BAD_MODEL_FILE" ? error.message : error.reason),
  );
}

describe("a module of models", () => {
  it("has every model that it exports, each once, and whatever else it exports", async () => {
    const found = await load(
      `export const one = ${model("one")}; export const two = ${model("two")}; export const three = 3; export default one;`,
    );
    expect(found.kind === "tensor" && found.models.map(({ name }) => name).sort()).toEqual(["one", "two"]);
  });

  it("may be TypeScript", async () => {
    expect(await loadModule("test/fixtures/tensors/scale.ts")).toMatchObject({
      kind: "tensor",
      models: [{ name: "scale", inputs: { X: { datatype: "FP32" } } }],
    });
  });

  it.each([
    ["two models of one name", `export const a = ${model("a")}; export const b = ${model("a")};`, "are called a"],
    ["a name that is none", `export const a = ${model("a b")};`, "a: its name is not 1 to 128 letters"],
    ["an engine too", `export const a = ${model("a")}; export default () => {};`, "a worker serves one of both"],
  ])("with %s is refused in a sentence", async (_, text, words) => {
    expect(await refusal(text)).toContain(words);
  });
});

describe("a module of an engine", () => {
  const TEXT = "name: 'shout', *generate() {}";

  it("is told by its default export", async () => {
    expect(await load(`export default { ${TEXT} }`)).toMatchObject({ kind: "text", engine: { name: "shout" } });
    expect(await load("export const other = 3; export default (given) => given")).toMatchObject({ kind: "engine" });
    expect(await loadModule(fileOf("plain.cjs", `module.exports = { ${TEXT} }`))).toMatchObject({ kind: "text" });
  });

  it.each([
    ["nothing", "", "it has no default export"],
    ["something else", "export const three = 3;", "exports no object with inputs, outputs and infer or stream"],
    [
      "a default of another shape",
      "export default { name: 'x' }",
      "neither a function nor an object with name and generate",
    ],
    ["an engine that is not the default", `export const mine = { ${TEXT} };`, "its engine mine is no default export"],
    ["a class", "export default class Mine {}", "is a class: export a function that makes one"],
    ["an engine without a name", "export default { generate() {} }", "not a text of 1 to 128 characters"],
    [
      "no number of requests",
      `export default { ${TEXT}, maxRunning: 0 }`,
      "its maxRunning is not a whole number from 1",
    ],
    ["no length", `export default { ${TEXT}, contextTokens: "8k" }`, "its contextTokens is not a whole number from 1"],
    ["no software", `export default { ${TEXT}, software: "mine 1" }`, "its software is not { name, version }"],
    ["no function", `export default { ${TEXT}, open: true }`, "its open is not a function"],
    ["half a program", "export default {", "it cannot be imported: "],
    ["a package that is not there", 'import "no-such-package";', "it cannot be imported: Cannot find package"],
    ["an error", "throw new Error('no weights');", "it cannot be imported: no weights. `node FILE` of"],
    ["something thrown that is no error", "throw 7;", "it cannot be imported: it threw"],
  ])("that has %s is refused in a sentence", async (_, text, words) => {
    expect(await refusal(text)).toContain(words);
  });

  it("that is not there is a file that is not there", async () => {
    await expect(loadModule(join(folder, "none.mjs"))).rejects.toMatchObject({ reason: "FILE_NOT_FOUND" });
  });
});

import { expect, test } from "vitest";
import type { LoadedModule } from "#lib/engines/module/load-module";
import { plainCard } from "#lib/engines/module/plain-card";
import type { OpenEngine } from "#lib/engines/module/text-engine";
import { resolveConfig } from "#lib/host/config/resolve";
import { silentLog } from "#lib/host/log";
import { Scope } from "#lib/host/scope";
import { moduleRecipe } from "./module.ts";
import { OPTIONS } from "./options.ts";

function recipeOf(module: LoadedModule, ...args: string[]) {
  const { values } = resolveConfig(OPTIONS, { args, env: {}, file: undefined }).config;
  const context = { values, log: silentLog, scope: new Scope("module", silentLog) };
  return moduleRecipe(context, { engine: "module:./mine.ts", module });
}

const none = () => {};
const core = { listen: none, submit: none, cancel: none, close: async () => {} };
const card = plainCard({ engine: "mine", model: "mine", input: "text" });
const engine = (open: unknown, ...args: string[]) =>
  recipeOf({ kind: "engine", open: open as OpenEngine }, ...args).open(none, new AbortController().signal);

test.each<[string, unknown, string, string[]]>([
  ["nothing", () => undefined, "what it opened is no engine: an object with card", []],
  ["half an engine", () => ({ card, listen: none }), "its engine has no function submit", []],
  ["an engine without a card", () => core, "its engine has no card: `plainCard`", []],
  ["half a card", async () => ({ ...core, card: { ...card, input: "words" } }), "the field input of its card", []],
  ["an error", () => Promise.reject(new Error("no weights.")), "its default export threw: no weights. docs/", []],
  ["another name", () => ({ ...core, card }), "take the name that it is given", ["--model-name", "other"]],
])("a module that opens %s is refused in a sentence", async (_, open, words, args) => {
  await expect(engine(open, ...args)).rejects.toThrow(`./mine.ts cannot be used as a model: `);
  await expect(engine(open, ...args)).rejects.toThrow(words);
});

test("an engine is told its name, what --model says, and the signal", async () => {
  const told: unknown[] = [];
  const opened = await engine(
    (given: object) => {
      told.push(given);
      return { ...core, card };
    },
    ...["--model", "w.bin", "--model-name", "mine"],
  );
  expect([opened.card.model, told]).toMatchObject(["mine", [{ model: "mine", modelPath: "w.bin" }]]);
});

test("a worker of a module has one model, of text", () => {
  const text: LoadedModule = { kind: "text", engine: { name: "m", generate: () => [] } };
  expect(recipeOf(text)).toMatchObject({ engine: "module", model: "m", aliases: [] });
  expect(recipeOf(text, "--model-name", "other").model).toBe("other");
  expect(() => recipeOf(text, "--model", "a", "--model", "b")).toThrow("serves one model");
  expect(() => recipeOf({ kind: "tensor", models: [] })).toThrow("./mine.ts serves tensors");
});

import { expect, it } from "vitest";
import { printGuidance, printOldGrammar } from "#lib/link/guidance";
import { compileGuidance, type Guidance } from "#lib/text/grammar/guidance";
import { AskedForm } from "./asked-form.ts";

const schema: Guidance = { kind: "jsonSchema", schema: '{"type":"integer"}' };
const grammar = compileGuidance(schema);
const asGrammar = printGuidance({ kind: "ebnfGrammar", grammar });

function formOf(guidance: Guidance, mostAsAsked?: number) {
  const compiled: Guidance[] = [];
  const compile = (given: Guidance) => {
    compiled.push(given);
    return compileGuidance(given);
  };
  return { form: new AskedForm(guidance, compile, mostAsAsked), compiled };
}

it("goes as it was asked to a worker that takes that, and nothing is made here", () => {
  const { form, compiled } = formOf(schema);
  const first = form.for(["parts", "guidance"]);
  expect(first).toEqual(printGuidance(schema));
  expect(form.for(["guidance"])).toBe(first);
  expect(compiled).toEqual([]);
});

it("goes as a grammar to others, which is made once", () => {
  const { form, compiled } = formOf(schema);
  expect(form.for([])).toEqual(printOldGrammar(grammar));
  expect(form.for(["parts"])).toEqual(asGrammar);
  expect(form.for([])).toEqual(printOldGrammar(grammar));
  expect(form.for(["guidance"])).toEqual(printGuidance(schema));
  expect(compiled).toEqual([schema]);
});

it("goes as a grammar to everybody when its text is longer than the bound", () => {
  for (const [most, message, made] of [
    [18, printGuidance(schema), 0],
    [17, asGrammar, 1],
  ] as const) {
    const { form, compiled } = formOf(schema, most);
    expect(form.for(["parts", "guidance"])).toEqual(message);
    expect(compiled.length).toBe(made);
  }
});

it("is waited for while it is made elsewhere, by all who ask meanwhile", async () => {
  const made = Promise.withResolvers<string>();
  const asked: Guidance[] = [];
  const form = new AskedForm(schema, (given) => {
    asked.push(given);
    return made.promise;
  });
  const waits = [form.for([]), form.for(["parts"])];
  expect(waits.every((wait) => wait instanceof Promise)).toBe(true);
  expect(form.for(["guidance"])).toEqual(printGuidance(schema));
  made.resolve(grammar);
  for (const wait of waits) await wait;
  expect(form.for([])).toEqual(printOldGrammar(grammar));
  expect(asked).toEqual([schema]);
});

it("says what the converter says, at once or later", async () => {
  const broken: Guidance = { kind: "jsonSchema", schema: '{"not":{}}' };
  expect(() => formOf(broken).form.for([])).toThrow("uses not at #");
  const elsewhere = new AskedForm(broken, async (given) => compileGuidance(given));
  await expect(elsewhere.for([])).rejects.toThrow("uses not at #");
});

import { expect, it } from "vitest";
import { choiceGrammar, jsonObjectGrammar, jsonSchemaGrammar } from "./grammar.ts";
import { compileGuidance, type Guidance } from "./guidance.ts";

const schema = { type: "object", properties: { ü: { type: "integer" } } };

it("makes the grammar of what was asked", () => {
  const text = JSON.stringify(schema);
  expect(compileGuidance({ kind: "jsonSchema", schema: text })).toBe(jsonSchemaGrammar(schema));
  expect(compileGuidance({ kind: "jsonSchema", schema: Buffer.from(text) })).toBe(jsonSchemaGrammar(schema));
  expect(compileGuidance({ kind: "jsonObject" })).toBe(jsonObjectGrammar());
  expect(compileGuidance({ kind: "choice", choices: ["a", "b"] })).toBe(choiceGrammar(["a", "b"]));
  expect(compileGuidance({ kind: "ebnfGrammar", grammar: 'root ::= "a"' })).toBe('root ::= "a"');
});

it.each<[Guidance, string, string]>([
  [{ kind: "jsonSchema", schema: "{" }, "INVALID_ARGUMENT", "guided.json_schema: not valid JSON"],
  [{ kind: "jsonSchema", schema: '{"not": {}}' }, "UNSUPPORTED_SCHEMA", "not at #"],
  [{ kind: "choice", choices: [] }, "INVALID_GRAMMAR", "it has no choices"],
  [{ kind: "regex", pattern: "a" }, "UNSUPPORTED_FEATURE", "guided.regex"],
  [{ kind: "structuralTag", tag: "{}" }, "UNSUPPORTED_FEATURE", "guided.structuralTag"],
])("refuses %j", (guidance, reason, words) => {
  expect(() => compileGuidance(guidance)).toThrow(
    expect.objectContaining({ reason, message: expect.stringContaining(words) }),
  );
});

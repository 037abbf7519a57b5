import { expect, it } from "vitest";
import { compileGuidance, type Guidance } from "#lib/text/grammar/guidance";
import { GrammarCache } from "./grammar-cache.ts";

const choice = (...choices: string[]): Guidance => ({ kind: "choice", choices });

it("makes what the converter makes, once", () => {
  const cache = new GrammarCache();
  const schema = '{"type":"integer"}';
  const grammar = cache.compile({ kind: "jsonSchema", schema });
  expect(grammar).toBe(compileGuidance({ kind: "jsonSchema", schema }));
  const { units } = cache;
  expect(cache.compile({ kind: "jsonSchema", schema: Buffer.from(schema) })).toBe(grammar);
  expect(cache.units).toBe(units);
  expect(cache.compile(choice("a", "b"))).toBe(compileGuidance(choice("a", "b")));
  expect(cache.compile({ kind: "jsonObject" })).toBe(compileGuidance({ kind: "jsonObject" }));
  expect(cache.units).toBeGreaterThan(units);
});

it("tells texts of one kind from those of another", () => {
  const cache = new GrammarCache();
  const text = '["a"]';
  expect(cache.compile(choice("a"))).toBe(compileGuidance(choice("a")));
  expect(() => cache.compile({ kind: "jsonSchema", schema: text })).toThrow("schema is broken at #");
  expect(() => cache.compile({ kind: "regex", pattern: text })).toThrow("guided.regex is not available");
  expect(() => cache.compile({ kind: "structuralTag", tag: text })).toThrow("guided.structuralTag is not available");
});

it("hands a grammar on as it is, and keeps none of it", () => {
  const cache = new GrammarCache({ textUnits: 1 });
  expect(cache.compile({ kind: "ebnfGrammar", grammar: "root ::= [a-z]" })).toBe("root ::= [a-z]");
  expect(cache.units).toBe(0);
});

it("refuses a text beyond the bound, and keeps nothing that was refused", () => {
  const schema = '{"const":1}';
  const cache = new GrammarCache({ textUnits: schema.length });
  expect(() => cache.compile({ kind: "jsonSchema", schema })).not.toThrow();
  const { units } = cache;
  expect(() => cache.compile({ kind: "jsonSchema", schema: `${schema} ` })).toThrow(
    "guidance: its text is longer than 11 characters.",
  );
  expect(cache.units).toBe(units);
});

it("keeps no more than the bound, and nothing that is longer than it", () => {
  const cache = new GrammarCache({ keptUnits: 1_000 });
  for (const text of ["a", "b", "c", "d", "e"]) cache.compile(choice(text));
  expect(cache.units).toBeLessThanOrEqual(1_000);
  expect(cache.units).toBeGreaterThan(500);
  const long = choice("x".repeat(1_000));
  expect(cache.compile(long)).toBe(compileGuidance(long));
  expect(cache.units).toBeLessThanOrEqual(1_000);
});

import { describe, expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { parseGbnf } from "../../../test/fixtures/text/gbnf.ts";
import { belongs, printings, randomDocument, randomSchema, type Schema } from "../../../test/fixtures/text/schema.ts";
import { choiceGrammar, jsonObjectGrammar, jsonSchemaGrammar } from "./grammar.ts";

const scale = Number(process.env.TEST_SCALE ?? 1);

function check(schema: unknown, good: readonly unknown[], bad: readonly unknown[]): void {
  const matcher = parseGbnf(jsonSchemaGrammar(schema));
  for (const value of good) {
    for (const text of printings(value)) expect(matcher.matches(text), `${text} belongs`).toBe(true);
  }
  for (const value of bad)
    expect(matcher.matches(JSON.stringify(value)), `${JSON.stringify(value)} does not`).toBe(false);
}

function refusal(schema: unknown): string {
  try {
    jsonSchemaGrammar(schema);
  } catch (error) {
    if (error instanceof StatorError) return `${error.reason} ${error.message}`;
    throw error;
  }
  return "accepted";
}

test("a string is well formed: no half of a character and nothing above the last one", () => {
  const matcher = parseGbnf(
    jsonSchemaGrammar({ type: "object", properties: { é: {} }, required: ["é"], additionalProperties: true }),
  );
  for (const inner of ["\ud7ff", "\ue000", "\u{10ffff}", "\u0080", " !#[]~"]) {
    expect(matcher.matches(`{"é":"${inner}"}`), inner).toBe(true);
    expect(matcher.matches(`{"é":1,"${inner}":2}`), `a name, ${inner}`).toBe(true);
  }
  for (const inner of ["\ud800", "\udfff", "\x7f", "\x1f", '"']) {
    expect(matcher.matches(`{"é":"${inner}"}`), JSON.stringify(inner)).toBe(false);
    expect(matcher.matches(`{"é":1,"${inner}":2}`), `a name, ${JSON.stringify(inner)}`).toBe(false);
  }
});

describe("a schema of", () => {
  test("an object", () => {
    const schema = {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      title: "Person",
      type: "object",
      properties: {
        name: { type: "string", description: "full" },
        age: { type: "integer" },
        city: { enum: ["Oslo", "Rome"] },
      },
      required: ["age"],
    };
    check(
      schema,
      [{ name: "a", age: 3, city: "Rome" }, { age: -5 }, { name: '"\\/\n\u00e9😀', age: 0 }, { age: 1, city: "Oslo" }],
      [{}, { name: "a" }, { age: 3, name: "a" }, { age: 3.5 }, { age: 1, city: "Bonn" }, { age: 1, more: 1 }, [], "x"],
    );
  });

  test("an object with other properties", () => {
    const schema = {
      type: "object",
      properties: { a: { type: "integer" }, ab: { type: "null" }, 'é"': { type: "null" } },
      required: ["ab"],
      additionalProperties: { type: "boolean" },
    };
    check(
      schema,
      [
        { a: 1, ab: null, x: true },
        { ab: null, "": true, abc: false, b: true },
        { ab: null, é: true },
      ],
      [
        { ab: null, a: true },
        { ab: null, x: 1 },
        { x: true, ab: null },
        { ab: null, ab2: null },
      ],
    );
    // A name may not be spelled with escapes: that could hide one that is taken.
    expect(parseGbnf(jsonSchemaGrammar(schema)).matches('{"ab":null,"\\u0061":true}')).toBe(false);
    check({ type: "object", additionalProperties: { type: "integer" } }, [{}, { a: 1, 'b"': 2 }], [{ a: "1" }]);
    check({ type: "object", properties: { a: {} }, additionalProperties: true }, [{ a: [] }, { b: {} }, {}], []);
    check({ type: "object", properties: {}, additionalProperties: false }, [{}], [{ a: 1 }]);
    check({ type: "object" }, [{}, { a: { b: [1, "x", null] } }], [[]]);
    check({ required: ["z"], properties: { a: {} } }, [{ a: 1, z: 2 }, { z: "x" }], [{ a: 1 }, { z: 1, b: 2 }]);
  });

  test("an array", () => {
    check({ type: "array" }, [[], [1, "a", [null]]], [{}]);
    check(
      { type: "array", items: { type: "integer" }, minItems: 2, maxItems: 3 },
      [
        [1, 2],
        [1, 2, 3],
      ],
      [[], [1], [1, 2, 3, 4], ["a", 1]],
    );
    check({ type: "array", items: { type: "null" }, minItems: 1 }, [[null], [null, null, null]], [[]]);
    check({ type: "array", items: { type: "null" }, maxItems: 0 }, [[]], [[null]]);
    check(
      { type: "array", prefixItems: [{ type: "string" }, { type: "integer" }], items: { type: "null" }, maxItems: 3 },
      [[], ["a"], ["a", 1], ["a", 1, null]],
      [[1], ["a", null], ["a", 1, 2], ["a", 1, null, null]],
    );
    check(
      { prefixItems: [{ type: "string" }, { type: "integer" }], items: false, minItems: 2 },
      [["a", 1]],
      [["a"], ["a", 1, 2]],
    );
  });

  test("a string with bounds", () => {
    check({ type: "string", minLength: 2, maxLength: 3 }, ["ab", "abc", "é\n😀"], ["", "a", "abcd"]);
    check({ type: "string", minLength: 1 }, ["a", "a".repeat(50)], [""]);
    check({ type: "string", maxLength: 0 }, [""], ["a"]);
    const long = parseGbnf(jsonSchemaGrammar({ type: "string", minLength: 2100, maxLength: 4100 }));
    for (const [length, fits] of [
      [2099, false],
      [2100, true],
      [4100, true],
      [4101, false],
    ] as const) {
      expect(long.matches(`"${"x".repeat(length)}"`), String(length)).toBe(fits);
    }
    expect(long.matches(`"${"x".repeat(2200)}\n"`)).toBe(false);
  });

  test("several types, constants and branches", () => {
    check({ type: ["string", "null"], maxLength: 1 }, ["a", null], ["ab", 1]);
    check({ const: { a: [1, "x"], b: {} } }, [{ a: [1, "x"], b: {} }], [{ a: [1, "x"] }, {}]);
    check({ enum: [1, "1", null, true, [], 1.5] }, [1, "1", null, true, [], 1.5], [2, false, {}]);
    check({ type: "integer", enum: [1, "1", 1.5] }, [1], ["1", 1.5]);
    check(
      { anyOf: [{ type: "integer" }, { type: "object", properties: { a: { type: "null" } } }] },
      [1, {}, { a: null }],
      ["x"],
    );
    check(true, [1, {}, [], "x", null, 1.5e3], []);
    check({}, [{ a: [] }], []);
    expect(parseGbnf(jsonSchemaGrammar({})).matches("1e+5")).toBe(true);
    expect(parseGbnf(jsonSchemaGrammar({})).matches("01")).toBe(false);
    expect(parseGbnf(jsonSchemaGrammar({ type: "string" })).matches('"\\ud83d"')).toBe(false);
  });

  test("itself", () => {
    const tree = {
      type: "object",
      properties: { value: { type: "integer" }, next: { anyOf: [{ $ref: "#" }, { type: "null" }] } },
      required: ["value", "next"],
    };
    check(tree, [{ value: 1, next: { value: 2, next: null } }], [{ value: 1 }, { value: 1, next: 3 }]);
    const defs = {
      $defs: { "a/b~c": { type: "array", items: { $ref: "#/$defs/a~1b~0c" } } },
      type: "object",
      properties: { list: { $ref: "#/$defs/a~1b~0c", description: "beside" } },
    };
    check(defs, [{ list: [[], [[]]] }], [{ list: [1] }]);
  });
});

describe("refused by name and place", () => {
  test.each([
    [{ type: "string", pattern: "a+" }, "pattern at #"],
    [{ type: "object", properties: { a: { type: "string", format: "date" } } }, "format at #/properties/a,"],
    [{ type: "array", items: { oneOf: [] } }, "oneOf at #/items,"],
    [{ allOf: [] }, "allOf at #,"],
    [{ not: {} }, "not at #,"],
    [{ type: "number", multipleOf: 2 }, "multipleOf at #,"],
    [{ type: "object", patternProperties: {} }, "patternProperties at #,"],
    [{ type: "array", uniqueItems: true }, "uniqueItems at #,"],
    [{ if: {} }, "if at #,"],
    [{ $defs: { x: { nullable: true } }, anyOf: [{ $ref: "#/$defs/x" }] }, "nullable at #/$defs/x,"],
    [{ anyOf: [{ type: "null" }, { dependentRequired: {} }] }, "dependentRequired at #/anyOf/1,"],
    [{ properties: { "a/b": { contains: {} } } }, "contains at #/properties/a~1b,"],
    [{ $ref: "https://example.org/x" }, "$ref that is not local at #,"],
    [{ anyOf: [{}], minLength: 1 }, "minLength beside anyOf at #,"],
    [{ type: "string", maxLength: 1_000_000 }, "maxLength above 10000 at #,"],
    [{ type: "object", properties: { a: false } }, "false at #/properties/a,"],
  ])("%j", (schema, words) => {
    expect(refusal(schema)).toMatch(/^UNSUPPORTED_SCHEMA /);
    expect(refusal(schema)).toContain(words);
  });

  test.each([
    [3, "#: it is not an object"],
    [null, "#: it is not an object"],
    [{ type: "strng" }, "#/type"],
    [{ type: [] }, "#/type"],
    [{ properties: [] }, "#/properties"],
    [{ required: "a" }, "#/required"],
    [{ properties: { a: {} }, required: ["b"], additionalProperties: false }, "nothing may be called b"],
    [{ anyOf: [] }, "#/anyOf"],
    [{ enum: [] }, "#/enum"],
    [{ type: "null", enum: [1] }, "none of its values"],
    [{ type: "string", minLength: 3, maxLength: 2 }, "minLength is above"],
    [{ type: "string", minLength: -1 }, "#/minLength"],
    [{ type: "array", minItems: 2, maxItems: 1 }, "no array"],
    [{ type: "array", prefixItems: [{}], items: false, minItems: 2 }, "no array"],
    [{ type: "integer", minimum: 0.2, maximum: 0.8 }, "no number"],
    [{ type: "number", minimum: 1, exclusiveMaximum: 1 }, "no number"],
    [{ type: "number", minimum: "1" }, "#/minimum"],
    [{ $ref: "#/$defs/x" }, "points to nothing"],
    [{ $ref: "#" }, "leads back to itself"],
    [{ $defs: { a: { anyOf: [{ type: "null" }, { $ref: "#/$defs/a" }] } }, $ref: "#/$defs/a" }, "leads back to itself"],
  ])("%j is broken", (schema, words) => {
    expect(refusal(schema)).toMatch(/^INVALID_ARGUMENT The JSON schema is broken at /);
    expect(refusal(schema)).toContain(words);
  });

  test("what is too deep or too large", () => {
    let deep: Schema = { type: "null" };
    for (let level = 0; level < 100; level++) deep = { type: "array", items: deep };
    expect(refusal(deep)).toContain("nesting of this size");
    const wide = Object.fromEntries(
      Array.from({ length: 9000 }, (_, at) => [`property number ${at}`, { type: "null" }]),
    );
    expect(refusal({ type: "object", properties: wide })).toContain("INVALID_GRAMMAR");
    expect(refusal({ const: JSON.parse(`${"[".repeat(3000)}${"]".repeat(3000)}`) })).toContain(
      "constants of this size",
    );
    const names = { ["x".repeat(5000)]: {} };
    expect(refusal({ type: "object", properties: names, additionalProperties: true })).toContain("names of more than");
    expect(refusal({ type: "object", properties: names })).toBe("accepted");
    expect(refusal({ type: "object", required: Array.from({ length: 10_001 }, String) })).toContain("properties");
    expect(refusal({ enum: Array.from({ length: 300 }, (_, at) => `${at}${"\n".repeat(900)}`) })).toContain(
      "constants",
    );
  });
});

describe("numbers", () => {
  test.each([
    [{ type: "integer", minimum: 0, maximum: 120 }],
    [{ type: "integer", minimum: -7, maximum: 1234 }],
    [{ type: "integer", exclusiveMinimum: 9, exclusiveMaximum: 11 }],
    [{ type: "integer", minimum: 95 }],
    [{ type: "integer", maximum: -3 }],
    [{ type: "integer", minimum: -0.5, maximum: 10.5 }],
    [{ type: "number", minimum: -1.25, maximum: 3.5 }],
    [{ type: "number", exclusiveMinimum: 0 }],
    [{ type: "number", exclusiveMinimum: 0, exclusiveMaximum: 0.05 }],
    [{ type: "number", minimum: 99.95, exclusiveMaximum: 1000 }],
    [{ type: "number", maximum: -0.001 }],
    [{ type: "number", minimum: -100, exclusiveMaximum: -99.9 }],
    [{ type: "integer", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }],
  ])("%j", (schema: Schema) => {
    const matcher = parseGbnf(jsonSchemaGrammar(schema));
    const { minimum = -Infinity, maximum = Infinity } = schema as Record<string, number>;
    const { exclusiveMinimum = -Infinity, exclusiveMaximum = Infinity } = schema as Record<string, number>;
    const fits = (value: number) =>
      value >= minimum &&
      value <= maximum &&
      value > exclusiveMinimum &&
      value < exclusiveMaximum &&
      (schema.type === "number" || Number.isInteger(value));
    const chance = new SeededChance(3n);
    const edges = [minimum, maximum, exclusiveMinimum, exclusiveMaximum].filter(Number.isFinite);
    for (let round = 0; round < 300 * scale; round++) {
      const near = edges[pick(chance, edges.length)] ?? 0;
      const spread = 10 ** (pick(chance, 7) - 3);
      const exact = near + (chance.next() - 0.5) * spread;
      const value = Number(exact.toFixed(pick(chance, 4)));
      const text = String(Object.is(value, -0) ? 0 : value);
      if (!text.includes("e")) expect(matcher.matches(text), text).toBe(fits(value));
    }
    for (const edge of edges) expect(matcher.matches(String(edge)), String(edge)).toBe(fits(edge));
  });
});

test.each([
  [{ minimum: 1e20, maximum: 1e21 }, ["1", "0".repeat(20)], ["1", "0".repeat(21)]],
  [{ minimum: 5e15, exclusiveMaximum: 1e16 }, ["5", "0".repeat(15)], ["9".repeat(16)]],
  [{ exclusiveMinimum: 1e17, maximum: 1e18 }, ["1", `${"0".repeat(16)}1`], ["1", "0".repeat(18)]],
  [{ minimum: -1e21, maximum: -1e20 }, ["-1", "0".repeat(21)], ["-1", "0".repeat(20)]],
  [{ minimum: -1e30, exclusiveMaximum: -1e16 }, ["-1", "0".repeat(30)], ["-1", `${"0".repeat(15)}1`]],
] as const)("bounds of more than 16 digits hold: %j", (bounds, least, most) => {
  const { low, high } = { low: BigInt(least.join("")), high: BigInt(most.join("")) };
  for (const type of ["integer", "number"]) {
    const matcher = parseGbnf(jsonSchemaGrammar({ type, ...bounds }));
    for (const inside of [low, high, (low + high) / 2n, low + 1n, high - 1n]) {
      expect(matcher.matches(String(inside)), String(inside)).toBe(true);
    }
    for (const outside of [low - 1n, high + 1n, low / 10n, high * 10n, high * 100n, -low, 0n]) {
      if (outside >= low && outside <= high) continue;
      expect(matcher.matches(String(outside)), String(outside)).toBe(false);
    }
  }
});

test("bounds that 64 bits suggest are taken, and say nothing", () => {
  const matcher = parseGbnf(jsonSchemaGrammar({ type: "integer", minimum: -(2 ** 63), maximum: 2 ** 63 }));
  for (const text of ["0", "-1", "9007199254740991", "-9007199254740991"]) expect(matcher.matches(text)).toBe(true);
});

test("random schemas: their documents belong, documents of others only when they fit", () => {
  const chance = new SeededChance(42n);
  let strangers = 0;
  for (let round = 0; round < 150 * scale; round++) {
    const schema = randomSchema(chance, 3);
    const matcher = parseGbnf(jsonSchemaGrammar(schema));
    for (let each = 0; each < 6; each++) {
      const own = randomDocument(chance, schema);
      for (const text of printings(own)) {
        expect(matcher.matches(text), `round ${round}: ${text} in ${JSON.stringify(schema)}`).toBe(true);
      }
      const other = randomDocument(chance, randomSchema(chance, 3));
      const fits = belongs(schema, other);
      if (!fits) strangers++;
      expect(
        matcher.matches(JSON.stringify(other)),
        `round ${round}: ${JSON.stringify(other)} in ${JSON.stringify(schema)}`,
      ).toBe(fits);
    }
  }
  expect(strangers).toBeGreaterThan(100);
});

test("the same schema gives the same text, and nothing in it is idle", () => {
  const schema = {
    type: "object",
    properties: { a: { type: "integer", minimum: 3 }, b: { $ref: "#" }, c: { const: 1 } },
  };
  const text = jsonSchemaGrammar(schema);
  expect(jsonSchemaGrammar(structuredClone(schema))).toBe(text);
  const rules = text
    .trim()
    .split("\n")
    .map((line) => line.split(" ::= "));
  for (const [name] of rules.slice(1)) {
    expect(
      rules.some(([, body]) => new RegExp(`\\b${name}\\b`).test(body ?? "")),
      name,
    ).toBe(true);
  }
});

test("any object, and one of several texts", () => {
  const object = parseGbnf(jsonObjectGrammar());
  expect(object.matches('{"a": [1, {"b": null}], "c": -1.5e10}')).toBe(true);
  expect(object.matches("[]")).toBe(false);
  const choice = parseGbnf(choiceGrammar(["yes", 'no "way"', "a\nb\\", ""]));
  for (const text of ["yes", 'no "way"', "a\nb\\", ""]) expect(choice.matches(text)).toBe(true);
  expect(choice.matches("no")).toBe(false);
  expect(() => choiceGrammar([])).toThrow(StatorError);
});

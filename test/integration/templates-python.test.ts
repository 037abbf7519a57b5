import { readFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { parseJson } from "#lib/text/jinja/json";
import { plain } from "#lib/text/jinja/marked";
import { compileJinja } from "#lib/text/jinja/template";
import { Dict, isText, type Value } from "#lib/text/jinja/values";
import { TEMPLATE_LIMITS } from "#lib/text/template";
import { fetchRealTemplates, renderWithPython } from "../support/real-templates.ts";
import { IS_LONG } from "../support/seeds.ts";

/** Named arguments beside each conversation: what templates of real models ask for. */
const VARIANTS = [
  {},
  { enable_thinking: true },
  { enable_thinking: false },
  { reasoning_effort: "high" },
  { bos_token: "" },
];
const COMMON = { tools: null, documents: null, add_generation_prompt: true, bos_token: "<s>", eos_token: "</s>" };
const clock = new FakeClock(new Date(2026, 4, 7, 8, 9, 10).getTime());

/** Conversations as JSON texts, whose numbers are what they say. */
function conversations(): string[] {
  const file = new URL("../fixtures/templates/conversations.json", import.meta.url);
  const all = JSON.parse(readFileSync(file, "utf8")) as Record<string, object>;
  // Numbers that JavaScript cannot hold are put back by their text.
  return Object.values(all).map((each) =>
    JSON.stringify(each).replace("12345678901234567000", "12345678901234567890").replace('"f":1,', '"f":1.0,'),
  );
}

function variablesOf(text: string): Map<string, Value> {
  const value = parseJson(text);
  if (!(value instanceof Dict)) throw new Error("no object");
  return new Map(value.items().map(([key, item]) => [isText(key) ? plain(key) : "", item]));
}

function ours(source: string, variables: string): string | undefined {
  try {
    return plain(compileJinja(source, { clock, limits: TEMPLATE_LIMITS }).render(variablesOf(variables)));
  } catch (error) {
    if (error instanceof StatorError && error.reason === "INVALID_TEMPLATE") return undefined;
    throw error;
  }
}

if (IS_LONG) {
  describe("templates of real models mean what they mean to Python", () => {
    const given = conversations().flatMap((text) =>
      VARIANTS.map((variant) => `${JSON.stringify({ ...COMMON, ...variant }).slice(0, -1)},${text.slice(1)}`),
    );
    let rendered = 0;
    test.each([...fetchRealTemplates()])("%s", (_, source) => {
      const answers = renderWithPython(given.map((variables) => ({ source, variables })));
      for (const [at, { text }] of answers.entries()) expect(ours(source, given[at]!), given[at]).toBe(text);
      if (answers.some(({ text }) => text !== undefined)) rendered++;
    });
    // Some refuse whatever is not made for them.
    test("most render some of it", () => expect(rendered).toBeGreaterThan(60));
  });
} else {
  describe("templates of real models", () => {
    it.skip("npm run test:long renders them beside Python", () => {});
  });
}

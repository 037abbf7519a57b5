import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { END } from "#lib/native/context";
import type { Model, Vocab } from "#lib/native/llama";
import { choiceGrammar, jsonObjectGrammar, jsonSchemaGrammar } from "#lib/text/grammar/grammar";
import { parseGbnf } from "../../../test/fixtures/text/gbnf.ts";
import { randomSchema } from "../../../test/fixtures/text/schema.ts";
import { DEMO_MODEL, EngineDriver, openNative } from "../../../test/support/engine-driver.ts";

const scale = Number(process.env.TEST_SCALE ?? 1);
const native = openNative();
const person = {
  type: "object",
  properties: { name: { type: "string", maxLength: 12 }, age: { type: "integer", minimum: 5, maximum: 79 } },
  required: ["name", "age"],
  additionalProperties: false,
};

describe.skipIf(native.reason !== undefined)(`grammars in the engine (${native.reason ?? "built"})`, () => {
  const { llama } = native as Extract<typeof native, { addon: unknown }>;
  let model: Model;
  let vocab: Vocab;
  let driver: EngineDriver;
  beforeAll(async () => {
    model = await llama.loadModel(DEMO_MODEL);
    vocab = model.vocab();
    driver = await EngineDriver.open(model, { cellTokens: 4096, maxSequences: 1, maxBatchTokens: 512 });
  });
  afterAll(() => {
    driver.context.close();
    vocab.close();
    model.close();
  });

  /** What the model writes under a grammar, drawn wildly. */
  async function write(
    grammar: string,
    seed: bigint,
  ): Promise<{ text: string; end: number; message: string | undefined }> {
    const prompt = vocab.tokenize("<|im_start|>user\nGive me a person named Ada as JSON.<|im_end|>\n", {
      parseSpecial: true,
    });
    driver.clear(0);
    const { tokens, end, message } = await driver.generate(0, prompt, {
      temperature: 1.2,
      seed,
      maxTokens: 300,
      grammar,
    });
    const table = vocab.pieceTable();
    const bytes = tokens.flatMap((token) =>
      (table.attributes[token] ?? 0) & 1
        ? []
        : [...table.bytes.subarray(table.offsets[token], table.offsets[token + 1])],
    );
    return { text: Buffer.from(bytes).toString("utf8"), end, message };
  }

  test.each([
    ["a person", jsonSchemaGrammar(person)],
    ["any object", jsonObjectGrammar()],
    ["a choice", choiceGrammar(["yes", 'no "way"', "a\nb\\"])],
    ["a number", jsonSchemaGrammar({ type: "number", exclusiveMinimum: -1.5, maximum: 0.25 })],
    ["a long string", jsonSchemaGrammar({ type: "string", minLength: 3, maxLength: 9000 })],
    [
      "itself",
      jsonSchemaGrammar({ type: "object", properties: { next: { anyOf: [{ type: "null" }, { $ref: "#" }] } } }),
    ],
    [
      "open properties",
      jsonSchemaGrammar({ properties: { a: {}, ab: {} }, additionalProperties: { type: "integer" } }),
    ],
  ])("%s", async (_name, grammar) => {
    const matcher = parseGbnf(grammar);
    for (let seed = 1n; seed <= 4n; seed++) {
      const { text, end, message } = await write(grammar, seed);
      expect([END.eog, END.length, END.grammar], message).toContain(end);
      if (end !== END.length) expect(matcher.matches(text), text).toBe(true);
    }
  });

  test("random schemas are taken, and what is written belongs to them", async () => {
    const chance = new SeededChance(123n);
    for (let round = 0; round < 40 * scale; round++) {
      const grammar = jsonSchemaGrammar(randomSchema(chance, 3));
      const { text, end, message } = await write(grammar, BigInt(round + 1));
      expect([END.eog, END.length, END.grammar], message).toContain(end);
      if (end !== END.length) expect(parseGbnf(grammar).matches(text), text).toBe(true);
    }
  });
});

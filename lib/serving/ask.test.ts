import { expect, it } from "vitest";
import { type Ask, readyAsk } from "./ask.ts";
import { plainAsk } from "./plain-ask.ts";

it("is ready with token ids, a number of tokens and a grammar", () => {
  const plain = plainAsk({ guidance: { kind: "ebnfGrammar", grammar: 'root ::= "a"' } });
  expect(readyAsk(plain)).toBe(plain);
});

it.each<[string, Partial<Ask<string>>]>([
  ["Text for a worker", { input: { kind: "text", texts: ["a"] } }],
  ["Messages for a worker", { input: { kind: "messages", messages: "kept elsewhere" } }],
  ["Guidance that is not compiled", { guidance: { kind: "jsonObject" } }],
  ["An answer as long as the context", { stopping: { ...plainAsk().stopping, maxTokens: undefined } }],
])("refuses %s, which links do not carry", (feature, more) => {
  const refusal = { reason: "UNSUPPORTED_FEATURE", facts: expect.objectContaining({ feature }) };
  expect(() => readyAsk({ ...plainAsk(), ...more })).toThrow(expect.objectContaining(refusal));
});

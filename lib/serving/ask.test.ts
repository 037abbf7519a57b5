import { expect, it } from "vitest";
import { type Ask, readyAsk, textAsk } from "./ask.ts";
import { plainAsk } from "./plain-ask.ts";

it("is ready with token ids and a number of tokens, whatever its form", () => {
  const plain = plainAsk({ guidance: { kind: "jsonObject" } });
  expect(readyAsk(plain)).toBe(plain);
});

it.each<[string, Partial<Ask<string>>]>([
  ["Text for a worker", { input: { kind: "text", texts: ["a"] } }],
  ["Messages for a worker", { input: { kind: "messages", messages: "kept elsewhere" } }],
  ["A tensor for a worker", { kind: "tensor" }],
  ["An answer as long as the context", { stopping: { ...plainAsk().stopping, maxTokens: undefined } }],
])("refuses %s, which links do not carry", (feature, more) => {
  const refusal = { reason: "UNSUPPORTED_FEATURE", facts: expect.objectContaining({ feature }) };
  expect(() => readyAsk({ ...plainAsk(), ...more })).toThrow(expect.objectContaining(refusal));
});

it("is ready as text for a model whose workers take text, and then token ids are refused", () => {
  const plain = { ...plainAsk(), input: { kind: "text", texts: ["a"] } } as const;
  expect(textAsk(plain)).toBe(plain);
  expect(() => textAsk(plainAsk())).toThrow(/^Token ids for a worker is not available/);
});

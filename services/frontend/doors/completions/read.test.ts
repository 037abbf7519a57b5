import { expect, it } from "vitest";
import { NOTHING_AROUND } from "../door.ts";
import { reader } from "./read.ts";

const read = (fields: object) =>
  reader.read(Buffer.from(JSON.stringify({ model: "m", ...fields })), undefined, NOTHING_AROUND);

it.each([
  ["a", { kind: "text", texts: ["a"] }],
  [["a", "b"], { kind: "text", texts: ["a", "b"] }],
  [[1, 2], { kind: "tokens", prompts: [Uint32Array.of(1, 2)], tokenizer: "" }],
  [[[1], [2, 3]], { kind: "tokens", prompts: [Uint32Array.of(1), Uint32Array.of(2, 3)], tokenizer: "" }],
])("the prompt %j is %j", (prompt, input) => {
  expect(read({ prompt }).ask.input).toEqual(input);
});

it("an answer has sixteen tokens, or the prompt alone for which one is drawn", () => {
  const told = (fields: object) => {
    const { ask, echo, promptOnly } = read({ prompt: "a", ...fields });
    return [ask.stopping.maxTokens, echo, promptOnly];
  };
  expect(told({})).toEqual([16, false, false]);
  expect(told({ max_tokens: 3, echo: true })).toEqual([3, true, false]);
  expect(told({ max_tokens: 0, echo: true })).toEqual([1, true, true]);
});

it("the prompt's log-probabilities come with it", () => {
  const told = (fields: object) => {
    const { topLogprobs, promptLogprobs } = read({ prompt: "a", ...fields }).ask;
    return [topLogprobs, promptLogprobs];
  };
  expect(told({ logprobs: 2 })).toEqual([2, false]);
  expect(told({ logprobs: 0, echo: true })).toEqual([0, true]);
  expect(told({ echo: true })).toEqual([undefined, false]);
});

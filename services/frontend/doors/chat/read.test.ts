import { expect, it } from "vitest";
import { systemClock } from "#lib/host/system-clock";
import { compileTemplate } from "#lib/text/template";
import { NOTHING_AROUND } from "../door.ts";
import { PLAIN_ASK, PLAIN_ASKED } from "../plain.ts";
import { reader } from "./read.ts";

const messages = [{ role: "user", content: "hi" }];
const read = (fields: object) =>
  reader.read(Buffer.from(JSON.stringify({ model: "m", messages, ...fields })), undefined, NOTHING_AROUND);

it("what a body leaves out is said by nobody", () => {
  const ask = { ...PLAIN_ASK, model: "m", input: { kind: "messages", messages: { messages } } };
  const form = { includeUsage: false, explain: false };
  expect(read({})).toEqual({ ...PLAIN_ASKED, ask, form, ignored: [] });
  const nulls = {
    temperature: null,
    top_p: null,
    seed: null,
    stop: null,
    logit_bias: null,
    stream: null,
    stator: null,
  };
  expect(read(nulls)).toEqual(read({}));
});

it("every field is in its place", () => {
  const sampling = { temperature: 0.5, top_p: 0.25, top_k: -1, min_p: 0.1, repetition_penalty: 1.5, seed: -1 };
  const { ask, ...answer } = read({
    ...sampling,
    ...{ frequency_penalty: 1, presence_penalty: -1, logit_bias: { 3: 1.5, 7: -2 }, n: 2, max_completion_tokens: 9 },
    ...{ stop: "END", stop_token_ids: [4], min_tokens: 3, ignore_eos: true, include_stop_str_in_output: true },
    ...{ logprobs: true, top_logprobs: 2, cache_salt: "s", priority: 4, stator: { worker: "ab", explain: true } },
    ...{ stream: true, stream_options: { include_usage: true, continuous_usage_stats: true }, user: "u" },
    response_format: { type: "json_schema", json_schema: { name: "s", schema: { type: "object" } } },
  });
  expect(ask.sampling).toEqual({
    ...{ temperature: 0.5, topP: 0.25, topK: -1, minP: 0.1, repetitionPenalty: 1.5, seed: 2n ** 64n - 1n },
    ...{ frequencyPenalty: 1, presencePenalty: -1 },
    ...{ biasTokens: Uint32Array.of(3, 7), biasValues: Float32Array.of(1.5, -2) },
  });
  expect(ask.stopping).toEqual({
    ...{ maxTokens: 9, minTokens: 3, ignoreEos: true, stopTokens: Uint32Array.of(4), stopTexts: ["END"] },
    includeStop: true,
  });
  expect(ask).toMatchObject({
    ...{ choicesPerPrompt: 2, topLogprobs: 2, cacheSalt: "s", priority: 4, target: { worker: 0xabn } },
    guidance: { kind: "jsonSchema", schema: '{"type":"object"}' },
  });
  const form = { includeUsage: true, explain: true };
  expect(answer).toEqual({ ...PLAIN_ASKED, stream: true, soFar: true, form, ignored: ["user"] });
});

it("a sum of nothing is the likeliest token alone, and log-probabilities may be those of the answer alone", () => {
  expect(read({ top_p: 0, top_k: 40 }).ask.sampling).toMatchObject({ topP: 1, topK: 1 });
  expect(read({ logprobs: true }).ask.topLogprobs).toBe(0);
  expect(read({ max_tokens: 5 }).ask.stopping.maxTokens).toBe(5);
  expect(read({ response_format: { type: "json_object" } }).ask.guidance).toEqual({ kind: "jsonObject" });
  expect(read({ response_format: { type: "text" } }).ask.guidance).toBeUndefined();
});

it("a template is told what the body says to it: parts, reasoning, variables, and how the prompt ends", () => {
  const conversation = (fields: object) => {
    const { input } = read(fields).ask;
    return input.kind === "messages" ? input.messages : undefined;
  };
  const parts = [
    { type: "text", text: "a" },
    { type: "text", text: "b" },
  ];
  const turns = [
    { role: "user", content: parts },
    { role: "assistant", content: [{ type: "refusal", refusal: "no" }], reasoning: "why" },
    { role: "assistant", content: null, reasoning_content: "because", tool_calls: [] },
    { role: "user", content: "c", name: "n" },
  ];
  expect(conversation({ messages: turns })?.messages).toEqual([
    { role: "user", content: parts },
    { role: "assistant", content: [{ type: "text", text: "no" }], reasoning_content: "why" },
    { role: "assistant", content: null, reasoning_content: "because" },
    { role: "user", content: "c", name: "n" },
  ]);
  const more = { chat_template_kwargs: { enable_thinking: false, deep: { a: [1] } }, documents: [{ title: "t" }] };
  expect(conversation({ ...more, add_generation_prompt: false, continue_final_message: true })).toEqual({
    messages,
    variables: { documents: '[{"title":"t"}]', enable_thinking: "false", deep: '{"a":[1]}' },
    addGenerationPrompt: false,
    continueFinalMessage: true,
  });
  expect(conversation({ add_generation_prompt: true, continue_final_message: false })).toEqual({
    messages,
    addGenerationPrompt: true,
  });
  expect(() => read({ chat_template: "{{ 1 }}" })).toThrow("the model's own template makes the prompt");
});

it("variables of a template are told as the body writes them", () => {
  const rendered = (fields: string, template: string): unknown => {
    const body = `{"model": "m", "messages": [{"role": "user", "content": "hi"}]${fields}}`;
    const { input } = reader.read(Buffer.from(body), undefined, NOTHING_AROUND).ask;
    if (input.kind !== "messages") return undefined;
    return compileTemplate(template, systemClock).render(input.messages.messages, input.messages).text;
  };
  const numbers = '"numbers": {"2": 1.0, "1": 12345678901234567890, "\\u0030": -0, "b": 1e3, "a": 0.10}';
  expect(rendered(`, "chat_template_kwargs": {${numbers}}`, "{{ numbers }} {{ numbers | tojson }}")).toBe(
    "{'2': 1.0, '1': 12345678901234567890, '0': 0, 'b': 1000.0, 'a': 0.1} " +
      '{"2": 1.0, "1": 12345678901234567890, "0": 0, "b": 1000.0, "a": 0.1}',
  );
  const documents = '"documents": [{"9": 2.50, "8": {"1": 1.0, "0": []}}]';
  expect(rendered(`, ${documents}`, "{{ documents }}")).toBe("[{'9': 2.5, '8': {'1': 1.0, '0': []}}]");
  // The last of several, whatever its name is written like, and none of those that are somewhere else.
  const nested = '"metadata": {"documents": "[9]", "chat_template_kwargs": "{}"}';
  const twice = `"chat_template_kwargs": {"x": 1}, ${nested}, "chat_template\\u005fkwargs": {"x": 2, "x": 3.0}, ${documents}`;
  expect(rendered(`, ${twice}`, "{{ x }}{{ documents | length }}")).toBe("3.01");
  expect(rendered(', "chat_template_kwargs": {"documents": 1.0}, "documents": [{}]', "{{ documents }}")).toBe("1.0");
  expect(rendered(', "chat_template_kwargs": null, "documents": null', "{{ documents is none }}")).toBe("True");
});

import { expect, it } from "vitest";
import { plainAsk } from "#lib/serving/plain-ask";
import { createByteText, encodeBytes } from "../../../../test/support/rehearsal/byte-text.ts";
import { printers } from "./print.ts";

const plan = {
  ask: plainAsk({ model: "m", requestId: "7", prompts: [encodeBytes("hi")], topLogprobs: 0, promptLogprobs: true }),
  ...{ text: createByteText(), createdUnixSeconds: 5, choices: 1, stops: undefined, leads: ["hi"] },
  ...{ scored: true, promptOnly: false, soFar: false },
};
const form = { includeUsage: true, explain: false };
const scores = (...chosen: number[]) => {
  return { chosen: Float32Array.from(chosen), topTokens: new Uint32Array(0), topValues: new Float32Array(0) };
};
const token = { id: 33, text: "!", bytes: encodeBytes("!") as unknown as Uint8Array, logprob: -1, top: [], offset: 2 };
const usage = { promptTokens: 2, cachedTokens: 0, completionTokens: 1 };
const jsonOf = (event = "") => JSON.parse(event.slice("data: ".length)) as { choices: { logprobs: object }[] };

it("the prompt's log-probabilities are told once, before all others", () => {
  const events = printers.events!(plan, form);
  events.prompt(0, 1, scores(-0.5));
  expect(jsonOf(events.text(0, "hi", undefined)).choices[0]!.logprobs).toMatchObject({
    tokens: ["h", "i"],
    token_logprobs: [null, -0.5],
  });
  const part = { text: "!", token };
  expect(jsonOf(events.token(0, part, undefined)).choices[0]!.logprobs).toMatchObject({ tokens: ["!"] });
  expect(jsonOf(events.end(0, "stop", undefined)).choices[0]!.logprobs).toMatchObject({ tokens: [] });
  expect(events.done(usage)).toMatch(/"choices":\[\],"usage":\{"prompt_tokens":2.*\n\ndata: \[DONE\]\n\n$/);
});

it("a body has them in one list, and one of which some are missing is an error", () => {
  const body = printers.body!(plan, form);
  body.prompt(0, 1, scores(-0.5));
  body.choice(0, { finish: "length", text: "hi!", tokens: [token] });
  expect(JSON.parse(body.body(usage))).toMatchObject({
    ...{ id: "cmpl-7", created: 5, model: "m" },
    choices: [{ text: "hi!", finish_reason: "length", logprobs: { tokens: ["h", "i", "!"], text_offset: [0, 1, 2] } }],
  });
  const incomplete = printers.body!(plan, form);
  expect(() => incomplete.choice(0, { finish: "stop", text: "", tokens: [] })).toThrow(
    "log-probabilities of the prompt",
  );
});

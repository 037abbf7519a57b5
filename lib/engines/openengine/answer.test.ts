import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import { FinishReason, GenerateResponseSchema } from "#gen/openengine/v1/generation_pb";
import { StatorError } from "#lib/base/errors";
import { GREEDY } from "#lib/tokens/sampling";
import type { GenerateRequest } from "../engine.ts";
import { Answer } from "./answer.ts";

type Event = NonNullable<MessageInitShape<typeof GenerateResponseSchema>["event"]>;
type Usage = MessageInitShape<typeof GenerateResponseSchema>["usage"];

const REQUEST: GenerateRequest = {
  kind: "generate",
  id: 7,
  promptTokens: Uint32Array.of(1, 2, 3),
  generatedTokens: new Uint32Array(0),
  choice: 0,
  sampling: GREEDY,
  stopping: { maxTokens: 4, minTokens: 0, ignoreEos: false, stopTokens: Uint32Array.of(9) },
  guidance: undefined,
  topLogprobs: undefined,
  promptLogprobs: false,
  adapter: undefined,
  cacheSalt: "",
  priority: 0,
};

function answer(request: Partial<GenerateRequest> = {}) {
  return new Answer({ ...REQUEST, ...request }, "r", { vocabularySize: 100, answerUnits: 10 });
}

function message(event: Event, usage?: Usage, requestId = "r") {
  return create(GenerateResponseSchema, { requestId, event, usage });
}

const tokens = (...ids: number[]): Event => ({
  case: "token",
  value: { outputIndex: 0, tokens: ids.map((tokenId) => ({ tokenId })), text: "" },
});
const finished = (reason: FinishReason = FinishReason.LENGTH): Event => ({
  case: "finished",
  value: { outputIndex: 0, reason },
});
const ended = (match: "stopTokenId" | "eosTokenId", value: number): Event => ({
  case: "finished",
  value: { outputIndex: 0, reason: FinishReason.STOP, stopMatch: { match: { case: match, value } } },
});
const usage = (promptTokens: number, completionTokens: number, cachedPromptTokens = 0) => {
  return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens, cachedPromptTokens };
};

it("tokens are deltas, and the end has what was counted", () => {
  const one = answer();
  expect(one.read(message(tokens(5, 6))).tokens).toEqual([5, 6]);
  expect(one.read(message(tokens(7))).tokens).toEqual([7]);
  expect(one.finish).toBeUndefined();
  one.read(message(finished(), usage(3, 3, 2)));
  const counts = { promptTokens: 3, cachedTokens: 2, completionTokens: 3 };
  expect(one.finish).toEqual({ id: 7, reason: "length", stopToken: undefined, ...counts, error: undefined });
});

it("what ended an answer is a stop token where it was asked for, else the model's own end", () => {
  const asked = answer();
  asked.read(message(ended("stopTokenId", 9)));
  expect(asked.finish).toMatchObject({ reason: "stop_token", stopToken: 9 });
  const own = answer();
  own.read(message(ended("stopTokenId", 8)));
  expect(own.finish).toMatchObject({ reason: "end", stopToken: 8 });
  const eos = answer();
  // Some engines count the token that they do not give.
  eos.read(message(tokens(5)));
  eos.read(message(ended("eosTokenId", 2), usage(3, 2)));
  expect(eos.finish).toMatchObject({ reason: "end", stopToken: 2, completionTokens: 1 });
});

it("an answer that goes on counts what was there before", () => {
  const one = answer({ generatedTokens: Uint32Array.of(4, 4) });
  one.read(message(tokens(5, 6)));
  one.read(message(finished(), usage(5, 2, 4)));
  expect(one.finish).toMatchObject({ promptTokens: 3, cachedTokens: 3, completionTokens: 4 });
});

it("text is text, with the engine's own counts", () => {
  const one = answer({ promptText: "abc", promptTokens: new Uint32Array(0) });
  const said = { outputIndex: 0, tokens: [{ tokenId: 1000 }], text: "hi" };
  expect(one.read(message({ case: "token", value: said }))).toMatchObject({ text: "hi", tokens: [] });
  one.read(message(finished(), usage(11, 1)));
  expect(one.finish).toMatchObject({ promptTokens: 11, completionTokens: 1 });
});

it("log-probabilities come to the number that was asked for, most likely first", () => {
  const candidate = (tokenId: number, logprob: number) => ({ tokenId, logprob });
  const candidates = [candidate(1, -3), candidate(2, -1), candidate(3, -2)];
  const value = { outputIndex: 0, tokens: [{ tokenId: 2, logprob: -1, candidates }], text: "" };
  const { logprobs } = answer({ topLogprobs: 2 }).read(message({ case: "token", value }));
  const expected = { chosen: [-1], topTokens: [2, 3], topValues: [-1, -2] };
  expect(logprobs && Object.fromEntries(Object.entries(logprobs).map(([name, list]) => [name, [...list]]))).toEqual(
    expected,
  );
});

it("the prompt's log-probabilities begin at its second token and end before an earlier answer", () => {
  const one = answer({ topLogprobs: 0, promptLogprobs: true, generatedTokens: Uint32Array.of(4) });
  const scored = (...all: { tokenId: number; logprob?: number }[]) =>
    one.read(message({ case: "prompt", value: { tokens: all } })).promptLogprobs;
  expect(scored({ tokenId: 1 }, { tokenId: 2, logprob: -1 })).toMatchObject({
    position: 1,
    chosen: Float32Array.of(-1),
  });
  const rest = scored({ tokenId: 3, logprob: -2 }, { tokenId: 4, logprob: -3 });
  expect(rest).toMatchObject({ position: 2, chosen: Float32Array.of(-2) });
});

it("a failure after acceptance keeps its kind; what is about us alone is the engine's failure", () => {
  for (const [code, retryable, reason] of [
    [ErrorCode.INVALID_ARGUMENT, false, "INVALID_ARGUMENT"],
    [ErrorCode.OVERLOADED, true, "OVERLOADED"],
    [ErrorCode.DRAINING, true, "DRAINING"],
    [ErrorCode.KV_SESSION_NOT_FOUND, true, "ENGINE_FAILED"],
    [ErrorCode.INTERNAL, false, "INTERNAL"],
    [99 as ErrorCode, true, "ENGINE_FAILED"],
  ] as const) {
    const one = answer();
    one.read(message({ case: "error", value: { code, message: "It broke.", retryable } }));
    expect(one.finish).toMatchObject({ reason: "failed", error: { reason } });
  }
});

/** The sentence with which the last of these messages is refused. */
function fault(messages: ReturnType<typeof message>[], request?: Partial<GenerateRequest>): string {
  const one = answer(request);
  for (const each of messages.slice(0, -1)) one.read(each);
  try {
    one.read(messages.at(-1)!);
  } catch (error) {
    expect(error).toBeInstanceOf(StatorError);
    expect((error as StatorError).reason).toBe("ENGINE_FAILED");
    return (error as StatorError).message.replace("The engine failed: it broke openengine.v1: ", "");
  }
  return "";
}

it("what breaks the contract fails with a sentence", () => {
  const end = message(finished());
  expect(fault([end, end])).toBe("something followed the end of an answer.");
  expect(fault([end, message(tokens(1))])).toBe("something followed the end of an answer.");
  expect(fault([message(tokens(1), undefined, "other")])).toBe("an event of the request other came here.");
  expect(fault([message({ case: "token", value: { outputIndex: 1, tokens: [] } })])).toBe(
    "output 1 of a request with one output.",
  );
  expect(fault([message(tokens(1, 1, 1)), message(tokens(1, 1))])).toBe("an answer of at most 4 tokens has more.");
  expect(fault([message(tokens(100))])).toBe("the vocabulary has no token 100.");
  expect(fault([message(finished(FinishReason.UNSPECIFIED))])).toBe(
    "an answer ended without a reason that is known here.",
  );
  expect(fault([message({ case: "prefillReady", value: {} })])).toBe(
    "it computed the prompt alone, which nobody asked for.",
  );
  const long = message({ case: "token", value: { outputIndex: 0, tokens: [], text: "123456789ab" } });
  expect(fault([long], { promptText: "abc" })).toBe("an answer has no end.");
});

it("so do counts that are wrong, and log-probabilities that are missing", () => {
  const spent = message(tokens(1, 1));
  expect(fault([spent, message(finished(), usage(3, 3))])).toBe("it counted 3 tokens in an answer of 2.");
  expect(fault([spent, message(finished(), usage(3, 1))])).toBe("it counted 1 tokens in an answer of 2.");
  expect(fault([spent, message(finished(), usage(4, 2))])).toBe("it counted 4 tokens in a prompt of 3.");
  expect(fault([spent, message(finished(), usage(3, 2, 4))])).toBe("it found more of a prompt than there is.");
  expect(fault([spent, message(finished(), { ...usage(3, 2), totalTokens: 9 })])).toBe("its usage does not add up.");
  expect(fault([spent], { topLogprobs: 0 })).toBe("a token came without its log-probability.");
  const scored = { outputIndex: 0, tokens: [{ tokenId: 1, logprob: -1, candidates: [] }], text: "" };
  expect(fault([message({ case: "token", value: scored })], { topLogprobs: 1 })).toBe(
    "0 alternatives came in place of 1.",
  );
  const wanted = { topLogprobs: 0, promptLogprobs: true };
  expect(fault([message(finished(), usage(3, 0))], wanted)).toBe("log-probabilities of the prompt are missing.");
  const other = message({ case: "prompt", value: { tokens: [{ tokenId: 5 }] } });
  expect(fault([other], wanted)).toBe("a prompt was scored that is not the request's.");
});

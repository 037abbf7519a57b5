import { ErrorCode } from "#gen/openengine/v1/error_pb";
import { GuidedDecodingMode } from "#gen/openengine/v1/model_pb";
import type { Check } from "../check.ts";
import { claimed, expect } from "../failure.ts";
import type { EngineBench } from "./engine-bench.ts";
import { type Ask, type CallInit, CODE, codeName, type RunningCall, tell } from "./engine-caller.ts";

const RULES = "docs/conformance.md";
const UNKNOWN = "A model, an adapter, a request or a session that the engine does not know is NOT_FOUND.";
const CONTRADICTS = "The request contradicts itself or the contract.";
const INVALID = "ERROR_CODE_INVALID_ARGUMENT";
const HEADERS = "a repeated or malformed one is refused.";
const NOBODY = "conform-nobody";
/** Above every vocabulary. */
const NO_TOKEN = 0xffff_fff0;

/** Of failures after acceptance, which the contract allows where an engine learns too late what it cannot do. */
const ERROR_CODES: Readonly<Record<number, readonly ErrorCode[]>> = {
  [CODE.invalid]: [ErrorCode.INVALID_ARGUMENT],
  [CODE.unimplemented]: [ErrorCode.UNSUPPORTED_FEATURE],
  [CODE.notFound]: [ErrorCode.MODEL_NOT_FOUND, ErrorCode.KV_SESSION_NOT_FOUND, ErrorCode.REQUEST_NOT_FOUND],
};

/** A promise that a request is refused with one of these codes. */
function refusal(
  about: Pick<Check<EngineBench>, "name" | "sentence" | "of">,
  codes: readonly number[],
  ask: (bench: EngineBench) => { readonly ask: Ask; readonly init?: CallInit },
): Check<EngineBench> {
  return {
    ...about,
    async run(bench) {
      const { ask: refused, init } = ask(bench);
      expectRefused(await bench.caller.ask(refused, init), codes);
    },
  };
}

/** What is refused, and how. */
export const REFUSAL_CHECKS: readonly Check<EngineBench>[] = [
  {
    name: "refuses with a status and without a message",
    sentence:
      "A failure before acceptance is a status without a message; after acceptance exactly one EngineError and then status OK.",
    of: "Inference.Generate",
    async run(bench) {
      const { status, messages } = await bench.caller.ask({ ...bench.greedy(2), model: NOBODY });
      const errors = messages.filter(({ event }) => event.case === "error");
      const isOne = status?.code === CODE.ok ? errors.length === 1 : messages.length === 0;
      expect(isOne, `${messages.length} messages came, ${errors.length} of them errors, and then ${tell(status)}`);
    },
  },
  {
    name: "says why it refuses",
    sentence: "Text for people; nobody matches on it.",
    of: "EngineError.message",
    async run(bench) {
      const asks: readonly Ask[] = [{ ...bench.greedy(2), model: NOBODY }, { stopping: { maxTokens: 1 } }];
      for (const ask of asks) {
        const { status, messages } = await bench.caller.ask(ask);
        const error = messages.find(({ event }) => event.case === "error")?.event;
        const why = error?.case === "error" ? error.value.message : status?.message;
        expect(why, `${codeName(status?.code ?? 0)} came without a word`);
        if (error?.case === "error") expect(error.value.code !== ErrorCode.UNSPECIFIED, "the error has no code");
      }
    },
  },
  refusal(
    { name: "refuses a model that it does not serve", sentence: UNKNOWN, of: RULES },
    [CODE.notFound],
    (bench) => ({
      ask: { ...bench.greedy(2), model: NOBODY },
    }),
  ),
  refusal(
    { name: "refuses an adapter that is not loaded", sentence: UNKNOWN, of: RULES },
    [CODE.notFound],
    (bench) => ({
      ask: { ...bench.greedy(2), loraName: NOBODY },
    }),
  ),
  refusal({ name: "refuses a request without a prompt", sentence: CONTRADICTS, of: INVALID }, [CODE.invalid], () => ({
    ask: { stopping: { maxTokens: 2 } },
  })),
  refusal(
    {
      name: "refuses a request without a name",
      sentence: "Unique among the requests that the engine knows; the name under which it is aborted.",
      of: "GenerateRequest.request_id",
    },
    [CODE.invalid],
    (bench) => ({ ask: bench.greedy(2), init: { requestId: "" } }),
  ),
  refusal(
    {
      name: "refuses to generate no sequence",
      sentence: "Sequences to generate, at least 1. Absent: 1.",
      of: "SamplingParams.num_sequences",
    },
    [CODE.invalid],
    (bench) => ({ ask: { ...bench.greedy(2), sampling: { numSequences: 0 } } }),
  ),
  refusal({ name: "refuses a negative temperature", sentence: CONTRADICTS, of: INVALID }, [CODE.invalid], (bench) => ({
    ask: { ...bench.greedy(2), sampling: { temperature: -1 } },
  })),
  refusal(
    { name: "refuses a least length above the limit", sentence: CONTRADICTS, of: INVALID },
    [CODE.invalid],
    (bench) => ({ ask: { ...bench.prompt(), stopping: { maxTokens: 2, minTokens: 3 } } }),
  ),
  refusal(
    { name: "refuses a stop condition that says nothing", sentence: CONTRADICTS, of: INVALID },
    [CODE.invalid],
    (bench) => ({ ask: { ...bench.prompt(), stopping: { maxTokens: 2, conditions: [{}] } } }),
  ),
  {
    name: "refuses a token that its vocabulary does not have",
    sentence: "Ids of the model's vocabulary.",
    of: "TokenIds.ids",
    async run(bench) {
      claimed(bench.facts.model.supportsTokenIdsInput !== false, "it takes no token ids");
      const input = { case: "tokenIds" as const, value: { ids: [NO_TOKEN] } };
      expectRefused(await bench.caller.ask({ ...bench.greedy(2), input }), [CODE.invalid]);
    },
  },
  {
    name: "refuses a prompt that its context does not hold, and cuts none",
    sentence:
      "What does not fit is refused and never cut in silence: a prompt beyond the context as much as an answer.",
    of: RULES,
    async run(bench) {
      const { maxContextLength, supportsTokenIdsInput } = bench.facts.model;
      claimed(maxContextLength !== undefined, "it does not report max_context_length");
      claimed(supportsTokenIdsInput !== false, "it takes no token ids");
      const { ids } = await bench.caller.whole(bench.greedy(16));
      const long = Array.from({ length: maxContextLength + 8 }, (_, at) => ids[at % ids.length]!);
      const input = { case: "tokenIds", value: { ids: long } } as const;
      expectRefused(await bench.caller.ask({ ...bench.greedy(2), input }), [CODE.invalid]);
    },
  },
  ...(["high", "2147483648"] as const).map((value) =>
    refusal(
      { name: `refuses the priority "${value}"`, sentence: HEADERS, of: "openengine.v1" },
      [CODE.invalid],
      (bench) => ({ ask: bench.greedy(2), init: { metadata: { "openengine-priority": value } } }),
    ),
  ),
  refusal(
    { name: "refuses a rank that is no number", sentence: HEADERS, of: "openengine.v1" },
    [CODE.invalid],
    (bench) => ({ ask: bench.greedy(2), init: { metadata: { "openengine-target-dp-rank": "-1" } } }),
  ),
  refusal(
    { name: "refuses a trace parent that is none", sentence: HEADERS, of: "openengine.v1" },
    [CODE.invalid],
    (bench) => ({ ask: bench.greedy(2), init: { metadata: { traceparent: "nothing" } } }),
  ),
  {
    name: "takes the headers of the contract",
    sentence:
      "Calls may carry one value each of the headers openengine-routing-key, openengine-target-dp-rank (uint32), openengine-priority (int32, higher is more urgent), traceparent and tracestate",
    of: "openengine.v1",
    async run(bench) {
      const { supportsPriority } = bench.facts.model.generation ?? {};
      const metadata = {
        "openengine-routing-key": "conform",
        traceparent: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
        tracestate: "conform=1",
        ...(supportsPriority && { "openengine-priority": "-5" }),
      };
      await bench.caller.whole(bench.greedy(2), { metadata });
    },
  },
  refusal(
    { name: "refuses a session that it does not know", sentence: UNKNOWN, of: RULES },
    [CODE.notFound, CODE.unimplemented, CODE.invalid, CODE.precondition],
    (bench) => ({ ask: { ...bench.greedy(2), kv: { session: { sessionId: NOBODY } } } }),
  ),
  {
    name: "refuses a session whose rank contradicts the header",
    sentence: "Data-parallel rank that holds them. Wins over the routing header; a contradiction is an error.",
    of: "KvSessionRef.dp_rank",
    async run(bench) {
      claimed(bench.facts.server.kvConnector?.enabled, "it has no KV connector");
      const kv = { session: { sessionId: NOBODY, dpRank: 1 } };
      const call = await bench.caller.ask(
        { ...bench.greedy(2), kv },
        { metadata: { "openengine-target-dp-rank": "0" } },
      );
      expectRefused(call, [CODE.invalid, CODE.unimplemented, CODE.notFound]);
    },
  },
  {
    name: "refuses by name what it says that it cannot do",
    sentence: "The request asks for something that this engine cannot do.",
    of: "ERROR_CODE_UNSUPPORTED_FEATURE",
    async run(bench) {
      const asks = unsupported(bench);
      claimed(asks.length > 0, "it says that it can do everything");
      for (const { what, ask } of asks) {
        expectRefused(await bench.caller.ask({ ...bench.greedy(2), ...ask }), [CODE.unimplemented], what);
      }
    },
  },
];

/** What the engine says that it cannot do, as requests for it. */
function unsupported({ facts: { model } }: EngineBench): { readonly what: string; readonly ask: Ask }[] {
  const { generation, supportsMultimodal } = model;
  const image = { modality: 1, source: { case: "rawBytes", value: Uint8Array.of(1) }, mimeType: "image/png" } as const;
  const modes = generation?.guidedDecoding?.supported === undefined ? undefined : generation.guidedDecoding.modes;
  return [
    { isNot: supportsMultimodal === false, what: "media", ask: { media: [image] } },
    {
      isNot: generation?.supportsPrefixCacheBypass === false,
      what: "bypass_prefix_cache",
      ask: { kv: { bypassPrefixCache: true } },
    },
    {
      isNot: generation?.promptLogprobs?.supported === false,
      what: "return_prompt_logprobs",
      ask: { response: { returnPromptLogprobs: true } },
    },
    {
      isNot: generation?.outputLogprobs?.supported === false,
      what: "return_output_logprobs",
      ask: { response: { returnOutputLogprobs: true } },
    },
    {
      isNot: modes !== undefined && !modes.includes(GuidedDecodingMode.REGEX),
      what: "guided.regex",
      ask: { guided: { guide: { case: "regex", value: "[ab]{4}" } } },
    } as const,
  ].filter(({ isNot }) => isNot) as { what: string; ask: Ask }[];
}

/** Fails unless a call was refused, by a status without a message or by one error, with one of these codes. */
export function expectRefused({ status, messages }: RunningCall, codes: readonly number[], what = "it"): void {
  const names = codes.map(codeName).join(" or ");
  const error = messages.find(({ event }) => event.case === "error")?.event;
  if (status?.code === CODE.ok && error?.case === "error" && messages.length === 1) {
    const isOf = codes.some((code) => ERROR_CODES[code]?.includes(error.value.code));
    expect(isOf, `${what} failed with the error code ${error.value.code}, not ${names}`);
    return;
  }
  expect(status?.code !== CODE.ok, `${what} was answered, not refused with ${names}`);
  expect(codes.includes(status?.code ?? 0), `${what} was refused with ${tell(status)}, not ${names}`);
  expect(messages.length === 0, `${messages.length} messages came before the refusal`);
}

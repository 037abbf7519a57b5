import { FinishReason } from "#gen/openengine/v1/generation_pb";
import { EngineRole } from "#gen/openengine/v1/server_pb";
import type { Check } from "../check.ts";
import { claimed, expect } from "../failure.ts";
import { type EngineBench, SAMPLE_TOKENS } from "./engine-bench.ts";
import { CODE, type RunningCall, tell } from "./engine-caller.ts";

const TOKENS = SAMPLE_TOKENS;
/** Beyond the short limits that engines and sidecars have had of their own. */
const MANY_TOKENS = 260;
const SIDE_BY_SIDE = 8;

/** What an answer is made of, and how it ends. */
export const ANSWER_CHECKS: readonly Check<EngineBench>[] = [
  {
    name: "names the request in every message",
    sentence: "Request of which this is an event.",
    of: "GenerateResponse.request_id",
    async run(bench) {
      const { messages, requestId } = await bench.sample();
      const other = messages.find((message) => message.requestId !== requestId);
      expect(!other, `a message names the request "${other?.requestId}" in place of "${requestId}"`);
    },
  },
  {
    name: "sends deltas, never the whole",
    sentence: "New tokens of one sequence: always what is new, never the whole.",
    of: "TokenOutput",
    async run(bench) {
      const { ids, messages } = await bench.sample();
      expect(ids.length <= TOKENS, `the messages have ${ids.length} tokens together, ${TOKENS} were asked for`);
      const texts = messages.flatMap(({ event }) => (event.case === "token" ? [event.value.text] : []));
      // Where tokens have no ids of their own, each text that begins with all texts before it is the whole.
      const whole = texts.filter((text, at) => at > 1 && texts[at - 1]!.length > 1 && text.startsWith(texts[at - 1]!));
      expect(whole.length < Math.max(3, texts.length / 2), "each text begins with the one before it");
    },
  },
  {
    name: "names output_index always, for 0 as well",
    sentence: "Which of the sequences, counted from 0. Always set, for 0 as well.",
    of: "TokenOutput.output_index",
    async run(bench) {
      const { messages } = await bench.sample();
      for (const { event } of messages) {
        if (event.case !== "token" && event.case !== "finished") continue;
        expect(event.value.outputIndex !== undefined, `a message "${event.case}" has no output_index`);
      }
    },
  },
  {
    name: "ends each sequence once",
    sentence: "Each sequence ends with one GenerationFinished.",
    of: "docs/conformance.md",
    async run(bench) {
      const { sequences } = await bench.sample();
      expect(sequences.length === 1, `${sequences.length} sequences came, 1 was asked for`);
      expect(sequences[0]!.ends.length === 1, `sequence 0 ended ${sequences[0]!.ends.length} times`);
    },
  },
  {
    name: "says nothing of a sequence after its end",
    sentence: "Nothing of a sequence comes after its end, and nothing of a request after an EngineError.",
    of: "docs/conformance.md",
    async run(bench) {
      const { sequences, messages } = await bench.sample();
      const late = sequences.reduce((sum, sequence) => sum + sequence.late, 0);
      expect(late === 0, `${late} tokens came after the end of their sequence`);
      expect(messages.at(-1)?.event.case === "finished", `the last message is ${messages.at(-1)?.event.case}`);
    },
  },
  {
    name: "says why a sequence ended",
    sentence: "The limit of tokens or of the context.",
    of: "FINISH_REASON_LENGTH",
    async run(bench) {
      const { first } = await bench.sample();
      expect(first.ends[0]?.reason === FinishReason.LENGTH, `the reason is ${first.ends[0]?.reason}`);
    },
  },
  {
    name: "ends with status OK after its last sequence",
    sentence:
      "A failure before acceptance is a status without a message; after acceptance exactly one EngineError and then status OK.",
    of: "Inference.Generate",
    async run(bench) {
      const { status } = await bench.sample();
      expect(status?.code === CODE.ok, `the call ended with ${tell(status)}`);
    },
  },
  {
    name: "gives usage with the last message, and with it alone",
    sentence: "Totals of the request; only on its last message.",
    of: "GenerateResponse.usage",
    async run(bench) {
      const { messages } = await bench.sample();
      expect(messages.at(-1)?.usage, "the last message has no usage");
      const early = messages.slice(0, -1).filter(({ usage }) => usage !== undefined);
      expect(early.length === 0, `${early.length} messages before the last have usage`);
    },
  },
  {
    name: "counts the tokens that it gave",
    sentence: "Generated tokens.",
    of: "Usage.completion_tokens",
    async run(bench) {
      const call = await bench.sample();
      const usage = usageOf(call);
      expect(usage.completionTokens === TOKENS, `completion_tokens is ${usage.completionTokens}, not ${TOKENS}`);
      const { promptTokens, totalTokens } = usage;
      expect(totalTokens === promptTokens + TOKENS, `total_tokens is ${totalTokens}, not ${promptTokens} + ${TOKENS}`);
    },
  },
  {
    name: "counts the tokens of all sequences together",
    sentence: "Token counts of a whole request, all sequences together.",
    of: "Usage",
    async run(bench) {
      const call = await several(bench);
      const given = call.sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);
      const { completionTokens } = usageOf(call);
      expect(completionTokens === given, `completion_tokens is ${completionTokens}, not ${given}`);
    },
  },
  {
    name: "counts the prompt, cached tokens included",
    sentence: "Tokens of the prompt, cached ones included.",
    of: "Usage.prompt_tokens",
    async run(bench) {
      const ask = bench.fresh();
      const [once, again] = [await bench.caller.whole(ask), await bench.caller.whole(ask)].map(usageOf);
      expect(once!.promptTokens > 0, "prompt_tokens is 0");
      expect(
        once!.promptTokens === again!.promptTokens,
        `the same prompt has ${again!.promptTokens} tokens from the cache`,
      );
      const { cachedPromptTokens: cached = 0, promptTokens } = again!;
      expect(cached <= promptTokens, `${cached} of ${promptTokens} tokens came from the cache`);
    },
  },
  {
    name: "gives every token that was asked for",
    sentence: "Tokens per sequence at most.",
    of: "StoppingOptions.max_tokens",
    async run(bench) {
      const { maxOutputTokens: most = MANY_TOKENS } = bench.facts.model;
      const asked = Math.min(MANY_TOKENS, most);
      const { ids } = await bench.caller.whole(bench.greedy(asked));
      expect(ids.length === asked, `${ids.length} of ${asked} tokens came, and the answer says that it is whole`);
    },
  },
  {
    name: "takes token ids as they are",
    sentence: "Tokens, used as they are.",
    of: "GenerateRequest.token_ids",
    async run(bench) {
      claimed(bench.facts.model.supportsTokenIdsInput !== false, "it takes no token ids");
      const { ids } = await bench.sample();
      const input = { case: "tokenIds", value: { ids } } as const;
      const { promptTokens } = usageOf(await bench.caller.whole({ ...bench.greedy(2), input }));
      expect(promptTokens === ids.length, `${ids.length} tokens were counted as ${promptTokens}`);
    },
  },
  {
    name: "gives the text of what it generates",
    sentence: "Their text, as far as it is whole. Empty when the engine does not detokenize.",
    of: "TokenOutput.text",
    async run(bench) {
      claimed(bench.facts.model.supportsTextInput !== false, "it takes no text, so nobody expects any");
      const { first } = await bench.sample();
      claimed(first.text !== "", "it does not detokenize");
    },
  },
  {
    name: "generates one sequence when no number is given",
    sentence: "Sequences to generate, at least 1. Absent: 1.",
    of: "SamplingParams.num_sequences",
    async run(bench) {
      const ask = { ...bench.prompt(), stopping: { maxTokens: 4, ignoreEos: true } };
      const { sequences } = await bench.caller.whole(ask);
      expect(sequences.length === 1, `${sequences.length} sequences came`);
    },
  },
  {
    name: "generates several sequences of one request, each to its end",
    sentence: "One sequence ended.",
    of: "GenerationFinished",
    async run(bench) {
      const { sequences } = await several(bench);
      expect(sequences.length === 2, `${sequences.length} sequences came, 2 were asked for`);
      for (const [at, { tokens, ends }] of sequences.entries()) {
        expect(tokens.length === TOKENS, `sequence ${at} has ${tokens.length} tokens, ${TOKENS} were asked for`);
        expect(ends.length === 1, `sequence ${at} ended ${ends.length} times`);
      }
    },
  },
  {
    name: "answers many at once, each as if it were alone",
    sentence: "Runs one request.",
    of: "Inference.Generate",
    async run(bench) {
      const alone = await bench.sample();
      const calls = Array.from({ length: SIDE_BY_SIDE }, () => bench.caller.whole(bench.greedy(TOKENS)));
      for (const call of await Promise.all(calls)) {
        expect(call.ids.length === TOKENS, `a request beside others has ${call.ids.length} tokens`);
        if (bench.exact) expect(same(call, alone), "a request beside others has another greedy answer");
      }
    },
  },
  {
    name: "ends a prefill with a session that others may fetch",
    sentence: "A prefill engine is done: the terminal success of its request.",
    of: "GenerateResponse.prefill_ready",
    async run(bench) {
      claimed(bench.facts.server.engineRole === EngineRole.PREFILL, "it is no prefill engine");
      const { messages } = await bench.caller.whole(bench.fresh());
      const event = messages.at(-1)?.event;
      expect(event?.case === "prefillReady", `its last message is ${event?.case}`);
      expect(event.value.kvSession?.sessionId, "its session has no session_id");
    },
  },
];

/** Whether two answers have the same tokens. */
export function same(left: RunningCall, right: RunningCall): boolean {
  return left.ids.join() === right.ids.join() && left.first.text === right.first.text;
}

function usageOf({ messages }: RunningCall) {
  const usage = messages.at(-1)?.usage;
  expect(usage, "the last message has no usage");
  return usage;
}

function several(bench: EngineBench): Promise<RunningCall> {
  const { maxNumSequences } = bench.facts.model.generation ?? {};
  claimed(maxNumSequences === undefined || maxNumSequences >= 2, "it generates one sequence a request");
  const sampling = { temperature: 1, seed: 7n, numSequences: 2 };
  return bench.caller.whole({ ...bench.greedy(TOKENS), sampling });
}

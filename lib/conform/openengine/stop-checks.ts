import { FinishReason, type StopMatch } from "#gen/openengine/v1/generation_pb";
import { GuidedDecodingMode } from "#gen/openengine/v1/model_pb";
import type { Check } from "../check.ts";
import { claimed, expect, seen } from "../failure.ts";
import { type EngineBench, SAMPLE_TOKENS } from "./engine-bench.ts";
import type { Ask, RunningCall } from "./engine-caller.ts";

const TOKENS = SAMPLE_TOKENS;
const FORM_TOKENS = 200;
const SCHEMA = JSON.stringify({
  type: "object",
  properties: { count: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["count"],
  additionalProperties: false,
});

/** When an output ends, and the forms that it is held to. */
export const STOP_CHECKS: readonly Check<EngineBench>[] = [
  {
    name: "ends at the limit of tokens",
    sentence: "Tokens per sequence at most.",
    of: "StoppingOptions.max_tokens",
    async run(bench) {
      const { ids, first } = await bench.caller.whole(bench.greedy(3));
      expect(ids.length === 3, `${ids.length} tokens came, 3 were asked for`);
      expect(first.ends[0]?.reason === FinishReason.LENGTH, `the reason is ${first.ends[0]?.reason}`);
    },
  },
  {
    name: "ends at a stop text, which does not leak",
    sentence: "Text anywhere in the output.",
    of: "StopCondition.stop_text",
    async run(bench) {
      const { text, stop, at } = await stopText(bench);
      const { first } = await bench.caller.whole(stopping(bench, { case: "stopText", value: stop }));
      expect(first.text === text.slice(0, at), `the text is "${first.text}", not "${text.slice(0, at)}"`);
      expectMatch(first.ends[0]?.stopMatch, { case: "stopText", value: stop });
      expect(first.ends[0]?.reason === FinishReason.STOP, `the reason is ${first.ends[0]?.reason}`);
    },
  },
  {
    name: "keeps a stop text when it is asked to",
    sentence: "The matched text or token stays in the output.",
    of: "StoppingOptions.include_stop_in_output",
    async run(bench) {
      const { supportsStopInOutput } = bench.facts.model.generation ?? {};
      claimed(supportsStopInOutput, "it does not keep a stop");
      const { text, stop, at } = await stopText(bench);
      const { first } = await bench.caller.whole(stopping(bench, { case: "stopText", value: stop }, true));
      const wanted = text.slice(0, at + stop.length);
      expect(first.text === wanted, `the text is "${first.text}", not "${wanted}"`);
    },
  },
  {
    name: "ends at a stop token and names it",
    sentence: "A token of the request's stop conditions.",
    of: "StopMatch.stop_token_id",
    async run(bench) {
      const { ids, stop } = await stopToken(bench);
      const call = await bench.caller.whole(stopping(bench, { case: "stopTokenId", value: stop }));
      expectIds(call, ids.slice(0, ids.indexOf(stop)));
      expectMatch(call.first.ends[0]?.stopMatch, { case: "stopTokenId", value: stop });
    },
  },
  {
    name: "keeps a stop token when it is asked to",
    sentence: "The matched text or token stays in the output.",
    of: "StoppingOptions.include_stop_in_output",
    async run(bench) {
      claimed(bench.facts.model.generation?.supportsStopInOutput, "it does not keep a stop");
      const { ids, stop } = await stopToken(bench);
      const call = await bench.caller.whole(stopping(bench, { case: "stopTokenId", value: stop }, true));
      expectIds(call, ids.slice(0, ids.indexOf(stop) + 1));
    },
  },
  {
    name: "ends at whichever of several conditions comes first",
    sentence: "Any of these ends a sequence.",
    of: "StoppingOptions.conditions",
    async run(bench) {
      const { ids, stop } = await stopToken(bench);
      const later = ids.find((id, at) => at > ids.indexOf(stop) && ids.indexOf(id) === at);
      seen(later !== undefined, "its answer has too few different tokens");
      const ask = stopping(bench, { case: "stopTokenId", value: later });
      ask.stopping!.conditions!.push({ condition: { case: "stopTokenId", value: stop } } as never);
      const call = await bench.caller.whole(ask);
      expectIds(call, ids.slice(0, ids.indexOf(stop)));
    },
  },
  {
    name: "generates so many tokens before any stop counts",
    sentence: "Tokens before any stop condition counts.",
    of: "StoppingOptions.min_tokens",
    async run(bench) {
      const { ids, stop } = await stopToken(bench);
      const minTokens = ids.indexOf(stop) + 4;
      const ask = stopping(bench, { case: "stopTokenId", value: stop });
      const { ids: found } = await bench.caller.whole({ ...ask, stopping: { ...ask.stopping, minTokens } });
      expect(found.length >= minTokens, `${found.length} tokens came, at least ${minTokens} were asked for`);
    },
  },
  {
    name: "keeps to one of several texts",
    sentence: "The output is one of several texts.",
    of: "ChoiceConstraint",
    async run(bench) {
      claimMode(bench, GuidedDecodingMode.CHOICE);
      const choices = ["yes", "no"];
      const text = await formed(bench, { guide: { case: "choice", value: { choices } } });
      expect(choices.includes(text), `the text is "${text}"`);
    },
  },
  {
    name: "keeps to a JSON Schema",
    sentence: "JSON Schema, as JSON text.",
    of: "GuidedDecoding.json_schema",
    async run(bench) {
      claimMode(bench, GuidedDecodingMode.JSON_SCHEMA);
      const text = await formed(bench, { guide: { case: "jsonSchema", value: SCHEMA } });
      expect(/^\s*\{\s*"count"\s*:\s*[1-9]\s*\}\s*$/.test(text), `the text is "${text}"`);
    },
  },
  {
    name: "keeps to an expression",
    sentence: "Regular expression that the whole output matches.",
    of: "GuidedDecoding.regex",
    async run(bench) {
      claimMode(bench, GuidedDecodingMode.REGEX);
      const text = await formed(bench, { guide: { case: "regex", value: "[ab]{4}" } });
      expect(/^[ab]{4}$/.test(text), `the text is "${text}"`);
    },
  },
];

type Condition =
  | { readonly case: "stopText"; readonly value: string }
  | { readonly case: "stopTokenId"; readonly value: number };

function stopping(bench: EngineBench, condition: Condition, includeStopInOutput?: boolean) {
  const conditions = [{ condition }];
  return { ...bench.greedy(TOKENS), stopping: { maxTokens: TOKENS, ignoreEos: true, conditions, includeStopInOutput } };
}

/** A piece in the middle of the greedy answer, where it comes first. */
async function stopText(bench: EngineBench): Promise<{ text: string; stop: string; at: number }> {
  const { text } = (await bench.sample()).first;
  claimed(text !== "", "it does not detokenize");
  const stop = text.slice(text.length >> 1, (text.length >> 1) + 5);
  // A half of a pair of surrogates, or what stands for bytes that are no text, is nothing to look for.
  seen(
    stop.length >= 2 && stop.isWellFormed() && !stop.includes("\ufffd"),
    `its answer "${text}" has no text in its middle`,
  );
  return { text, stop, at: text.indexOf(stop) };
}

/** A token of the greedy answer that comes as late as it can, among the first ten. */
async function stopToken(bench: EngineBench): Promise<{ ids: number[]; stop: number }> {
  const { ids } = await bench.sample();
  const stop = ids.slice(0, 10).findLast((id, at) => at > 0 && ids.indexOf(id) === at);
  seen(stop !== undefined, "its answer begins with the same token again and again");
  return { ids, stop };
}

function expectIds({ ids }: RunningCall, wanted: readonly number[]): void {
  expect(ids.join() === wanted.join(), `the tokens are ${ids.join(" ")}, not ${wanted.join(" ")}`);
}

function expectMatch(found: StopMatch | undefined, wanted: Condition): void {
  const { match } = found ?? {};
  const isSame = match?.case === wanted.case && match.value === wanted.value;
  expect(isSame, `stop_match is ${match?.case ?? "absent"} ${match?.value ?? ""}, not ${wanted.case} ${wanted.value}`);
}

function claimMode(bench: EngineBench, mode: GuidedDecodingMode): void {
  const { modes = [] } = bench.facts.model.generation?.guidedDecoding ?? {};
  claimed(modes.includes(mode), "guided_decoding does not name this mode");
}

async function formed(bench: EngineBench, guided: Ask["guided"]): Promise<string> {
  const ask = { ...bench.prompt(), sampling: { temperature: 0 }, stopping: { maxTokens: FORM_TOKENS }, guided };
  return (await bench.caller.whole(ask)).first.text;
}

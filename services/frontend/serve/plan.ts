import type { LinkAsk } from "#lib/serving/ask";
import type { StopStrings } from "#lib/text/stop";
import type { AnswerPlan, Asked } from "../doors/door.ts";
import type { ModelText } from "../text/model-text.ts";

/** What plans are made with. */
export interface PlanTools {
  /** Compiled stop texts; the same come again and again. */
  readonly compileStops: (stops: readonly string[]) => StopStrings;
  /** Unix time now, in milliseconds. */
  readonly unixMs: () => number;
}

const NO_TOKENS = new Uint32Array(0);

/** What the tokens of an ask that is ready are to become. */
export function createPlan(
  { ask: { input }, byToken, echo, promptOnly, soFar }: Asked<unknown>,
  ask: LinkAsk,
  { text, tools }: { readonly text: ModelText; readonly tools: PlanTools },
): AnswerPlan {
  const { stopTexts } = ask.stopping;
  const texts = input.kind === "text" ? input.texts : undefined;
  const prompts = ask.input.kind === "tokens" ? ask.input.prompts : ask.input.texts.map(() => NO_TOKENS);
  return {
    ask,
    text,
    createdUnixSeconds: Math.floor(tools.unixMs() / 1000),
    choices: prompts.length * ask.choicesPerPrompt,
    stops: stopTexts.length > 0 ? tools.compileStops(stopTexts) : undefined,
    leads: echo ? prompts.map((prompt, at) => textOf(texts?.[at]) ?? decode(prompt, text)) : undefined,
    scored: byToken || ask.topLogprobs !== undefined,
    promptOnly,
    soFar,
  };
}

function textOf(given: string | Uint8Array | undefined): string | undefined {
  return given === undefined || typeof given === "string"
    ? given
    : new TextDecoder("utf-8", { ignoreBOM: true }).decode(given);
}

function decode(tokens: Uint32Array, text: ModelText): string {
  const decoder = text.createDecoder();
  return decoder.push(tokens) + decoder.end();
}

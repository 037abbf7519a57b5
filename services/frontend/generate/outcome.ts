import { CompletionLogprobs, printChatLogprobs } from "#lib/api/openai/logprobs";
import type { Usage } from "#lib/api/openai/usage";
import { printId } from "#lib/base/bytes";
import type { ChoiceEnd, Placement } from "#lib/serving/request";
import type { Exchange } from "../http/exchange.ts";
import type { Choice } from "./choice.ts";
import type { LogprobForm } from "./plan.ts";

/** `finish_reason` of a choice that is complete; a stop text that was found wins over whatever the worker says. */
export function finishReason(choice: Choice): "stop" | "length" {
  return choice.end?.reason === "length" && !choice.stopped ? "length" : "stop";
}

/** The end of a choice whose answer is its prompt alone: what was drawn is not counted. */
export function promptEnd(end: ChoiceEnd): ChoiceEnd {
  return { ...end, reason: end.reason === "cancelled" ? end.reason : "length", completionTokens: 0 };
}

/** Usage of a request whose choices all ended; choices of one prompt share its tokens. */
export function sumUsage(choices: readonly Choice[], choicesPerPrompt: number): Usage {
  let promptTokens = 0;
  let cachedTokens = 0;
  let completionTokens = 0;
  for (const [index, { end }] of choices.entries()) {
    completionTokens += end?.completionTokens ?? 0;
    if (index % choicesPerPrompt !== 0) continue;
    promptTokens += end?.promptTokens ?? 0;
    cachedTokens += end?.cachedTokens ?? 0;
  }
  return { promptTokens, cachedTokens, completionTokens };
}

/** `logprobs` of what a choice has shown since the last call, in its route's form. */
export function printLogprobs(form: NonNullable<LogprobForm>, choice: Choice): string {
  if (form === "chat") return printChatLogprobs(choice.takeScored());
  const printed = choice.takePrompt() ?? new CompletionLogprobs();
  printed.add(choice.takeScored());
  return printed.print();
}

/** Names worker, cached tokens and decision in the answer's headers. */
export function setPlacement(exchange: Exchange, placement: Placement | undefined): void {
  if (!placement) return;
  exchange.set("x-stator-worker", printId(placement.worker));
  exchange.set("x-stator-cached-tokens", String(placement.cachedTokens));
  exchange.set("x-stator-decision", placement.decision);
}

/** The object `stator` of an answer that asked for it. */
export function explainPlacement(placement: Placement | undefined): string | undefined {
  if (!placement) return undefined;
  const { worker, attempt, cachedTokens, decision } = placement;
  return JSON.stringify({ worker: printId(worker), attempt, cached_tokens: cachedTokens, decision });
}

import { CompletionLogprobs, printChatLogprobs } from "#lib/api/openai/logprobs";
import { printId } from "#lib/base/bytes";
import { printDecision } from "#lib/routing/decision";
import type { AnswerToken } from "#lib/serving/answer";
import type { Placement } from "#lib/serving/request";
import type { Exchange } from "../http/exchange.ts";
import type { LogprobForm } from "./plan.ts";

/** `logprobs` of tokens of a choice in its route's form; in that of completions those of its prompt may stand before them. */
export function printLogprobs(
  form: NonNullable<LogprobForm>,
  tokens: readonly AnswerToken[],
  prompt: CompletionLogprobs | undefined,
): string {
  if (form === "chat") return printChatLogprobs(tokens);
  const printed = prompt ?? new CompletionLogprobs();
  printed.add(tokens);
  return printed.print();
}

/** Names worker, cached tokens and decision in the answer's headers. */
export function setPlacement(exchange: Exchange, placement: Placement | undefined): void {
  if (!placement) return;
  exchange.set("x-stator-worker", printId(placement.worker));
  exchange.set("x-stator-cached-tokens", String(placement.cachedTokens));
  exchange.set("x-stator-decision", printDecision(placement.decision, placement.waitedMs));
}

/** The object `stator` of an answer that asked for it. */
export function explainPlacement(placement: Placement | undefined): string | undefined {
  if (!placement) return undefined;
  const { worker, attempt, cachedTokens } = placement;
  const decision = printDecision(placement.decision, placement.waitedMs);
  return JSON.stringify({ worker: printId(worker), attempt, cached_tokens: cachedTokens, decision });
}

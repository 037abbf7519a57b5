import { printId } from "#lib/base/bytes";
import { printDecision } from "#lib/routing/decision";
import type { Placement } from "#lib/serving/answer";
import type { Exchange } from "../http/exchange.ts";

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

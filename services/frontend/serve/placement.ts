import { printId } from "#lib/base/bytes";
import { printDecision } from "#lib/routing/decision";
import type { Placement } from "#lib/serving/answer";
import type { Reply } from "../doors/reply.ts";

/** Names who computes the prompt of an answer that another worker goes on with. */
export function setPrefill(reply: Pick<Reply<never>, "set" | "answered">, { leg, worker }: Placement): void {
  if (leg === "prefill" && !reply.answered) reply.set("x-stator-prefill-worker", printId(worker));
}

/** Names worker, cached tokens and decision beside an answer. */
export function setPlacement(reply: Pick<Reply<never>, "set">, placement: Placement | undefined): void {
  if (!placement) return;
  reply.set("x-stator-worker", printId(placement.worker));
  reply.set("x-stator-cached-tokens", String(placement.cachedTokens));
  reply.set("x-stator-decision", printDecision(placement.decision, placement.waitedMs));
}

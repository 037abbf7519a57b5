import { parseId } from "#lib/base/bytes";
import { RULE_NAMES } from "#lib/routing/rules/table";
import type { CapturedRoute } from "../captured-route.ts";

/**
 * Reads the `stator` object of a row, by which `stator capture` says what became of its request. undefined for a row of
 * another origin, and for one that says no worker or no rule that is known here: it is a row like others then.
 */
export function readCaptured(value: unknown): CapturedRoute | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const said = value as Readonly<Record<string, unknown>>;
  const worker = typeof said.worker === "string" ? parseId(said.worker) : undefined;
  const rule = RULE_NAMES.find((name) => name === said.rule);
  const rank = amountOf(said.rank);
  if (worker === undefined || rule === undefined || rank === undefined) return undefined;
  return {
    ...{ worker, rank, rule },
    predictedMs: amountOf(said.predicted_ms),
    seenMs: amountOf(said.seen_ms),
    predictedTokens: amountOf(said.predicted_tokens),
    seenTokens: amountOf(said.seen_tokens),
  };
}

function amountOf(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 && value < Number.POSITIVE_INFINITY ? value : undefined;
}

import { preferenceFactor } from "../cost/preference.ts";
import type { Candidates } from "../rules/candidates.ts";
import type { RuleConstants } from "../rules/constants.ts";
import type { Rule, RuleAsk } from "../rules/rule.ts";
import { DECIDING } from "../rules/table.ts";
import { firstTokenMs } from "../rules/ttft.ts";
import type { KeptDecision, KeptTable } from "./decision-ring.ts";
import type { ExplainedCandidate, Explanation, Flip } from "./explanation.ts";
import { findFlips } from "./flip.ts";

/** What an explanation is worked out with. */
export interface ExplainWith {
  /** The rule of the decision, as it was made. */
  readonly rule: Rule;
  /** The numbers of the rules. */
  readonly constants: RuleConstants;
  /** Now, on the router's clock. */
  readonly nowMs: number;
}

/** Works out why a decision was made, from the table that it was made from; the table is the caller's to give away. */
export function explain(kept: KeptDecision, table: KeptTable, { rule, constants, nowMs }: ExplainWith): Explanation {
  const { candidates: of, costs, chosen } = table;
  const places = Array.from({ length: of.count }, (_, place) => place);
  places.sort((left, right) => compare(costs, left, right, chosen));
  const runnerUp = places.find((place) => place !== chosen && costs[place]! < Number.POSITIVE_INFINITY);
  const shown = new Map(places.map((place, at) => [place, at]));
  const { decision, ask, predictedMs, predictedTokens } = kept;
  return {
    requestId: kept.requestId,
    choices: kept.choices,
    leg: kept.leg,
    bypass: kept.bypass,
    agoMs: nowMs - kept.atMs,
    rule: kept.rule,
    unit: DECIDING[kept.rule].unit,
    why: kept.why,
    missing: kept.missing,
    decision,
    promptTokens: ask.promptTokens,
    blockTokens: ask.blockTokens,
    candidates: places.map((at) => explainOne({ rule, constants, ask, of, at }, costs[at]!)),
    of: kept.of,
    chosen: shown.get(chosen)!,
    runnerUp: runnerUp === undefined ? undefined : shown.get(runnerUp),
    flips: flipsOf(kept, table, rule, runnerUp).map((flip) => ({
      ...flip,
      candidate: shown.get(flip.candidate)!,
      chooses: shown.get(flip.chooses)!,
    })),
    predicted: { firstTokenMs: predictedMs, cachedTokens: predictedTokens },
    seen: { firstTokenMs: kept.seenMs, cachedTokens: kept.seenTokens },
  };
}

/** Cheapest first; the chosen one before those that cost the same. */
function compare(costs: Float64Array, left: number, right: number, chosen: number): number {
  if (costs[left]! !== costs[right]!) return costs[left]! < costs[right]! ? -1 : 1;
  if (left === chosen || right === chosen) return left === chosen ? -1 : 1;
  return left - right;
}

/** Only where the least cost decided: a table that was cut does not tell what the others would have done. */
function flipsOf(
  { decision, ask, of }: KeptDecision,
  { candidates, costs, chosen }: KeptTable,
  rule: Rule,
  runnerUp: number | undefined,
): readonly Flip[] {
  const isByRule = decision.rule !== "pinned" && decision.rule !== "affinity" && !rule.isDrawn;
  if (!isByRule || runnerUp === undefined || costs[chosen]! > costs[runnerUp]! || candidates.count < of) return [];
  return findFlips({ rule, ask, candidates, chosen, runnerUp });
}

function explainOne(
  about: {
    readonly rule: Rule;
    readonly constants: RuleConstants;
    readonly ask: RuleAsk;
    readonly of: Candidates;
    readonly at: number;
  },
  cost: number,
): ExplainedCandidate {
  const { rule, constants, ask, of, at } = about;
  const timesKnown = of.timed[at] === 1;
  return {
    worker: of.workers[at]!,
    rank: of.rank[at]!,
    cost,
    terms: rule.terms(ask, of, at),
    preferenceFactor: preferenceFactor(of.preference[at]!),
    prefixesKnown: of.known[at] === 1,
    timesKnown,
    deviceTokens: of.deviceTokens[at]!,
    hostTokens: of.hostTokens[at]!,
    diskTokens: of.diskTokens[at]!,
    externalTokens: of.externalTokens[at]!,
    prefillTokens: of.prefillTokens[at]!,
    openRequests: of.openRequests[at]!,
    potentialBlocks: of.potentialBlocks[at]!,
    firstTokenMs: timesKnown ? firstTokenMs(ask, of, at, constants) : undefined,
  };
}

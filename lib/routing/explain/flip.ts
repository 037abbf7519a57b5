import type { Candidates } from "../rules/candidates.ts";
import { weighedCosts } from "../rules/choose.ts";
import type { Rule, RuleAsk } from "../rules/rule.ts";
import type { Flip } from "./explanation.ts";

/** A decision that a change is sought for: a table of the caller's own, whose columns are changed and put back. */
export interface FlipCase {
  /** By which costs are. */
  readonly rule: Rule;
  /** What it was asked. */
  readonly ask: RuleAsk;
  /** The candidates. */
  readonly candidates: Candidates;
  /** The chosen one. */
  readonly chosen: number;
  /** The cheapest other one. */
  readonly runnerUp: number;
}

/** One way to change a candidate by a whole number. */
interface Lever {
  readonly what: Flip["what"];
  readonly at: number;
  readonly sign: 1 | -1;
  readonly most: number;
  readonly apply: (of: Candidates, at: number, by: number) => void;
}

/** More to compute, or more requests, than this is no change that anybody would think of. */
const MOST_TOKENS = 16_777_216;
const MOST_REQUESTS = 65_536;

/** The least change of each kind that makes another candidate cost less than the chosen one. */
export function findFlips(about: FlipCase): Flip[] {
  return leversOf(about).flatMap((lever) => findFlip(about, lever) ?? []);
}

/** Fewer advantages of the chosen one, or more of the runner-up. */
function leversOf({ ask, candidates: of, chosen, runnerUp }: FlipCase): Lever[] {
  const cached = (candidates: Candidates, at: number, by: number) => {
    candidates.deviceTokens[at]! += by;
  };
  const queued = (candidates: Candidates, at: number, by: number) => {
    candidates.prefillTokens[at]! += by;
    candidates.rawPrefillTokens[at]! += by;
  };
  const open = (candidates: Candidates, at: number, by: number) => {
    candidates.openRequests[at]! += by;
  };
  const has = (at: number) => of.deviceTokens[at]! + of.hostTokens[at]! + of.diskTokens[at]! + of.externalTokens[at]!;
  return [
    { what: "cached tokens", at: chosen, sign: -1, most: of.deviceTokens[chosen]!, apply: cached },
    { what: "cached tokens", at: runnerUp, sign: 1, most: ask.promptTokens - 1 - has(runnerUp), apply: cached },
    { what: "tokens to compute", at: chosen, sign: 1, most: MOST_TOKENS, apply: queued },
    { what: "tokens to compute", at: runnerUp, sign: -1, most: of.prefillTokens[runnerUp]!, apply: queued },
    { what: "open requests", at: chosen, sign: 1, most: MOST_REQUESTS, apply: open },
    { what: "open requests", at: runnerUp, sign: -1, most: of.openRequests[runnerUp]!, apply: open },
  ];
}

/** undefined where no change up to the most flips it. Costs are taken to rise or fall with a lever all the way. */
function findFlip(about: FlipCase, lever: Lever): Flip | undefined {
  const { candidates, chosen } = about;
  const costs = new Float64Array(candidates.count);
  const winnerAfter = (by: number): number => {
    lever.apply(candidates, lever.at, lever.sign * by);
    weighedCosts(about.rule, about.ask, candidates, costs);
    lever.apply(candidates, lever.at, -lever.sign * by);
    return winner(costs, chosen);
  };
  winnerAfter(0);
  const before = costs[lever.at]!;
  let [low, high] = [0, Math.floor(lever.most)];
  if (high < 1 || winnerAfter(high) === chosen) return undefined;
  // The least power of two that does it bounds the search: a nearer bound also keeps to the change that matters.
  for (let power = 1; power < high; power *= 2) {
    if (winnerAfter(power) !== chosen) high = power;
    else low = power;
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (winnerAfter(middle) === chosen) low = middle;
    else high = middle;
  }
  const chooses = winnerAfter(high);
  return { what: lever.what, candidate: lever.at, by: lever.sign * high, cost: costs[lever.at]! - before, chooses };
}

/** The cheapest one; the chosen one as long as none costs less. */
function winner(costs: Float64Array, chosen: number): number {
  let best = chosen;
  for (let at = 0; at < costs.length; at++) if (costs[at]! < costs[best]!) best = at;
  return best;
}

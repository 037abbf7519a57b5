import { assert } from "#lib/base/errors";
import type { TimePrior } from "#lib/perf/time-model";
import { KeptTimes } from "../cost/kept-times.ts";
import type { KeptDecision } from "../explain/decision-ring.ts";
import { type Candidates, COLUMNS, createCandidates, readColumns, writeColumns } from "../rules/candidates.ts";
import type { RuleAsk } from "../rules/rule.ts";
import type { RuleName } from "../rules/table.ts";

/** All that a choice was made from: the same rule makes the same choice of it again. */
export interface CapturedDecision {
  /** By which costs were. */
  readonly rule: RuleName;
  /** What it was asked. */
  readonly ask: RuleAsk;
  /** What was drawn for it, in order. */
  readonly draws: Float64Array;
  /** The request's session decided, and no rule. */
  readonly isHeld: boolean;
  /** Instances of the candidates, in the order in which the rule saw them. */
  readonly workers: BigUint64Array;
  /** What was known of them: `[columns, candidates]`, the columns in the order of `COLUMNS`. */
  readonly columns: Float64Array;
  /** How long passes take, each that there was among the candidates once. */
  readonly times: readonly TimePrior[];
  /** Of each candidate, the place of its times among those. */
  readonly timesOf: Uint32Array;
  /** Place of the chosen one among the candidates. */
  readonly chosen: number;
}

/** Copies what a choice was made from. `draws` is the caller's to give. */
export function captureDecision(kept: KeptDecision, of: Candidates, draws: Float64Array): CapturedDecision {
  const { count } = of;
  const columns = new Float64Array(COLUMNS.length * count);
  writeColumns(of, columns, 0);
  const places = new Map<TimePrior, number>();
  const timesOf = new Uint32Array(count);
  for (let at = 0; at < count; at++) {
    const { prior } = of.times[at]!;
    const place = places.get(prior) ?? places.size;
    places.set(prior, place);
    timesOf[at] = place;
  }
  const { rule, ask, decision, chosen } = kept;
  assert(rule !== "hand-off", "a prompt is captured where it is computed");
  const isHeld = decision.rule === "affinity";
  const workers = of.workers.slice(0, count);
  return { rule, ask, draws, isHeld, workers, columns, times: [...places.keys()], timesOf, chosen };
}

/** The table that a choice was made from, as arrays of the caller's own. */
export function tableOf({ workers, columns, times, timesOf }: CapturedDecision): Candidates {
  const count = workers.length;
  const table = createCandidates(count);
  table.count = count;
  table.workers.set(workers);
  readColumns(columns, 0, table);
  const kept = times.map((prior) => new KeptTimes(prior, { passes: 1, factor: 1, isGuess: false }));
  for (const place of timesOf) {
    const its = kept[place];
    assert(its, "every candidate has times");
    table.times.push(its);
  }
  return table;
}

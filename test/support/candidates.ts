import type { TimePrior } from "#lib/perf/time-model";
import { NO_TIME } from "#lib/perf/time-prior";
import { KeptTimes } from "#lib/routing/cost/kept-times";
import { type Candidates, COLUMNS, type Column, createCandidates } from "#lib/routing/rules/candidates";
import type { RuleAsk } from "#lib/routing/rules/rule";

/** A candidate of a test: columns that matter, and how fast it is. Its worker is its place, from 1. */
export type CandidateRow = Partial<Record<Column, number>> & { readonly prior?: Partial<TimePrior> };

/** A table of candidates. What a row does not say is 0; its times are known, and none. */
export function candidatesOf(rows: readonly CandidateRow[]): Candidates {
  const table = createCandidates(rows.length);
  table.count = rows.length;
  for (const [at, { prior, ...row }] of rows.entries()) {
    table.workers[at] = BigInt(at + 1);
    table.times[at] = timesOf(prior);
    table.timed[at] = 1;
    table.known[at] = 1;
    for (const name of COLUMNS) table[name][at] = row[name] ?? table[name][at]!;
  }
  return table;
}

/** Times that are a prior's. */
export function timesOf(prior: Partial<TimePrior> = {}): KeptTimes {
  return new KeptTimes({ ...NO_TIME, ...prior }, { passes: 1, factor: 1, isGuess: false });
}

/** A question to a rule: a prompt of 1,024 tokens in blocks of 16 unless said otherwise. */
export function ruleAsk(more: Partial<RuleAsk> = {}): RuleAsk {
  return { promptTokens: 1_024, blockTokens: 16, session: undefined, turn: 0, answerTokens: 128, ...more };
}

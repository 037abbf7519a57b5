import type { TimePrior } from "#lib/perf/time-model";
import type { FleetWorker } from "../fleet.ts";
import type { RankSeat } from "../ranks.ts";
import type { RuleBook } from "../rule-book.ts";
import type { RuleName } from "../rules/table.ts";

/** One rank of a worker, as a capture tells of it. */
export interface CapturedRank {
  /** Its worker, as it was followed last. */
  readonly fleet: FleetWorker;
  /** From 0. */
  readonly rank: number;
  /** The rule in force for it. */
  readonly rule: RuleName;
  /** How long its passes take, as far as known now. */
  readonly times: TimePrior;
  /** Passes that this was learned from; 0 says that it is what its card says, or a guess. */
  readonly timedPasses: number;
}

/** All ranks of some workers. */
export function captureRanks(workers: Iterable<readonly RankSeat[]>, rules: RuleBook): readonly CapturedRank[] {
  return [...workers].flatMap((seats) =>
    seats.map((seat) => ({
      fleet: seat.fleet,
      rank: seat.rank,
      rule: rules.ruleOf([seat]).name,
      times: seat.times.prior,
      timedPasses: seat.learned.passes,
    })),
  );
}

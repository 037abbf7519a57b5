import type { PassShape, TimeModel, TimePrior } from "#lib/perf/time-model";
import { passMsOf } from "#lib/perf/time-prior";

/** A worker's times as they were at one moment. They never change, so that a decision can be gone through again. */
export class KeptTimes implements TimeModel {
  readonly passes: number;
  readonly factor: number;
  readonly isGuess: boolean;
  /** What they add up to. */
  readonly prior: TimePrior;

  constructor(prior: TimePrior, of: Pick<TimeModel, "passes" | "factor" | "isGuess">) {
    this.prior = prior;
    this.passes = of.passes;
    this.factor = of.factor;
    this.isGuess = of.isGuess;
  }

  get passTokens(): number {
    return this.prior.passTokens;
  }

  passMs(shape: PassShape): number {
    return passMsOf(this.prior, shape);
  }
}

/** Nobody has timed it, and it has not said how long its passes take. */
export function isUntimed({ isGuess, passes }: Pick<TimeModel, "passes" | "isGuess">): boolean {
  return isGuess && passes === 0;
}

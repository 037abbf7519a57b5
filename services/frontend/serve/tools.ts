import type { Clock } from "#lib/base/clock";
import type { Log } from "#lib/host/log";
import type { Usage } from "#lib/serving/answer";
import type { FrontendLimits } from "../limits.ts";
import type { Pacer } from "./pacer.ts";

/** What every answer works with; one for the whole frontend. */
export interface AnswerTools {
  /** Of the times at which tokens go out. */
  readonly clock: Clock;
  /** How answers are paced. */
  readonly limits: FrontendLimits;
  /** Told of answers that failed by a fault of ours. */
  readonly log: Log;
  /** Brings tokens to the wire. */
  readonly pacer: Pacer;
  /** Counts the usage of a finished request. */
  readonly onUsage: (route: string, usage: Usage) => void;
}

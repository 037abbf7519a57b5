/** Bounds and periods of whoever follows the events of workers. */
export interface FollowLimits {
  /** Ranks that catch up at a time, over all workers. */
  readonly recoveries: number;
  /** Tries in a row that bring nothing before a rank is given up for `restMs`, and what is known of it forgotten. */
  readonly tries: number;
  /** Wait after the first try that brought nothing; it doubles. */
  readonly firstRetryMs: number;
  /** Where the doubling ends. */
  readonly longestRetryMs: number;
  /** Time between two rounds of tries. */
  readonly restMs: number;
  /** A rank asks at a random moment within so long, so that many do not ask together. */
  readonly spreadMs: number;
  /** Gaps of one rank are asked for no more often than this. */
  readonly steadyMs: number;
  /** Without a word for so long a subscription is taken for dead: five heartbeats of a worker. */
  readonly silenceMs: number;
  /** Faults of one rank after which nothing that it says is used. */
  readonly faults: number;
  /** Faults are forgotten when none was seen for so long. */
  readonly forgiveMs: number;
}

/** What every follower uses unless told otherwise. */
export const FOLLOW_LIMITS: FollowLimits = {
  recoveries: 16,
  tries: 8,
  firstRetryMs: 200,
  longestRetryMs: 5_000,
  restMs: 30_000,
  spreadMs: 10,
  steadyMs: 250,
  silenceMs: 5_000,
  faults: 3,
  forgiveMs: 600_000,
};

import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import type { StoreCalls } from "./calls.ts";

/** What every discovery needs from outside. */
export interface DiscoveryDeps {
  /** Of all its waits. */
  readonly clock: Clock;
  /** Spreads repeated calls in time, and draws what must be unique. */
  readonly chance: Chance;
  /** Told of losses and returns of the store. */
  readonly log: Log;
  /** Holds the instruments of this room. */
  readonly metrics: Metrics;
  /** What differs from the usual: 5 s, 10 s and 5 s. */
  readonly patience?: Partial<Patience>;
}

/** How long things may take. */
export interface Patience {
  /** Longest wait of `register`, `update` and `watch` for a store that does not answer. */
  readonly timeLimitMs: number;
  /**
   * How long a missing record stays after an outage. Its owner needs that time to come back: the limit of one call that
   * hangs (5 s at most), a wait (2 s at most), and the calls that publish it again.
   */
  readonly settleMs: number;
  /** A watch that hears nothing for this long has lost its store; stores speak every two seconds at least. */
  readonly silenceMs: number;
}

/** What the supervisor's parts share. */
export interface StoreDeps extends DiscoveryDeps, Patience {
  /** Of the store; the supervisor closes them, not its parts. */
  readonly calls: StoreCalls;
  /** A watch began (1) or ceased (-1) to follow the store. */
  readonly onSynced: (by: 1 | -1) => void;
  /** A registration or a watch is closed. */
  readonly onClosed: (part: object) => void;
}

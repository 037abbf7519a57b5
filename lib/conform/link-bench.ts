import type { Clock } from "#lib/base/clock";
import type { RawCaller } from "./raw-caller.ts";

/** What a check of the link works with: links of its own, ended when it is done. */
export interface LinkBench {
  /** A link on which nothing was said. */
  open(): RawCaller;
  /** A link after Hello and Welcome. */
  greet(): Promise<RawCaller>;
  /** Borrowed; waits go by it. */
  readonly clock: Clock;
  /** Token ids that the model takes. */
  readonly prompt: Uint32Array;
  /** Equal greedy requests give equal tokens, so that answers are compared. */
  readonly exact: boolean;
}

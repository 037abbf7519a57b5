import type { Clock } from "#lib/base/clock";
import type { RawCaller } from "./raw-caller.ts";

/** One promise of the contract. Throws, or returns why it was skipped. */
export interface Check {
  /** The promise, in a sentence about the worker. */
  readonly name: string;
  /** Asks the worker for it, over links of its own. */
  run(bench: Bench): Promise<string | undefined>;
}

/** What a check works with: links of its own, ended when it is done. */
export interface Bench {
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

import type { Clock } from "#lib/base/clock";
import type { RawCaller } from "./raw-caller.ts";

/** One promise of the contract. Throws, or returns why it was skipped. */
export interface Check {
  readonly name: string;
  run(bench: Bench): Promise<string | undefined>;
}

/** What a check works with: links of its own, ended when it is done. */
export interface Bench {
  /** A link on which nothing was said. */
  open(): RawCaller;
  /** A link after Hello and Welcome. */
  greet(): Promise<RawCaller>;
  readonly clock: Clock;
  readonly prompt: Uint32Array;
  readonly exact: boolean;
}

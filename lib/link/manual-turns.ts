import { assert } from "#lib/base/errors";

/** The turns of an event loop, made by hand: for tests and for the simulator. */
export interface ManualTurns {
  /** Calls in the next turn; what is added during a turn waits for the one after. */
  readonly later: (call: () => void) => void;
  /** Makes one turn; false when nothing waited. */
  turn(): boolean;
  /** Makes turns until nothing waits. */
  settle(): void;
}

/** Most turns that `settle` makes: more is two ends that call each other for ever. */
const MOST_TURNS = 1_000_000;

/** An event loop without time. */
export function createManualTurns(): ManualTurns {
  let waiting: (() => void)[] = [];
  const turn = (): boolean => {
    const calls = waiting;
    waiting = [];
    for (const call of calls) call();
    return calls.length > 0;
  };
  return {
    later: (call) => void waiting.push(call),
    turn,
    settle() {
      for (let turns = 0; turn(); turns++) assert(turns <= MOST_TURNS, "the event loop settles");
    },
  };
}

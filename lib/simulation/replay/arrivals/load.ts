import { StatorError } from "#lib/base/errors";
import type { TraceRow } from "../trace-row.ts";
import type { Arrivals } from "./arrivals.ts";
import { ClosedLoop } from "./closed-loop.ts";
import { type LoopOptions, OpenLoop } from "./open-loop.ts";
import { SessionLoop } from "./session-loop.ts";

/**
 * When the rows of a trace come: by their timestamps alone; so many in flight, whatever the timestamps say; or by their
 * timestamps, and later turns of a session after the end of the turn before.
 */
export type Load =
  | { readonly kind: "open" }
  | { readonly kind: "closed"; readonly concurrency: number }
  | { readonly kind: "sessions" };

/** Lets the rows of a trace come as a load says. Throws INVALID_ARGUMENT for a load or a speed under which none would. */
export function arrivalsOf(load: Load, rows: Iterable<TraceRow>, options: LoopOptions): Arrivals {
  const { speed } = options;
  if (!(speed > 0 && speed < Number.POSITIVE_INFINITY)) throw wrong(`The speed must be above 0, not ${speed}`);
  if (load.kind === "closed" && !(Number.isInteger(load.concurrency) && load.concurrency > 0)) {
    throw wrong(`The concurrency must be a whole number of at least 1, not ${load.concurrency}`);
  }
  switch (load.kind) {
    case "open":
      return new OpenLoop(rows, options);
    case "closed":
      return new ClosedLoop(rows, options, load);
    case "sessions":
      return new SessionLoop(rows, options);
  }
}

function wrong(detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail });
}

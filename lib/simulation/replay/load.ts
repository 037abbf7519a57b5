import type { Arrivals } from "./arrivals.ts";
import { ClosedLoop } from "./closed-loop.ts";
import { type LoopOptions, OpenLoop } from "./open-loop.ts";
import { SessionLoop } from "./session-loop.ts";
import type { TraceRow } from "./trace-row.ts";

/**
 * When the rows of a trace come: by their timestamps alone; so many in flight, whatever the timestamps say; or by their
 * timestamps, and later turns of a session after the end of the turn before.
 */
export type Load =
  | { readonly kind: "open" }
  | { readonly kind: "closed"; readonly concurrency: number }
  | { readonly kind: "sessions" };

/** Lets the rows of a trace come as a load says. */
export function arrivalsOf(load: Load, rows: Iterable<TraceRow>, options: LoopOptions): Arrivals {
  switch (load.kind) {
    case "open":
      return new OpenLoop(rows, options);
    case "closed":
      return new ClosedLoop(rows, options, load);
    case "sessions":
      return new SessionLoop(rows, options);
  }
}

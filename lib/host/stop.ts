import type { Clock } from "#lib/base/clock";

/** What asks a process to end. */
export interface StopSource {
  /** Calls at each such signal, or when the parent is lost. */
  on(event: "SIGINT" | "SIGTERM" | "SIGHUP" | "disconnect", call: () => void): unknown;
  /** The call is not made any more. */
  off(event: "SIGINT" | "SIGTERM" | "SIGHUP" | "disconnect", call: () => void): unknown;
}

/** Two SIGINTs within this time are one: a terminal signals the whole group and npm forwards its own. */
export const SAME_SIGINT_MS = 500;

/** How a process ends: `drain` once, in order; `force` when asked again. */
export interface StopHandlers {
  /** Called once. `why` is for the log, such as SIGTERM. */
  drain(why: string): void;
  /** Called when asked again while it drains. */
  force(why: string): void;
}

/**
 * Turns signals into orders. SIGTERM, SIGHUP, the first SIGINT and the loss of the parent drain; a second SIGINT more
 * than SAME_SIGINT_MS after the last one forces. Returns what stops listening.
 * @param obeysParent a child of `stator up`: it leaves the terminal's SIGINT to its parent
 */
export function listenForStop(
  source: StopSource,
  clock: Clock,
  handlers: StopHandlers,
  obeysParent: boolean,
): () => void {
  let drained = false;
  let lastSigintMs = Number.NEGATIVE_INFINITY;
  const drain = (why: string): void => {
    if (drained) return;
    drained = true;
    handlers.drain(why);
  };
  const calls = {
    SIGTERM: () => drain("SIGTERM"),
    SIGHUP: () => drain("SIGHUP"),
    SIGINT() {
      const sinceMs = clock.nowMs() - lastSigintMs;
      lastSigintMs = clock.nowMs();
      if (obeysParent || sinceMs < SAME_SIGINT_MS) return;
      if (drained) handlers.force("SIGINT");
      else drain("SIGINT");
    },
    disconnect: () => drain("the parent is gone"),
  };
  const events = Object.entries(calls) as [keyof typeof calls, () => void][];
  for (const [event, call] of events) source.on(event, call);
  return () => {
    for (const [event, call] of events) source.off(event, call);
  };
}

import type { BackoffTimes } from "#lib/base/backoff";

/** Waits before a child is started again that failed while it started; one that was ready is started at once. */
export const RESTART: BackoffTimes = { firstMs: 1_000, longestMs: 30_000 };

/** Signals by which others end a process. By any other it ended itself: it crashed. */
const FROM_OUTSIDE: readonly (NodeJS.Signals | null)[] = ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"];

/** How a process ended: one of the two is set. */
export interface ProcessEnd {
  /** Its exit code; null when a signal ended it. */
  readonly code: number | null;
  /** What ended it; null when it ended by itself. */
  readonly signal: NodeJS.Signals | null;
}

/** Whether a process ended because of something inside it; somebody who ended it is no reason to think that it cannot work. */
export function isCrash({ code, signal }: ProcessEnd): boolean {
  return signal === null ? code !== 0 : !FROM_OUTSIDE.includes(signal);
}

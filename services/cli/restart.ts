/** First wait before a child that failed while it started is started again, and the longest one. */
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

/** Signals by which others end a process. By any other it ended itself: it crashed. */
const FROM_OUTSIDE: readonly (NodeJS.Signals | null)[] = ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"];

/** How a process ended: one of the two is set. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * How long a child that ended by itself waits for its next start, after so many starts in a row that ended before it was
 * ready. One that was ready is started at once.
 */
export function restartWaitMs(failures: number): number {
  return failures === 0 ? 0 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 20));
}

/** Whether a process ended because of something inside it; somebody who ended it is no reason to think that it cannot work. */
export function isCrash({ code, signal }: ProcessEnd): boolean {
  return signal === null ? code !== 0 : !FROM_OUTSIDE.includes(signal);
}

/** The longest deadline, 24 days: timers and links count no further. */
const LONGEST_MS = 2_147_483_647;

/** Milliseconds, rounded up, in which a request with this `timeout` has to be done, in microseconds; undefined for 0, which is none. */
export function deadlineOf(timeoutMicros: number): number | undefined {
  return timeoutMicros === 0 ? undefined : Math.min(LONGEST_MS, Math.ceil(timeoutMicros / 1000));
}

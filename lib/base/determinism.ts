/**
 * When a request gets the same answer again, to the last bit of its log-probabilities, weakest promise first: `no` = not to
 * be relied on; `alone` = whatever ran before, as long as nothing runs beside it; `batch` = always, whatever runs beside it
 * or ran before. What holds is proved by a probe when a model is opened.
 */
export const DETERMINISM = ["no", "alone", "batch"] as const;

/** One of {@link DETERMINISM}. */
export type Determinism = (typeof DETERMINISM)[number];

/** What can be promised by several of which each may answer: the weakest. */
export function weakest(all: readonly Determinism[]): Determinism {
  return DETERMINISM.find((each) => all.includes(each)) ?? "no";
}

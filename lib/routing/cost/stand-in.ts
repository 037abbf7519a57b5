import { assert } from "#lib/base/errors";
import type { Candidates } from "../rules/candidates.ts";
import type { KeptTimes } from "./kept-times.ts";

/** What two workers are compared by. */
const SHAPE = {
  ...{ prefillTokens: 256, prefillContextTokens: 256 },
  ...{ decodeSequences: 0, decodeContextTokens: 0, poolTokens: 0 },
};

/**
 * Who was not timed is taken to be as fast as the middle one of those that were, by a pass over 256 tokens. Where nobody was,
 * all have the same guess, and compare by it.
 */
export function standIn({ count, timed, times }: Candidates): void {
  const known: KeptTimes[] = [];
  for (let at = 0; at < count; at++) if (timed[at] === 1) known.push(times[at]!);
  if (known.length === 0 || known.length === count) return;
  known.sort((left, right) => left.passMs(SHAPE) - right.passMs(SHAPE));
  const middle = known[known.length >> 1];
  assert(middle, "half of a list that is not empty is in it");
  for (let at = 0; at < count; at++) if (timed[at] === 0) times[at] = middle;
}

import { spreadOf } from "../cost/spread.ts";
import type { Candidates } from "./candidates.ts";
import type { RuleConstants } from "./constants.ts";

/** Whether open requests lie so unevenly that the SMG rules forget prefixes and even them out. */
export function isUneven(
  { openRequests, count }: Candidates,
  { balanceAbsolute, balanceRelative }: RuleConstants,
): boolean {
  const { least, most } = spreadOf(openRequests, count);
  return most - least > balanceAbsolute && most > balanceRelative * least;
}

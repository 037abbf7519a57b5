import { compareElements } from "./compare-elements.ts";
import { compareEnums } from "./compare-enums.ts";
import { compareExtensions, compareFields } from "./compare-fields.ts";
import { compareFiles } from "./compare-files.ts";
import { compareMessages } from "./compare-messages.ts";
import { compareServices } from "./compare-services.ts";
import { Comparison } from "./comparison.ts";
import type { Contract } from "./contract.ts";
import type { Difference } from "./difference.ts";
import { CONTRACT_LIMITS, type ContractLimits } from "./limits.ts";
import { type Pair, pairElements } from "./pairing.ts";
import { findReach } from "./reach.ts";

/**
 * Everything that is different between an older and a newer contract, files first, then what is new, gone and changed, in the
 * order of the older contract. Comments do not count. Throws LIMIT where there are more differences than anybody reads.
 */
export function compareContracts(
  before: Contract,
  after: Contract,
  limits: ContractLimits = CONTRACT_LIMITS,
): readonly Difference[] {
  const pairing = pairElements(before, after);
  const reachOf = findReach(before, after, pairing.nameNow);
  const comparison = new Comparison({ before, after, pairing }, reachOf, limits);
  compareFiles(comparison);
  compareElements(comparison);
  for (const pair of pairing.pairs) comparePair(pair, comparison);
  return comparison.differences;
}

/** Elements of a pair are of one kind. */
function comparePair({ before, after }: Pair, comparison: Comparison): void {
  if (before.kind === "message" && after.kind === "message") {
    compareMessages(before, after, comparison);
    compareFields(before, after, comparison);
  } else if (before.kind === "enum" && after.kind === "enum") compareEnums(before, after, comparison);
  else if (before.kind === "service" && after.kind === "service") compareServices(before, after, comparison);
  else if (before.kind === "extension" && after.kind === "extension") compareExtensions(before, after, comparison);
}

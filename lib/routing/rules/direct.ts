import { additiveRule } from "./additive.ts";
import type { RuleRow } from "./rule.ts";

/** None but the one that is named. */
export const direct: RuleRow = {
  unit: "draws",
  needs: ["pin"],
  formula: "the worker that the request names; a request that names none is refused",
  use: "Where somebody else decides.",
  origin: "common; the reference's mode `direct`",
  constants: "none",
  create: () => additiveRule({ over: () => undefined, parts: () => ({ "not named": Number.POSITIVE_INFINITY }) }),
};

import { additiveRule } from "./additive.ts";
import type { RuleRow } from "./rule.ts";

/** One after the other. */
export const roundRobin: RuleRow = {
  unit: "turns",
  needs: [],
  formula: "turns until its own, this one among them",
  use: "For tests that want to know where a request goes.",
  origin: "common; the reference's mode `round-robin`",
  constants: "none",
  create: () =>
    additiveRule({
      over: () => undefined,
      parts({ turn }, of, at) {
        const behind = (at - (turn % of.count) + of.count) % of.count;
        return { "turns, its own too": behind + 1 };
      },
    }),
};

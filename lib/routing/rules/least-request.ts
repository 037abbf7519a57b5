import { additiveRule } from "./additive.ts";
import { pickInTurn } from "./pick.ts";
import type { RuleRow } from "./rule.ts";

/** The fewest open requests. */
export const leastRequest: RuleRow = {
  unit: "requests",
  needs: [],
  formula: "open requests, this one among them; ties in turn",
  use: "For prompts that share nothing, on workers of one speed.",
  origin: "common; the reference's mode `least-loaded`",
  constants: "none",
  create: () =>
    additiveRule({
      over: () => undefined,
      parts: (_, of, at) => ({ "requests, this one too": of.openRequests[at]! + 1 }),
      pick: ({ turn }, costs, _, count) => pickInTurn(costs, count, turn),
    }),
};

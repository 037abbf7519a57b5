import { pick } from "#lib/base/chance";
import { additiveRule } from "./additive.ts";
import type { RuleRow } from "./rule.ts";

/** The better of two. */
export const powerOfTwo: RuleRow = {
  unit: "requests",
  needs: [],
  formula: "two different ones are drawn, and the one with fewer open requests is taken; the first drawn of equal ones",
  use: "For prompts that share nothing, and many frontends that know nothing of each other. In force where kv is asked for and prefixes cannot be compared.",
  origin: "common; the reference's mode `power-of-two`",
  constants: "none",
  create: () =>
    additiveRule({
      over: () => undefined,
      parts: (_, of, at) => ({ "requests, this one too": of.openRequests[at]! + 1 }),
      isDrawn: true,
      pick(_, costs, chance, count) {
        const first = pick(chance, count);
        if (count === 1) return first;
        // The second is drawn among the others, so that the two differ.
        const second = (first + 1 + pick(chance, count - 1)) % count;
        return costs[second]! < costs[first]! ? second : first;
      },
    }),
};

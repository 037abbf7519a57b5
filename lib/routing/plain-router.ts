import { TokenHasher } from "#lib/tokens/block-hash";
import { MIN_BUDGET_BYTES, RunIndex } from "./index/run-index.ts";
import { readRuleConstants, routingDefaults } from "./options.ts";
import { RuleRouter, type RuleRouterOptions } from "./rule-router.ts";

/** What a plain router still needs, and what of it is otherwise. */
export type PlainRouterOptions = Pick<RuleRouterOptions, "locate" | "clock" | "chance" | "metrics"> &
  Partial<RuleRouterOptions>;

/** A router with every option as it is when nobody says anything, a small index and hashes of its own. */
export function createPlainRouter(options: PlainRouterOptions): RuleRouter {
  const defaults = routingDefaults();
  return new RuleRouter({
    mode: defaults["router.mode"],
    rule: defaults["router.rule"],
    constants: readRuleConstants(defaults),
    followsEvents: defaults["router.kv-events"],
    ttlMs: defaults["router.ttl-ms"],
    predictedTtlMs: defaults["router.predicted-ttl-ms"],
    affinity: defaults["router.session-affinity"],
    sessionTtlMs: defaults["router.session-ttl-ms"],
    openIndex: () => new RunIndex({ budgetBytes: MIN_BUDGET_BYTES }),
    hasher: new TokenHasher(),
    stepBlocks: 32,
    ...options,
  });
}

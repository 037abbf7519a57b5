import { asStatorError } from "#lib/base/errors";
import type { ModelView } from "#lib/discovery/model-view";
import { fleetOf } from "#lib/dispatch/fleet";
import { createRefusedFeed } from "#lib/events/feed";
import { type KvFollower, openKvFollower } from "#lib/events/follower";
import { createRpcFeed } from "#lib/events/rpc-feed";
import { loadNative } from "#lib/native/addon";
import type { FleetWorker } from "#lib/routing/fleet";
import { RunIndex } from "#lib/routing/index/run-index";
import type { Locate } from "#lib/routing/locate";
import { readDisaggregation, readRuleConstants } from "#lib/routing/options";
import { RuleRouter } from "#lib/routing/rule-router";
import { TokenHasher } from "#lib/tokens/block-hash";
import type { ProcessContext } from "../command.ts";
import type { ServiceProcess } from "./process.ts";
import type { DialWorker } from "./worker-dialer.ts";

/** Blocks of a prompt that are hashed first: a call of the addon costs as much as so many of them. */
const STEP_BLOCKS = { native: 128, script: 32 } as const;

/** A router by the options: prompts are hashed by the addon where it is built. */
export function createRouter({ values }: ProcessContext, process: ServiceProcess, locate: Locate): RuleRouter {
  const { clock, chance, metrics } = process;
  const { addon } = loadNative();
  return new RuleRouter({
    ...{ locate, clock, chance, metrics },
    mode: values["router.mode"],
    rule: values["router.rule"],
    constants: readRuleConstants(values),
    split: readDisaggregation(values),
    followsEvents: values["router.kv-events"],
    ttlMs: values["router.ttl-ms"],
    predictedTtlMs: values["router.predicted-ttl-ms"],
    affinity: values["router.session-affinity"],
    sessionTtlMs: values["router.session-ttl-ms"],
    openIndex: () => new RunIndex({ budgetBytes: values["router.index-bytes"] }),
    hasher: addon ?? new TokenHasher(),
    stepBlocks: addon ? STEP_BLOCKS.native : STEP_BLOCKS.script,
  });
}

/** Whom a router hears of. */
export interface FeedParts {
  /** Who is there. */
  readonly view: ModelView;
  /** It follows the view already. */
  readonly router: RuleRouter;
  /** The way to a worker; may throw. */
  readonly dialWorker: DialWorker;
}

/**
 * Has a router hear what the workers of a view tell of their caches, and the log which rule is in force. Returns what ends it.
 */
export function feedRouter(process: ServiceProcess, parts: FeedParts): () => void {
  const { view, router } = parts;
  const follower = router.hearsEvents ? openFollower(process, parts) : undefined;
  const told = new Map<string, string>();
  const unsubscribe = view.subscribe(() => {
    follower?.follow(fleetOf(view.models).values());
    tellRules(process, router, told);
  });
  return () => {
    unsubscribe();
    follower?.close();
    router.close();
  };
}

function openFollower(process: ServiceProcess, { view, router, dialWorker }: FeedParts): KvFollower<FleetWorker> {
  const { clock, chance, log, metrics } = process;
  return openKvFollower({
    ...{ clock, chance, log, metrics },
    connect({ worker }) {
      try {
        return createRpcFeed(dialWorker(view.models.workers.get(worker)!));
      } catch (error) {
        return createRefusedFeed(asStatorError(error), clock);
      }
    },
    sink: ({ worker }, rank) => router.sink(worker, rank),
  });
}

/** Once for each weight set, and again when it changes. */
function tellRules({ log }: ServiceProcess, router: RuleRouter, told: Map<string, string>): void {
  for (const { weights, rule, why } of router.inForce) {
    const now = `${rule} ${why}`;
    if (told.get(weights) === now) continue;
    told.set(weights, now);
    log[why === "" ? "info" : "warn"]("router rule", { weights, rule, why });
  }
}

import { type Chance, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import type { KvNotice } from "#lib/engines/engine";
import { noMetrics } from "#lib/host/metrics";
import type { KvChange } from "#lib/kv/event";
import type { Explanation } from "#lib/routing/explain/explanation";
import type { FleetWorker } from "#lib/routing/fleet";
import { RunIndex } from "#lib/routing/index/run-index";
import type { Disaggregation } from "#lib/routing/legs/disaggregation";
import type { Locate } from "#lib/routing/locate";
import { readRuleConstants, routingDefaults } from "#lib/routing/options";
import { type Leg, NO_WISHES, type RouteAsk } from "#lib/routing/router";
import { RuleRouter } from "#lib/routing/rule-router";
import type { RuleConstants } from "#lib/routing/rules/constants";
import type { RuleName } from "#lib/routing/rules/table";
import type { ContentHasher } from "#lib/tokens/block-hash";
import type { NamedPrompt } from "./content.ts";
import { misjudging, type RoutingErrors } from "./misjudging.ts";
import type { ReplayRequest } from "./replay-request.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** How a replay routes. */
export interface ReplayRouting {
  /** Of the table of rules. */
  readonly rule: RuleName;
  /** Its numbers; the options' own where absent. */
  readonly constants?: Partial<RuleConstants>;
  /** As the option router.predicted-ttl-ms; the option's own where absent. */
  readonly predictedTtlMs?: number;
  /** How answers are split where workers for prompts are there; the options' own where absent. */
  readonly split?: Partial<Disaggregation>;
  /** How wrong it is; not at all unless given. */
  readonly errors?: RoutingErrors;
}

/** What a router of a replay runs on. */
export interface RoutingSurroundings {
  /** Of the whole replay. */
  readonly clock: VirtualClock;
  /** Drawn from where rules draw. */
  readonly chance: Chance;
  /** Workers that may take requests now. */
  readonly serving: () => ReadonlyMap<bigint, FleetWorker>;
}

/** Word for the weights of every worker of a replay. */
export const WEIGHTS = "replay";
/** Decisions are explained when their requests have ended, which is long after where many wait. */
const KEPT = { decisions: 262_144, candidates: 262_144 } as const;
const NO_CONTENTS = new BigUint64Array(0);

/** Gives the router the hashes of prompts that have names in place of tokens: it knows each by its array of tokens. */
class NamedHasher implements ContentHasher {
  /** What is asked of the router now. */
  prompt: NamedPrompt | undefined;

  hashContents(...[, , , , from, to, local]: Parameters<ContentHasher["hashContents"]>): void {
    const contents = this.prompt?.contents ?? NO_CONTENTS;
    local.set(contents.subarray(from, to), from);
  }
}

/** The frontend's router, with prompts that have names in place of tokens. */
export class ReplayRouter {
  readonly router: RuleRouter;
  readonly #hasher = new NamedHasher();

  constructor(
    { rule, constants, predictedTtlMs, split, errors }: ReplayRouting,
    { clock, chance, serving }: RoutingSurroundings,
  ) {
    const defaults = routingDefaults();
    const drawErrors = new SeededChance(chance.id());
    this.router = new RuleRouter({
      mode: "kv",
      rule,
      constants: { ...readRuleConstants(defaults), ...constants },
      alter: errors && ((each) => misjudging(each, errors.prediction, drawErrors)),
      followsEvents: true,
      ttlMs: defaults["router.ttl-ms"],
      predictedTtlMs: predictedTtlMs ?? defaults["router.predicted-ttl-ms"],
      affinity: "off",
      sessionTtlMs: defaults["router.session-ttl-ms"],
      openIndex: () => new RunIndex({ budgetBytes: defaults["router.index-bytes"] }),
      hasher: this.#hasher,
      stepBlocks: 1 << 20,
      locate: (_, leg = "whole") => locateRole(serving(), leg),
      ...(split && { split }),
      metrics: noMetrics,
      limits: KEPT,
      clock,
      chance,
    });
  }

  /** The last decision about a request; undefined where none is kept. */
  explain(requestId: string): Explanation | undefined {
    try {
      return this.router.explain(requestId)[0];
    } catch (error) {
      if (error instanceof StatorError && error.reason === "DECISION_NOT_KEPT") return undefined;
      throw error;
    }
  }

  /** Asks where a request goes, or where it goes on behind the worker that computed its prompt; the answer comes during the call. */
  place(
    request: ReplayRequest,
    handOff: { readonly prefilledBy: bigint } | undefined,
    answer: Parameters<RuleRouter["place"]>[1],
  ): ReturnType<RuleRouter["place"]> {
    this.#hasher.prompt = request.prompt;
    const ask = askOf(request);
    return this.router.place(handOff ? { ...ask, ...handOff, stage: "hand-off" } : ask, answer);
  }
}

/** Everybody who does that part of answers. */
function locateRole(serving: ReadonlyMap<bigint, FleetWorker>, leg: Leg): ReturnType<Locate> {
  const able = [...serving.values()].filter(({ role }) => (role === "prefill") === (leg === "prefill"));
  if (able.length > 0) return new Map(able.map(({ worker }) => [worker, WEIGHTS]));
  const that = serving.size === 0 ? "" : ` with the role ${leg === "prefill" ? leg : "decode"}`;
  return { kind: "unplaced", error: new StatorError("NO_WORKERS", { model: WEIGHTS, that }), final: false };
}

function askOf({ row, prompt, tokens }: ReplayRequest): RouteAsk {
  return {
    ...NO_WISHES,
    session: row.session,
    requestId: String(row.index),
    kind: "generate",
    model: WEIGHTS,
    adapter: undefined,
    prompts: [prompt.tokens],
    texts: [],
    tokenizer: "",
    choices: [0],
    choicesPerPrompt: 1,
    salt: "",
    priority: row.priority,
    deadlineMs: undefined,
    target: undefined,
    weights: undefined,
    avoid: new Set(),
    isNew: tokens === 0,
  };
}

/** What an engine of a replay told of its blocks, as its events say it. */
export function changeOf(notice: KvNotice): KvChange {
  switch (notice.kind) {
    case "cleared":
      return { kind: "cleared" };
    case "removed":
      return { kind: "removed", tier: "device", group: 0, hashes: notice.hashes };
    case "stored": {
      const { parent, hashes, contents = NO_CONTENTS, adapter } = notice;
      return {
        kind: "stored",
        tier: "device",
        group: 0,
        parent,
        hashes,
        contents,
        adapter,
        saltNamespace: 0n,
        media: [],
      };
    }
  }
}

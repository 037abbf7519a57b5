import { SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { type Metrics, noMetrics } from "#lib/host/metrics";
import type { KvKnowledge } from "#lib/kv/event";
import type { PassRecord, TimePrior } from "#lib/perf/time-model";
import { NO_TIME } from "#lib/perf/time-prior";
import { printDecision } from "#lib/routing/decision";
import type { FleetWorker } from "#lib/routing/fleet";
import { RunIndex } from "#lib/routing/index/run-index";
import type { Locate } from "#lib/routing/locate";
import { readRuleConstants, routingDefaults } from "#lib/routing/options";
import { type Leg, NO_WISHES, type RouteAnswer, type RouteAsk, type Ticket } from "#lib/routing/router";
import { RuleRouter, type RuleRouterOptions } from "#lib/routing/rule-router";
import { HASH_SCHEME, hashSeed, TokenHasher } from "#lib/tokens/block-hash";

/** Tokens of a block in these tests. */
export const BLOCK = 16;

/** A worker of one rank that can be routed by prefixes, and takes a millisecond for a token. */
export function fleetWorker(
  worker: bigint,
  more: Partial<FleetWorker> & { readonly times?: Partial<TimePrior> } = {},
): FleetWorker {
  const { times, ...rest } = more;
  return {
    ...{ worker, incarnation: 1n, ranks: 1, weights: "w", why: "", reuseTokens: BLOCK },
    ...{ scope: { blockTokens: BLOCK, hashScheme: HASH_SCHEME } },
    ...{ totalBlocks: 1_000, maxRunningRequests: undefined, taints: new Set<string>() },
    prior: { ...NO_TIME, prefillTokenMs: 1, decodeMs: 1, passTokens: 64, ...times },
    ...rest,
  };
}

/** `blocks` blocks of tokens that belong together, and `more` tokens behind them. */
export function promptOf(kind: number, blocks: number, more = 1): Uint32Array {
  return Uint32Array.from({ length: blocks * BLOCK + more }, (_, at) => kind * 100_000 + at);
}

/** An ask for one answer to a prompt. */
export function routeAskOf(prompt: Uint32Array, more: Partial<RouteAsk> = {}): RouteAsk {
  return {
    ...{
      requestId: "r",
      kind: "generate",
      model: "m",
      adapter: undefined,
      prompts: [prompt],
      texts: [],
      tokenizer: "",
    },
    ...{ choices: [0], choicesPerPrompt: 1, salt: "", priority: 0, deadlineMs: undefined, target: undefined },
    ...{ weights: undefined, avoid: new Set<bigint>(), isNew: true },
    ...NO_WISHES,
    ...more,
  };
}

/** What a rig may have otherwise. */
export interface RoutingRigOptions extends Partial<Omit<RuleRouterOptions, "metrics">> {
  readonly metrics?: Metrics;
}

/** A router over workers that all can take work, a clock that stands, and hashes of its own. */
export class RoutingRig {
  readonly clock = new FakeClock();
  readonly router: RuleRouter;
  readonly #hasher = new TokenHasher();
  #fleet = new Map<bigint, FleetWorker>();
  /** Workers that cannot take work though they are there. */
  readonly unable = new Set<bigint>();

  constructor(workers: readonly FleetWorker[], more: RoutingRigOptions = {}) {
    const constants = { ...readRuleConstants(routingDefaults()), ...more.constants };
    this.router = new RuleRouter({
      ...{ mode: "kv", rule: "ttft", followsEvents: true, ttlMs: 120_000, predictedTtlMs: 5_000 },
      ...{ affinity: "soft", sessionTtlMs: 60_000, clock: this.clock, chance: new SeededChance(1n) },
      ...{
        openIndex: () => new RunIndex({ budgetBytes: 4 << 20 }),
        hasher: this.#hasher,
        stepBlocks: 32,
        metrics: noMetrics,
      },
      locate: (ask, leg) => this.#locate(ask, leg),
      ...more,
      constants,
    });
    this.follow(workers);
  }

  #locate({ target, avoid, model }: RouteAsk, leg?: Leg): ReturnType<Locate> {
    const role = leg === "prefill" ? "prefill" : undefined;
    const able = [...this.#fleet.values()].filter(({ worker, role: own }) => {
      const isMeant = (target?.worker ?? worker) === worker && (own === "prefill") === (role === "prefill");
      return isMeant && !avoid.has(worker) && !this.unable.has(worker);
    });
    if (able.length > 0) return new Map(able.map(({ worker, weights }) => [worker, weights]));
    const that = role ? ` with the role ${role}` : "";
    return { kind: "unplaced", error: new StatorError("NO_WORKERS", { model, that }), final: false };
  }

  /** These workers are there from now on, and all that they hold is known. */
  follow(workers: readonly FleetWorker[]): void {
    this.#fleet = new Map(workers.map((worker) => [worker.worker, worker]));
    this.router.follow(this.#fleet);
    for (const { worker, ranks } of workers) for (let rank = 0; rank < ranks; rank++) this.know(worker, "live", rank);
  }

  /** How well it is known what a rank holds. */
  know(worker: bigint, state: KvKnowledge["state"], rank = 0): void {
    const reason = state === "live" ? "" : `It is ${state}.`;
    this.router.sink(worker, rank).know({ state, reason, lagMs: 1, behind: 0 });
  }

  /** A rank tells that it has the complete blocks of a prompt. */
  store(worker: bigint, prompt: Uint32Array, more: { readonly rank?: number; readonly salt?: string } = {}): void {
    const blocks = Math.floor(prompt.length / BLOCK);
    const [contents, hashes] = [new BigUint64Array(blocks), new BigUint64Array(blocks)];
    this.#hasher.hashBlocks(prompt, BLOCK, hashSeed(more.salt ?? "", undefined), contents, hashes);
    const about = { adapter: undefined, saltNamespace: 0n, media: [] };
    const change = { kind: "stored", tier: "device", group: 0, parent: undefined, hashes, contents, ...about } as const;
    this.router.sink(worker, more.rank ?? 0).apply(change);
  }

  /** Asks; the answer comes during the call. */
  place(ask: RouteAsk): { readonly answer: RouteAnswer; readonly ticket: Ticket } {
    const answers: RouteAnswer[] = [];
    const ticket = this.router.place(ask, (answer) => answers.push(answer));
    const [answer] = answers;
    if (!answer || answers.length > 1) throw new Error(`${answers.length} answers`);
    return { answer, ticket };
  }

  /** A worker tells of a pass. */
  pass(worker: bigint, more: Partial<PassRecord>): void {
    this.router.observe(worker, {
      ...{ rank: 0, durationUs: 1_000, prefillTokens: 0, prefillContextTokens: 0, decodeSequences: 0 },
      ...{ decodeContextTokens: 0, usedBlocks: 0, totalBlocks: 1_000, runningRequests: 0, waitingRequests: 0 },
      ...{ waitingTokens: 0, mergedSteps: 0 },
      ...more,
    });
  }
}

/** `worker/rank: choices, why` of each place, or the reason of the error and whether it is final. */
export function shownAnswer(answer: RouteAnswer): string[] {
  if (answer.kind === "unplaced") return [`${answer.error.reason}${answer.final ? ", final" : ""}`];
  return answer.places.map(({ target, choices, decision }) => {
    const rank = target.rank === undefined ? "" : `/${target.rank}`;
    return `${target.worker}${rank}: ${choices.join(" ")}, ${printDecision(decision)}`;
  });
}

/** Workers that an answer names. */
export function workersOf(answer: RouteAnswer): bigint[] {
  return answer.kind === "placed" ? answer.places.map(({ target }) => target.worker) : [];
}

/** The error of an answer that names nobody. */
export function errorOf(answer: RouteAnswer): StatorError {
  if (answer.kind === "placed") throw new Error("it was placed");
  return answer.error;
}

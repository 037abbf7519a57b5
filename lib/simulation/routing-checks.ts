import type { Explanation } from "#lib/routing/explain/explanation";
import { NO_WISHES, type RouteAsk } from "#lib/routing/router";
import type { RuleRouter } from "#lib/routing/rule-router";
import { RULES } from "#lib/routing/rules/table";
import type { ReadyAsk } from "#lib/serving/ask";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import type { SimulatedFrontend } from "./frontend.ts";
import type { SimulatedWorker } from "./worker.ts";
import type { World } from "./world.ts";

/** Requests of each frontend whose prompts are looked up: the last ones, whose blocks are still somewhere. */
const LOOKED_UP = 4;
/** What is routed when nothing of it matters. */
const ANYTHING = Uint32Array.of(1, 2, 3);

/**
 * When nothing runs and nothing is wrong: what the routers of a world count and know, against what its workers have. One
 * sentence for each thing that must not be. It takes a moment until it is so: events are on their way, and what routers
 * expect of requests that have ended is forgotten later.
 */
export function checkRouting(world: World): string[] {
  return world.livingFrontends.flatMap((frontend) => {
    const router = frontend.dispatcher?.router;
    if (!router) return [`${frontend.name} has no router`];
    const wrong = [
      ...checkLoad(router, world),
      ...checkKnowledge(frontend, router, world),
      ...checkForesight(frontend, router, world),
    ];
    return wrong.map((what) => `${frontend.name}: ${what}`);
  });
}

/** Nothing is open, and nobody has anything to do. */
function checkLoad(router: RuleRouter, { tokenizer, livingWorkers }: World): string[] {
  const wrong: string[] = [];
  const { openChoices, openReservations, openSessionRequests } = router;
  for (const [what, count] of Object.entries({ openChoices, openReservations, openSessionRequests })) {
    if (count !== 0) wrong.push(`its router's ${what} is ${count} when nothing runs`);
  }
  for (const worker of livingWorkers) {
    const target = { worker: worker.plan.instanceId, rank: undefined };
    const [explained] = explain(router, { ...ask(tokenizer), target });
    const found = explained?.candidates[0];
    if (!found && isUseless(worker, livingWorkers)) continue;
    if (!found) return [`nothing can be placed on ${worker.name}`];
    const { openRequests, prefillTokens, potentialBlocks } = found;
    if (openRequests !== 0 || prefillTokens !== 0 || potentialBlocks !== 1) {
      const load = `${openRequests} requests, ${prefillTokens} tokens and ${potentialBlocks - 1} blocks`;
      wrong.push(`${load} are the load of ${worker.name}, which has none`);
    }
  }
  return wrong;
}

/** It computes prompts, and nobody can go on from them. */
function isUseless({ role, plan }: SimulatedWorker, all: readonly SimulatedWorker[]): boolean {
  return role === "prefill" && !all.some((other) => other.role !== "prefill" && other.plan.weights === plan.weights);
}

/** It holds of every worker what is in the worker's cache, and nothing else. */
function checkKnowledge(frontend: SimulatedFrontend, router: RuleRouter, { livingWorkers }: World): string[] {
  const { followsEvents } = frontend;
  const wrong: string[] = [];
  for (const { name, plan, blocks } of livingWorkers) {
    const ranks = router.view(plan.instanceId);
    const { state, behind } = ranks[0]?.knowledge ?? { state: "missing", behind: 0 };
    if (ranks.length !== 1 || state !== (followsEvents ? "live" : "none"))
      wrong.push(`what it knows of ${name} is ${state}`);
    if (behind !== 0) wrong.push(`it is ${behind} events behind ${name}`);
    wrong.push(...compare(name, heldOf(router, plan.instanceId), followsEvents ? blocks : new Set()));
  }
  const entries = frontend.gauge("stator_routing_index_entries");
  const all = livingWorkers.reduce((sum, { blocks }) => sum + (followsEvents ? blocks.size : 0), 0);
  if (entries !== all) wrong.push(`its index has ${entries} entries, and the workers that are there ${all} blocks`);
  const seats = frontend.gauge(`stator_routing_ranks ${followsEvents ? "live" : "none"}`);
  if (seats !== livingWorkers.length) wrong.push(`it knows ${seats} ranks of ${livingWorkers.length}`);
  for (const gauge of ["recovering", "queued"]) {
    const count = frontend.gauge(`stator_events_${gauge}`);
    if (count !== 0) wrong.push(`${count} of its ranks are ${gauge}`);
  }
  return wrong;
}

function heldOf(router: RuleRouter, worker: bigint): Set<bigint> {
  const held = new Set<bigint>();
  for (const change of router.dump(worker, 0)) {
    if (change.kind === "stored") for (const hash of change.hashes) held.add(hash);
  }
  return held;
}

function compare(name: string, held: ReadonlySet<bigint>, blocks: ReadonlySet<bigint>): string[] {
  const missing = [...blocks].filter((hash) => !held.has(hash)).length;
  const stale = [...held].filter((hash) => !blocks.has(hash)).length;
  if (missing === 0 && stale === 0) return [];
  return [`of ${blocks.size} blocks of ${name} it lacks ${missing}, and it has ${stale} that are not there`];
}

/** Of prompts that were sent it foresees what the engines would find. */
function checkForesight(frontend: SimulatedFrontend, router: RuleRouter, { livingWorkers }: World): string[] {
  const isBlind = !frontend.followsEvents || !(RULES[frontend.rule].needs as readonly string[]).includes("prefixes");
  if (isBlind) return [];
  const asks = frontend.clients.map((client) => client.ask).filter(({ kind }) => kind === "generate");
  return asks.slice(-LOOKED_UP).flatMap((sent) =>
    explain(router, routed(sent)).flatMap(({ candidates, choices }) =>
      candidates.flatMap(({ worker: id, deviceTokens }) => {
        const worker = livingWorkers.find(({ plan }) => plan.instanceId === id);
        const prompt = Math.floor((choices[0] ?? 0) / sent.choicesPerPrompt);
        const cached = worker && countCached(worker, sent, prompt);
        if (cached === deviceTokens) return [];
        return [`of ${sent.requestId} it foresees ${deviceTokens} tokens at ${worker?.name}, which has ${cached}`];
      }),
    ),
  );
}

/** Tokens of a prompt that an engine would reuse, by its blocks. */
function countCached({ blocks, card }: SimulatedWorker, { input, cacheSalt }: ReadyAsk, prompt: number): number {
  const blockTokens = card?.blockTokens ?? 1;
  const tokens = input.prompts[prompt]!;
  const hashes = new BigUint64Array(Math.floor(tokens.length / blockTokens));
  new TokenHasher().hashBlocks(tokens, blockTokens, hashSeed(cacheSalt, undefined), hashes.slice(), hashes);
  // One token is always computed.
  const most = Math.floor((tokens.length - 1) / blockTokens);
  let cached = 0;
  while (cached < most && blocks.has(hashes[cached]!)) cached++;
  return cached * blockTokens;
}

function explain(router: RuleRouter, about: RouteAsk): readonly Explanation[] {
  try {
    return router.explainAsk(about);
  } catch {
    // Nobody can take it now: what is missing is said by the world.
    return [];
  }
}

function routed({ requestId, kind, model, input, choicesPerPrompt, cacheSalt }: ReadyAsk): RouteAsk {
  const choices = input.prompts.map((_, prompt) => prompt * choicesPerPrompt);
  const { prompts, tokenizer } = input;
  return { ...ask(tokenizer), requestId, kind, model, prompts, choices, choicesPerPrompt, salt: cacheSalt };
}

function ask(tokenizer: string): RouteAsk {
  return {
    ...{ requestId: "", kind: "generate", model: "m", adapter: undefined, prompts: [ANYTHING], texts: [], tokenizer },
    ...{ choices: [0], choicesPerPrompt: 1, salt: "", priority: 0, deadlineMs: undefined, target: undefined },
    ...{ weights: undefined, avoid: new Set<bigint>(), isNew: false },
    ...NO_WISHES,
  };
}

import { expect, test } from "vitest";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import type { TokenChain } from "#lib/tokens/token-chain";
import { counted, holds, oracle, oracleScores, Rig, requestOf, same } from "../../../test/support/scheduler-rig.ts";
import { eachSeed } from "../../../test/support/seeds.ts";
import type { GenerateRequest } from "../engine.ts";
import type { ImportTicket } from "./kv-account.ts";
import type { KvOwner } from "./kv-notices.ts";
import type { SchedulerOptions } from "./options.ts";

/** Blocks that come in a few at a time, while all else goes on, as with an engine: ops first, then bytes, then the account. */
class Incoming {
  readonly #rig: Rig;
  readonly #ticket: ImportTicket;
  #arrived: number;

  private constructor(rig: Rig, ticket: ImportTicket) {
    this.#rig = rig;
    this.#ticket = ticket;
    this.#arrived = ticket.from;
  }

  static open(rig: Rig, chain: TokenChain, owner: KvOwner): Incoming | undefined {
    const ticket = rig.scheduler.kv.beginImport(chain, chain.completeBlocks, owner);
    return ticket && new Incoming(rig, ticket);
  }

  get left(): number {
    return this.#ticket.blocks.length - this.#arrived;
  }

  write(count: number): void {
    const { engine, scheduler } = this.#rig;
    while (engine.queue.length > 0) this.#rig.take(scheduler.apply(engine.run()));
    const plan = scheduler.plan({ flush: true });
    if (plan) engine.submit(plan);
    holds(!scheduler.kv.space.hasOps, "a plan takes all ops along");
    while (engine.queue.length > 0) this.#rig.take(scheduler.apply(engine.run()));
    engine.put(this.#ticket, this.#arrived, this.#arrived + count);
    this.#arrived += count;
  }

  close(): void {
    const count = this.#rig.scheduler.kv.finishImport(this.#ticket, this.#arrived);
    holds(count === (this.#ticket.isRetired ? 0 : this.#arrived), "what has arrived is there");
  }
}

/** One seeded life: requests with shared prefixes come and go, are cancelled and killed, and memory is short. */
function live(seed: number, options: Partial<SchedulerOptions> & { slots?: number; ownCells?: boolean }): Rig {
  const chance: Chance = new SeededChance(BigInt(seed));
  const { chunkTokens = 0, blockTokens = 4 } = options;
  const contextTokens = chunkTokens === 0 ? 48 : 400;
  const rig = new Rig({
    maxScoredTokens: 8 + chunkTokens,
    maxBatchTokens: 6 + chunkTokens + pick(chance, 30 + 2 * chunkTokens),
    blocks: 12 + pick(chance, 14),
    contextTokens,
    ...options,
  });
  const requests = new Map<number, GenerateRequest>();
  const cancelled = new Set<number>();
  const pins: (() => void)[] = [];
  const incoming: Incoming[] = [];
  for (let round = 0; round < 140; round++) {
    if (pick(chance, 3) === 0) {
      const prompt = [
        ...counted(pick(chance, 4) * (chunkTokens || blockTokens), pick(chance, 2) * 7),
        ...counted(1 + pick(chance, chunkTokens === 0 ? 12 : 90), pick(chance, 3)),
      ];
      const request = requestOf(round, prompt, {
        maxTokens: 1 + pick(chance, 24),
        priority: pick(chance, 2),
        adapter: pick(chance, 4) === 0 ? "a" : undefined,
        ...(pick(chance, 4) === 0 && { topLogprobs: 0, promptLogprobs: true }),
      });
      rig.scheduler.submit(request);
      requests.set(round, request);
    }
    if (pick(chance, 12) === 0) {
      rig.fill();
      const first = rig.engine.queue[0]?.plan.entries.map((entry) => entry.sequence.id);
      const ids = (pick(chance, 3) > 0 && first) || rig.scheduler.openIds().filter(() => pick(chance, 2) === 0);
      for (const id of ids) cancelled.add(id);
      const abort = rig.scheduler.cancel(ids, pick(chance, 3) === 0 ? "stop" : "kill");
      if (abort !== undefined) {
        expect(abort).toBe(rig.engine.queue[0]!.plan.step);
        const behind = rig.engine.queue.length - 1;
        rig.take(rig.scheduler.apply(rig.engine.run("aborted")));
        if (behind > 0) holds(rig.scheduler.plan() === undefined, "it waits for what was behind");
        for (let at = 0; at < behind; at++) rig.take(rig.scheduler.apply(rig.engine.run("discarded")));
      }
    }
    if (pick(chance, 15) === 0) {
      const request = [...requests.values()][pick(chance, requests.size + 1)];
      if (request)
        pins.push(rig.scheduler.kv.pin(rig.scheduler.createChain(request.promptTokens, request).hashes()).unpin);
    }
    if (pick(chance, 10) === 0) pins.shift()?.();
    if (pick(chance, 15) === 0) {
      const request = [...requests.values()][pick(chance, requests.size + 1)];
      const chain = request && rig.scheduler.createChain(request.promptTokens, request);
      const coming = chain && rig.options.reusesPrefixes ? Incoming.open(rig, chain, request) : undefined;
      if (coming) incoming.push(coming);
    }
    if (pick(chance, 6) === 0) incoming[0]?.write(pick(chance, incoming[0].left + 1));
    if (pick(chance, 9) === 0) incoming.shift()?.close();
    if (pick(chance, 30) === 0 && rig.scheduler.countOpen("a") === 0) {
      rig.scheduler.kv.retire("a");
      for (const request of requests.values()) {
        if (request.adapter === undefined) continue;
        const { pool } = rig.scheduler.kv;
        const hashes = rig.scheduler.createChain(request.promptTokens, request).hashes();
        holds(pool.countMatch(hashes) === 0, "nobody finds what an adapter has left");
      }
    }
    if (pick(chance, 30) === 0) {
      const { kept } = rig.scheduler.kv.forget();
      holds(kept === rig.scheduler.kv.pool.registeredBlocks, "what is kept is registered");
      holds(rig.scheduler.kv.pool.cachedBlocks === 0, "nothing is cached then");
    }
    rig.step();
  }
  for (const unpin of pins) unpin();
  for (const coming of incoming) coming.close();
  rig.finish();
  for (const [id, request] of requests) {
    const finish = rig.finishes.get(id);
    const name = `request ${id}`;
    holds(finish !== undefined, `${name} ends`);
    const wanted = oracle(request, contextTokens);
    const answer = rig.answers.get(id) ?? [];
    same(answer, wanted.tokens.slice(0, cancelled.has(id) ? answer.length : undefined), `the answer of ${name}`);
    const scores = rig.scores.get(id) ?? [];
    const wholeScores = request.promptLogprobs ? oracleScores(request) : [];
    same(scores, wholeScores.slice(0, cancelled.has(id) ? scores.length : undefined), `the scores of ${name}`);
    if (finish!.reason !== "cancelled") same(finish!.reason, wanted.reason, `the end of ${name}`);
    same(finish!.completionTokens, answer.length, `the tokens of ${name}`);
  }
  rig.expectNothingLeft();
  return rig;
}

/** Of each kind; a thousand of all. */
const SEEDS = 170;

test("whatever comes, every request ends once with the right answer: paged, one step at a time", () => {
  eachSeed(SEEDS, (seed) => live(seed, {}));
});

test("the same with several tokens a step", () => {
  eachSeed(SEEDS, (seed) => live(seed, { tokensPerStep: 5 }));
});

test("the same with a small cache", () => {
  eachSeed(SEEDS, (seed) => live(seed, { slots: 8, outstandingSteps: 2, maxCachedBlocks: 3 }));
});

test("the same in whole chunks, in slots with cells of their own", () => {
  const blocks = 9 * (400 / 16 + 1);
  let most = 0;
  eachSeed(SEEDS, (seed) => {
    const shape = { slots: 9, ownCells: true, chunkTokens: 64, blockTokens: 16, blocks, outstandingSteps: 2 };
    const { finishes } = live(seed, shape);
    most = Math.max(most, ...[...finishes.values()].map((finish) => finish.cachedTokens));
  });
  expect(most).toBeGreaterThanOrEqual(64);
});

test("the same without a cache", () => {
  eachSeed(SEEDS, (seed) => {
    const rig = live(seed, { slots: 8, outstandingSteps: 2, reusesPrefixes: false });
    expect(rig.stored.size).toBe(0);
  });
});

test("the same in slots, with two steps under way and one adapter per step", () => {
  let most = 0;
  eachSeed(SEEDS, (seed) => {
    most = Math.max(most, live(seed, { slots: 8, outstandingSteps: 2, oneAdapterPerStep: true }).engine.mostCells);
  });
  expect(most).toBeGreaterThan(50);
});

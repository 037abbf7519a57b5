import { expect, test } from "vitest";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import type { TokenChain } from "#lib/tokens/token-chain";
import type { EngineFinish, EngineStep, GenerateRequest, KvNotice } from "../engine.ts";
import type { ImportTicket, KvOwner } from "./kv-account.ts";
import type { SchedulerOptions } from "./options.ts";
import { ENTRY_END, type PlanEntry, type StepOutcome, type StepPlan } from "./plan.ts";
import { Scheduler } from "./scheduler.ts";
import { SLOT_OP, SlotMap } from "./slots.ts";
import { pagedSpace } from "./space.ts";

const SAMPLING = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  seed: 0n,
  biasTokens: new Uint32Array(),
  biasValues: new Float32Array(),
};

function requestOf(id: number, prompt: number[], more: Partial<GenerateRequest> & { maxTokens?: number } = {}) {
  const { maxTokens = 8, ...rest } = more;
  const stopping = { maxTokens, minTokens: 0, ignoreEos: false, stopTokens: new Uint32Array() };
  const request: GenerateRequest = {
    kind: "generate",
    id,
    promptTokens: Uint32Array.from(prompt),
    generatedTokens: new Uint32Array(),
    choice: 0,
    sampling: SAMPLING,
    stopping,
    grammar: undefined,
    topLogprobs: undefined,
    adapter: undefined,
    cacheSalt: "",
    priority: 0,
    ...rest,
  };
  return request;
}

/** The content of a position is the hash of all tokens up to it. */
function mix(content: number, token: number): number {
  return Math.imul(content ^ (token + 0x9e37), 0x85ebca6b) ^ (content >>> 13);
}

const END_EVERY = 61;

/** The token that follows a content, and whether it ends the answer. */
function nextOf(content: number): { token: number; isEnd: boolean } {
  const value = (Math.imul(content, 0xc2b2ae35) >>> 8) & 0xffff;
  return { token: value % 7, isEnd: value % END_EVERY === 0 };
}

/** What a request must answer, computed alone. */
function oracle(request: GenerateRequest, contextTokens: number): { tokens: number[]; reason: string } {
  let content = request.adapter === undefined ? 1 : 2;
  for (const token of request.promptTokens) content = mix(content, token);
  const tokens: number[] = [];
  const room = contextTokens - request.promptTokens.length;
  for (;;) {
    const { token, isEnd } = nextOf(content);
    if (isEnd) return { tokens, reason: "end" };
    tokens.push(token);
    content = mix(content, token);
    if (tokens.length >= Math.min(room, request.stopping.maxTokens)) return { tokens, reason: "length" };
  }
}

type Cell = { readonly content: number };

/** A part of a step as an engine gets it: with the place and the tokens of the moment of planning. */
interface Job {
  readonly entry: PlanEntry;
  readonly slot: number;
  readonly blocks: readonly number[];
  readonly known: Uint32Array;
}

function holds(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

/**
 * An engine that computes contents and does nothing else: it runs plans in order, keeps cells per slot as llama.cpp does
 * (or per block, for a paged space), and finds every plan that reads what is not there.
 */
class ModelEngine {
  readonly queue: { plan: StepPlan; jobs: Job[] }[] = [];
  readonly #stores = new Map<number, Map<number, Cell>>();
  readonly #last = new Map<object, number>();
  readonly #ended = new Set<object>();
  readonly #isPaged: boolean;
  readonly #blockTokens: number;
  readonly #capacity: number;
  mostCells = 0;

  constructor(options: { isPaged: boolean; blockTokens: number; capacity: number }) {
    this.#isPaged = options.isPaged;
    this.#blockTokens = options.blockTokens;
    this.#capacity = options.capacity;
  }

  submit(plan: StepPlan): void {
    const jobs = plan.entries.map((entry) => {
      const { slot, blocks, chain } = entry.sequence;
      return { entry, slot, blocks: [...blocks], known: chain.tokens().slice() };
    });
    this.queue.push({ plan, jobs });
    for (const sequence of plan.opens) this.#ended.delete(sequence);
  }

  #store(number: number): Map<number, Cell> {
    const store = this.#stores.get(number) ?? new Map<number, Cell>();
    this.#stores.set(number, store);
    return store;
  }

  #place(job: Job, position: number): { store: Map<number, Cell>; key: number } {
    if (!this.#isPaged) return { store: this.#store(job.slot), key: position };
    const block = job.blocks[Math.floor(position / this.#blockTokens)];
    holds(block !== undefined, "a position has a block");
    return { store: this.#store(block!), key: position % this.#blockTokens };
  }

  #runOps(ops: Int32Array): void {
    for (let at = 0; at < ops.length; at += 5) {
      const [code = 0, a = 0, b = 0, c = 0, d = 0] = ops.subarray(at, at + 5);
      const from = this.#store(a);
      if (code === SLOT_OP.remove) {
        for (const position of from.keys()) if (position >= b && (c === -1 || position < c)) from.delete(position);
        continue;
      }
      for (let position = c; position < d; position++) {
        holds(from.has(position), "a copy finds what it copies");
        holds(!this.#store(b).has(position), "a copy finds its place empty");
        this.#store(b).set(position, from.get(position)!);
      }
    }
  }

  /** Runs the oldest plan. */
  run(fate: "ok" | "aborted" | "discarded" = "ok"): StepOutcome {
    const { plan, jobs } = this.queue.shift()!;
    const counts = new Uint8Array(jobs.length);
    const ends = new Uint8Array(jobs.length);
    const tokens: number[] = [];
    const base = { step: plan.step, durationUs: 1, logprobs: [], errors: [] };
    if (fate !== "discarded") this.#runOps(plan.ops);
    if (fate !== "ok") return { ...base, status: fate, counts, ends, tokens: Uint32Array.of() };
    for (const [at, job] of jobs.entries()) {
      if (this.#ended.has(job.entry.sequence)) ends[at] = ENTRY_END.skipped;
      else this.#compute(job, { at, counts, ends, tokens });
    }
    this.#countCells();
    return { ...base, status: "ok", counts, ends, tokens: Uint32Array.from(tokens) };
  }

  #compute(job: Job, out: { at: number; counts: Uint8Array; ends: Uint8Array; tokens: number[] }): void {
    const { sequence, start, count, draws } = job.entry;
    let content = sequence.request.adapter === undefined ? 1 : 2;
    for (let position = 0; position < start; position++) {
      const { store, key } = this.#place(job, position);
      content = mix(content, this.#tokenAt(job, position));
      holds(store.get(key)?.content === content, `position ${position} of ${sequence.id} holds what belongs there`);
    }
    const put = (position: number, token: number) => {
      content = mix(content, token);
      const { store, key } = this.#place(job, position);
      holds(this.#isPaged || !store.has(key), "a token finds its place empty");
      store.set(key, { content });
    };
    for (let at = 0; at < count; at++) put(start + at, this.#tokenAt(job, start + at));
    for (let draw = 0; draw < draws; draw++) {
      if (draw > 0) put(start + count + draw - 1, out.tokens.at(-1)!);
      const { token, isEnd } = nextOf(content);
      out.tokens.push(token);
      out.counts[out.at]!++;
      this.#last.set(sequence, token);
      if (!isEnd) continue;
      out.ends[out.at] = ENTRY_END.endToken;
      this.#ended.add(sequence);
      return;
    }
  }

  /** Puts the contents of imported blocks in their places. */
  put(ticket: ImportTicket, to: number): void {
    let content = ticket.owner.adapter === undefined ? 1 : 2;
    for (let position = 0; position < to * this.#blockTokens; position++) {
      content = mix(content, ticket.chain.at(position));
      if (position < ticket.from * this.#blockTokens) continue;
      const block = ticket.blocks[Math.floor(position / this.#blockTokens)]!;
      if (this.#isPaged) this.#store(block).set(position % this.#blockTokens, { content });
      else this.#store(ticket.slot).set(position, { content });
    }
  }

  #tokenAt(job: Job, position: number): number {
    if (position < job.known.length) return job.known[position]!;
    holds(job.entry.chained, "only a chained entry has a token that was unknown");
    return this.#last.get(job.entry.sequence)!;
  }

  #countCells(): void {
    if (this.#isPaged) return;
    const distinct = new Set<Cell>();
    for (const cells of this.#stores.values()) for (const cell of cells.values()) distinct.add(cell);
    this.mostCells = Math.max(this.mostCells, distinct.size);
    holds(distinct.size <= this.#capacity, "cells do not run out");
  }
}

/** A scheduler with a model engine, and what came out of them. */
class Rig {
  readonly scheduler: Scheduler;
  readonly engine: ModelEngine;
  readonly answers = new Map<number, number[]>();
  readonly finishes = new Map<number, EngineFinish>();
  readonly steps: EngineStep[] = [];
  readonly stored = new Map<bigint, number>();
  readonly options: SchedulerOptions;

  constructor(options: Partial<SchedulerOptions> & { slots?: number } = {}) {
    const { slots, ...rest } = options;
    this.options = {
      blocks: 32,
      blockTokens: 4,
      contextTokens: 64,
      maxRunning: 6,
      maxWaiting: 50,
      maxBatchTokens: 16,
      tokensPerStep: 1,
      outstandingSteps: 1,
      oneAdapterPerStep: false,
      reusesPrefixes: true,
      maxCachedBlocks: Number.POSITIVE_INFINITY,
      space: (pool) => (slots === undefined ? pagedSpace : new SlotMap(pool, { slots, blockTokens: 4 })),
      ...rest,
    };
    this.scheduler = new Scheduler(this.options);
    const capacity = this.options.blocks * this.options.blockTokens;
    this.engine = new ModelEngine({ isPaged: slots === undefined, blockTokens: this.options.blockTokens, capacity });
  }

  take(step: EngineStep | undefined): void {
    for (const notice of this.scheduler.kv.takeNotices()) this.#note(notice);
    if (!step) return;
    this.steps.push(step);
    let offset = 0;
    for (const [at, id] of step.ids.entries()) {
      const count = step.counts?.[at] ?? 1;
      holds(!this.finishes.has(id), "no token follows a finish");
      this.answers.set(id, [...(this.answers.get(id) ?? []), ...step.tokens.subarray(offset, offset + count)]);
      offset += count;
    }
    holds(offset === step.tokens.length, "counts and tokens agree");
    for (const finish of step.finishes) {
      holds(!this.finishes.has(finish.id), "a request ends once");
      this.finishes.set(finish.id, finish);
    }
  }

  #note(notice: KvNotice): void {
    if (notice.kind === "cleared") return;
    for (const hash of notice.hashes) {
      const count = (this.stored.get(hash) ?? 0) + (notice.kind === "stored" ? 1 : -1);
      holds(count === 0 || count === 1, "stored and removed take turns");
      this.stored.set(hash, count);
    }
  }

  /** Plans as much as may be under way. */
  fill(): void {
    for (let plan = this.scheduler.plan(); plan; plan = this.scheduler.plan()) {
      const tokens = plan.entries.reduce((sum, entry) => sum + entry.count, 0);
      holds(tokens <= this.options.maxBatchTokens, "a step keeps its budget");
      holds(new Set(plan.entries.map((entry) => entry.sequence.id)).size === plan.entries.length, "one entry each");
      this.engine.submit(plan);
    }
    holds(this.scheduler.runningRequests <= this.options.maxRunning, "no more run than may");
    holds(this.scheduler.outstandingSteps <= this.options.outstandingSteps, "no more steps are under way than may");
  }

  step(fate?: "ok" | "aborted" | "discarded"): void {
    this.fill();
    if (this.engine.queue.length > 0) this.take(this.scheduler.apply(this.engine.run(fate)));
    else this.take(this.scheduler.flush());
  }

  /** Steps until nothing is open. */
  finish(): void {
    for (let rounds = 0; this.scheduler.openIds().length > 0 || this.engine.queue.length > 0; rounds++) {
      holds(rounds < 5000, "it comes to an end");
      this.step();
    }
    this.take(this.scheduler.flush());
  }

  /** Everything has ended: nothing may be left behind. */
  expectNothingLeft(): void {
    const { pool } = this.scheduler.kv;
    expect(pool.usedBlocks).toBe(0);
    this.scheduler.kv.clear();
    this.take(undefined);
    expect(pool.resetBlocks).toBe(pool.totalBlocks);
    expect([...this.stored.values()].every((count) => count === 0)).toBe(true);
  }
}

const counted = (count: number, from = 0) => Array.from({ length: count }, (_, at) => (from + at) % 50);

test("a prompt is computed in chunks, then one token a step", () => {
  const rig = new Rig({ maxBatchTokens: 8 });
  const request = requestOf(1, counted(20), { maxTokens: 4 });
  rig.scheduler.submit(request);
  rig.finish();
  expect(rig.answers.get(1)).toEqual(oracle(request, 64).tokens);
  expect(rig.steps.map((step) => step.metrics.prefillTokens).slice(0, 4)).toEqual([8, 8, 4, 0]);
  expect(rig.steps.map((step) => step.metrics.decodeSequences).slice(0, 4)).toEqual([0, 0, 0, 1]);
  expect(rig.finishes.get(1)).toMatchObject({ reason: "length", promptTokens: 20, completionTokens: 4 });
  rig.expectNothingLeft();
});

test("choices of one prompt share its prefill: the others wait for its blocks", () => {
  const rig = new Rig({ maxBatchTokens: 64 });
  for (let choice = 0; choice < 4; choice++) rig.scheduler.submit(requestOf(choice, counted(21), { choice }));
  rig.finish();
  const prefill = rig.steps.reduce((sum, step) => sum + step.metrics.prefillTokens, 0);
  expect(prefill).toBe(21 + 3 * 1);
  expect([...rig.finishes.values()].map((finish) => finish.cachedTokens).sort((a, b) => a - b)).toEqual([
    0, 20, 20, 20,
  ]);
  rig.expectNothingLeft();
});

test("of a prompt that is cached in full the last block is computed again", () => {
  const rig = new Rig();
  rig.scheduler.submit(requestOf(1, counted(16)));
  rig.finish();
  expect(rig.scheduler.submit(requestOf(2, counted(16))).cachedTokens).toBe(12);
  rig.finish();
  expect(rig.finishes.get(2)!.cachedTokens).toBe(12);
  expect(rig.answers.get(2)).toEqual(rig.answers.get(1));
  rig.expectNothingLeft();
});

test("salt and adapter keep prefixes apart", () => {
  const rig = new Rig();
  rig.scheduler.submit(requestOf(1, counted(16)));
  rig.finish();
  expect(rig.scheduler.submit(requestOf(2, counted(16), { cacheSalt: "other" })).cachedTokens).toBe(0);
  expect(rig.scheduler.submit(requestOf(3, counted(16), { adapter: "a" })).cachedTokens).toBe(0);
  rig.finish();
  rig.expectNothingLeft();
});

test("under pressure the last admitted is preempted, and everybody still gets the right answer", () => {
  const rig = new Rig({ blocks: 12, contextTokens: 48, maxBatchTokens: 32 });
  const requests = [0, 1, 2].map((id) => requestOf(id, counted(9, id), { maxTokens: 30 }));
  for (const request of requests) rig.scheduler.submit(request);
  let mostRunning = 0;
  let preempted = false;
  for (let round = 0; round < 400 && rig.scheduler.openIds().length > 0; round++) {
    rig.step();
    mostRunning = Math.max(mostRunning, rig.scheduler.runningRequests);
    preempted ||= rig.scheduler.runningRequests < mostRunning && rig.finishes.size === 0;
  }
  expect(preempted).toBe(true);
  for (const request of requests) expect(rig.answers.get(request.id)).toEqual(oracle(request, 48).tokens);
  rig.expectNothingLeft();
});

test("higher priority runs first, and a full queue refuses", () => {
  const rig = new Rig({ maxRunning: 1, maxWaiting: 2 });
  rig.scheduler.submit(requestOf(1, counted(5)));
  rig.step();
  rig.scheduler.submit(requestOf(2, counted(5)));
  expect(rig.scheduler.submit(requestOf(3, counted(5), { priority: 1 })).queuedAhead).toBe(0);
  expect(() => rig.scheduler.submit(requestOf(4, counted(5)))).toThrow("Every place for waiting requests is taken");
  rig.finish();
  expect([...rig.finishes.keys()]).toEqual([1, 3, 2]);
});

test("an answer that was cut goes on as if it had not been", () => {
  const rig = new Rig();
  const whole = requestOf(1, counted(10), { maxTokens: 20 });
  const { tokens } = oracle(whole, 64);
  const cut = Math.floor(tokens.length / 2);
  rig.scheduler.submit({ ...whole, generatedTokens: Uint32Array.from(tokens.slice(0, cut)) });
  rig.finish();
  expect(rig.answers.get(1)).toEqual(tokens.slice(cut));
  expect(rig.finishes.get(1)!.completionTokens).toBe(tokens.length);
});

test("an answer that an earlier attempt completed ends at once", () => {
  const rig = new Rig();
  rig.scheduler.submit(requestOf(1, counted(10), { maxTokens: 3, generatedTokens: Uint32Array.of(1, 2, 3) }));
  rig.take(rig.scheduler.flush());
  expect(rig.finishes.get(1)).toMatchObject({ reason: "length", completionTokens: 3 });
  expect(rig.answers.get(1)).toBeUndefined();
});

test("steps hold one adapter where the engine wants it so, and take turns", () => {
  const rig = new Rig({ oneAdapterPerStep: true });
  const requests = [undefined, "a", undefined, "a"].map((adapter, id) => requestOf(id, counted(5, id), { adapter }));
  for (const request of requests) rig.scheduler.submit(request);
  const adapters: (string | undefined)[] = [];
  while (rig.scheduler.openIds().length > 0) {
    rig.fill();
    for (const { plan } of rig.engine.queue) {
      expect(plan.entries.every((entry) => entry.sequence.request.adapter === plan.adapter)).toBe(true);
      adapters.push(plan.adapter);
    }
    rig.step();
  }
  expect(adapters.slice(0, 4)).toEqual([undefined, "a", undefined, "a"]);
  for (const request of requests) expect(rig.answers.get(request.id) ?? []).toEqual(oracle(request, 64).tokens);
});

test("a step of killed requests alone is to be aborted, another is not", () => {
  const rig = new Rig({ outstandingSteps: 2, slots: 8 });
  rig.scheduler.submit(requestOf(1, counted(9)));
  rig.fill();
  expect(rig.scheduler.cancel([1], "stop")).toBeUndefined();
  rig.scheduler.submit(requestOf(2, counted(9, 3)));
  rig.scheduler.submit(requestOf(3, counted(9, 6)));
  while (rig.engine.queue.some(({ plan }) => !plan.entries.some((entry) => entry.sequence.id === 3))) rig.step();
  rig.fill();
  expect(rig.scheduler.cancel([2], "kill")).toBeUndefined();
  expect(rig.scheduler.cancel([3], "kill")).toBe(rig.engine.queue[0]!.plan.step);
  rig.step("aborted");
  while (rig.engine.queue.length > 0) rig.step("discarded");
  rig.finish();
  rig.expectNothingLeft();
});

/** Brings the blocks of a chain in, as an engine does: ops first, then bytes, then the account. */
function importBlocks(rig: Rig, chain: TokenChain, owner: KvOwner): void {
  const ticket = rig.scheduler.kv.beginImport(chain, chain.completeBlocks, owner);
  if (!ticket) return;
  while (rig.engine.queue.length > 0) rig.take(rig.scheduler.apply(rig.engine.run()));
  const plan = rig.scheduler.plan({ flush: true });
  if (plan) rig.engine.submit(plan);
  holds(!rig.scheduler.kv.space.hasOps, "a plan takes all ops along");
  while (rig.engine.queue.length > 0) rig.take(rig.scheduler.apply(rig.engine.run()));
  const whole = chain.completeBlocks;
  const arrived = whole - (whole > ticket.from && whole % 3 === 0 ? 1 : 0);
  rig.engine.put(ticket, arrived);
  rig.scheduler.kv.finishImport(ticket, arrived);
}

/** One seeded life: requests with shared prefixes come and go, are cancelled and killed, and memory is short. */
function live(seed: number, options: Partial<SchedulerOptions> & { slots?: number }): Rig {
  const chance: Chance = new SeededChance(BigInt(seed));
  const rig = new Rig({
    ...options,
    maxBatchTokens: 6 + pick(chance, 30),
    blocks: 12 + pick(chance, 14),
    contextTokens: 48,
  });
  const requests = new Map<number, GenerateRequest>();
  const cancelled = new Set<number>();
  const pins: (() => void)[] = [];
  for (let round = 0; round < 140; round++) {
    if (pick(chance, 3) === 0) {
      const prompt = [
        ...counted(pick(chance, 4) * 4, pick(chance, 2) * 7),
        ...counted(1 + pick(chance, 12), pick(chance, 3)),
      ];
      const request = requestOf(round, prompt, {
        maxTokens: 1 + pick(chance, 24),
        priority: pick(chance, 2),
        adapter: pick(chance, 4) === 0 ? "a" : undefined,
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
      if (chain && rig.options.reusesPrefixes) importBlocks(rig, chain, request);
    }
    rig.step();
  }
  for (const unpin of pins) unpin();
  rig.finish();
  for (const [id, request] of requests) {
    const finish = rig.finishes.get(id);
    expect(finish, `request ${id} of seed ${seed} ends`).toBeDefined();
    const wanted = oracle(request, 48);
    const answer = rig.answers.get(id) ?? [];
    expect(answer).toEqual(wanted.tokens.slice(0, cancelled.has(id) ? answer.length : undefined));
    if (finish!.reason !== "cancelled") expect(finish!.reason).toBe(wanted.reason);
    expect(finish!.completionTokens).toBe(answer.length);
  }
  rig.expectNothingLeft();
  return rig;
}

const SEEDS = 60 * Number(process.env.TEST_SCALE ?? 1);

test("whatever comes, every request ends once with the right answer: paged, one step at a time", () => {
  for (let seed = 0; seed < SEEDS; seed++) live(seed, {});
});

test("the same with several tokens a step", () => {
  for (let seed = 0; seed < SEEDS; seed++) live(seed, { tokensPerStep: 5 });
});

test("the same with a small cache", () => {
  for (let seed = 0; seed < SEEDS; seed++) live(seed, { slots: 8, outstandingSteps: 2, maxCachedBlocks: 3 });
});

test("the same without a cache", () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const rig = live(seed, { slots: 8, outstandingSteps: 2, reusesPrefixes: false });
    expect(rig.stored.size).toBe(0);
  }
});

test("the same in slots, with two steps under way and one adapter per step", () => {
  let most = 0;
  for (let seed = 0; seed < SEEDS; seed++) {
    most = Math.max(most, live(seed, { slots: 8, outstandingSteps: 2, oneAdapterPerStep: true }).engine.mostCells);
  }
  expect(most).toBeGreaterThan(50);
});

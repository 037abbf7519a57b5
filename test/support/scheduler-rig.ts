import { expect } from "vitest";
import type { EngineFinish, EngineStep, GenerateRequest, KvNotice } from "#lib/engines/engine";
import type { ImportTicket } from "#lib/engines/schedule/kv-account";
import type { SchedulerOptions } from "#lib/engines/schedule/options";
import {
  ENTRY_END,
  type OutcomeLogprobs,
  type PlanEntry,
  type StepOutcome,
  type StepPlan,
} from "#lib/engines/schedule/plan";
import { Scheduler } from "#lib/engines/schedule/scheduler";
import { SLOT_OP, SlotMap } from "#lib/engines/schedule/slots";
import { pagedSpace } from "#lib/engines/schedule/space";
import { GREEDY } from "#lib/tokens/sampling";

/** A greedy request for `maxTokens` tokens (default 8). */
export function requestOf(id: number, prompt: number[], more: Partial<GenerateRequest> & { maxTokens?: number } = {}) {
  const { maxTokens = 8, ...rest } = more;
  const stopping = { maxTokens, minTokens: 0, ignoreEos: false, stopTokens: new Uint32Array() };
  const request: GenerateRequest = {
    kind: "generate",
    id,
    promptTokens: Uint32Array.from(prompt),
    generatedTokens: new Uint32Array(),
    choice: 0,
    sampling: GREEDY,
    stopping,
    guidance: undefined,
    topLogprobs: undefined,
    promptLogprobs: false,
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

/** One state in so many ends an answer. */
const END_EVERY = 61;

/** The token that follows a content, and whether it ends the answer. */
function nextOf(content: number): { token: number; isEnd: boolean } {
  const value = (Math.imul(content, 0xc2b2ae35) >>> 8) & 0xffff;
  return { token: value % 7, isEnd: value % END_EVERY === 0 };
}

/** What a request must answer, computed alone. */
export function oracle(request: GenerateRequest, contextTokens: number): { tokens: number[]; reason: string } {
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

/** How likely the tokens of a prompt are made out to be, from the second on: a number of what is before each. */
export function oracleScores({ promptTokens, adapter }: GenerateRequest): number[] {
  let content = adapter === undefined ? 1 : 2;
  return [...promptTokens.subarray(0, -1)].map((token, at) => {
    content = mix(content, token);
    return scoreOf(content, promptTokens[at + 1]!);
  });
}

function scoreOf(content: number, token: number): number {
  return mix(content, token) & 0xffff;
}

type Cell = { readonly content: number };

/** A part of a step as an engine gets it: with the place and the tokens of the moment of planning. */
interface Job {
  readonly entry: PlanEntry;
  readonly slot: number;
  readonly blocks: readonly number[];
  readonly known: Uint32Array;
}

/** Throws what does not hold; cheaper than an expectation, for what is checked a million times. */
export function holds(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

/** Throws when two numbers, texts or lists of them differ; as cheap. */
export function same(
  found: string | number | readonly number[],
  wanted: string | number | readonly number[],
  what: string,
): void {
  if (String(found) !== String(wanted)) throw new Error(`${what}: ${found}, not ${wanted}`);
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
    const promptLogprobs: OutcomeLogprobs[] = [];
    const base = { step: plan.step, durationUs: 1, logprobs: [], promptLogprobs, errors: [] };
    if (fate !== "discarded") this.#runOps(plan.ops);
    if (fate !== "ok") return { ...base, status: fate, counts, ends, tokens: Uint32Array.of() };
    for (const [at, job] of jobs.entries()) {
      if (this.#ended.has(job.entry.sequence)) ends[at] = ENTRY_END.skipped;
      else this.#compute(job, { at, counts, ends, tokens, promptLogprobs });
    }
    this.#countCells();
    return { ...base, status: "ok", counts, ends, tokens: Uint32Array.from(tokens) };
  }

  #compute(
    job: Job,
    out: { at: number; counts: Uint8Array; ends: Uint8Array; tokens: number[]; promptLogprobs: OutcomeLogprobs[] },
  ): void {
    const { sequence, start, count, draws, scoreStart, scores } = job.entry;
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
    const chosen: number[] = [];
    for (let position = start; position < start + count; position++) {
      put(position, this.#tokenAt(job, position));
      const next = position + 1;
      if (next >= scoreStart && next < scoreStart + scores) chosen.push(scoreOf(content, this.#tokenAt(job, next)));
    }
    const none = { topTokens: Uint32Array.of(), topValues: Float32Array.of() };
    if (scores > 0) out.promptLogprobs.push({ entry: out.at, chosen: Float32Array.from(chosen), ...none });
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

  /** Puts the contents of imported blocks in their places, those from index `from` on. */
  put(ticket: ImportTicket, from: number, to: number): void {
    let content = ticket.owner.adapter === undefined ? 1 : 2;
    for (let position = 0; position < to * this.#blockTokens; position++) {
      content = mix(content, ticket.chain.at(position));
      if (position < from * this.#blockTokens) continue;
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
export class Rig {
  readonly scheduler: Scheduler;
  readonly engine: ModelEngine;
  readonly answers = new Map<number, number[]>();
  readonly scores = new Map<number, number[]>();
  readonly finishes = new Map<number, EngineFinish>();
  readonly steps: EngineStep[] = [];
  readonly stored = new Map<bigint, number>();
  readonly options: SchedulerOptions;

  constructor(options: Partial<SchedulerOptions> & { slots?: number; ownCells?: boolean } = {}) {
    const { slots, ownCells = false, ...rest } = options;
    const { blockTokens = 4 } = options;
    this.options = {
      blocks: 32,
      blockTokens: 4,
      contextTokens: 64,
      maxRunning: 6,
      maxWaiting: 50,
      maxBatchTokens: 16,
      maxScoredTokens: 8,
      tokensPerStep: 1,
      outstandingSteps: 1,
      oneAdapterPerStep: false,
      reusesPrefixes: true,
      maxCachedBlocks: Number.POSITIVE_INFINITY,
      chunkTokens: 0,
      space: (pool) => (slots === undefined ? pagedSpace : new SlotMap(pool, { slots, blockTokens, ownCells })),
      ...rest,
    };
    this.scheduler = new Scheduler(this.options);
    const capacity = this.options.blocks * blockTokens;
    this.engine = new ModelEngine({ isPaged: slots === undefined, blockTokens, capacity });
  }

  take(step: EngineStep | undefined): void {
    for (const notice of this.scheduler.kv.takeNotices()) this.#note(notice);
    if (!step) return;
    this.steps.push(step);
    for (const { id, position, chosen } of step.promptLogprobs) {
      const known = this.scores.get(id) ?? [];
      holds(position === known.length + 1, "each token of a prompt is scored once, in order");
      holds(!this.answers.has(id) && !this.finishes.has(id), "a prompt is scored before its answer");
      this.scores.set(id, [...known, ...chosen]);
    }
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
    if (notice.kind === "cleared") {
      this.stored.clear();
      return;
    }
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
      const scores = plan.entries.reduce((sum, entry) => sum + entry.scores, 0);
      holds(scores <= this.options.maxScoredTokens, "a step scores no more than it may");
      holds(tokens <= this.options.maxBatchTokens, "a step keeps its budget");
      holds(new Set(plan.entries.map((entry) => entry.sequence.id)).size === plan.entries.length, "one entry each");
      if (this.options.chunkTokens > 0) for (const entry of plan.entries) this.#checkCut(entry);
      this.engine.submit(plan);
    }
    holds(this.scheduler.runningRequests <= this.options.maxRunning, "no more run than may");
    holds(this.scheduler.outstandingSteps <= this.options.outstandingSteps, "no more steps are under way than may");
  }

  /** Whatever ran before, the cuts of a sequence lie where they would have lain alone. */
  #checkCut({ sequence, start, count }: PlanEntry): void {
    const { chunkTokens } = this.options;
    const whole = Math.floor(sequence.request.promptTokens.length / chunkTokens) * chunkTokens;
    if (start >= whole) holds(count < 64, "what is no whole chunk is computed in short entries");
    else holds(start % chunkTokens === 0 && count % chunkTokens === 0, "whole chunks begin and end where chunks do");
    holds(start >= whole || start + count <= whole, "a chunk and what follows are two entries");
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

/** So many prompt tokens; different ones from another start. */
export const counted = (count: number, from = 0) => Array.from({ length: count }, (_, at) => (from + at) % 50);

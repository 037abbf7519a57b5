import { assert, StatorError } from "#lib/base/errors";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { TokenChain } from "#lib/tokens/token-chain";
import type { Admission, EndReason, EngineStep, GenerateRequest, StepMetrics } from "../engine.ts";
import { Delivery, type TokenRange } from "./delivery.ts";
import { KvAccount, wholeChunks } from "./kv-account.ts";
import type { KvOwner } from "./kv-notices.ts";
import { checkSchedulerOptions, type SchedulerOptions, TILE_TOKENS } from "./options.ts";
import {
  countEntries,
  createEntry,
  ENTRY_END,
  type OutcomeLogprobs,
  type PlanEntry,
  type StepOutcome,
  type StepPlan,
} from "./plan.ts";
import { Sequence } from "./sequence.ts";
import { WaitingList } from "./waiting-list.ts";

/** Waiting requests that are looked at per step; those that wait for another's block are passed over. */
const ADMIT_LOOKAHEAD = 64;
const MAX_NO_SPACE_RUNS = 3;

/** What one entry came to. */
interface EntryResult {
  /** Drawn tokens of all entries; this one's are `from` to `to - 1`. */
  readonly tokens: Uint32Array;
  readonly from: number;
  readonly to: number;
  readonly end: number;
  readonly logprobs: OutcomeLogprobs | undefined;
  readonly promptLogprobs: OutcomeLogprobs | undefined;
  readonly error: StatorError | undefined;
}

/**
 * Continuous batching as a machine without time: requests go in, plans come out, outcomes go in, deliveries come out.
 * Each step computes one token for every running sequence that has its prompt done, and fills the rest of its budget
 * with chunks of prompts. A plan assumes that the sequences of the plan before go on; what turns out otherwise is
 * settled when the outcome is applied.
 */
export class Scheduler {
  readonly kv: KvAccount;
  readonly delivery = new Delivery();
  readonly #options: SchedulerOptions;
  readonly #isStepwise: boolean;
  readonly #hasher = new TokenHasher();
  readonly #byId = new Map<number, Sequence>();
  readonly #waiting = new WaitingList();
  readonly #running: Sequence[] = [];
  readonly #outstanding: StepPlan[] = [];
  /** Step in which sequences of an adapter were planned last. */
  readonly #servedAt = new Map<string | undefined, number>();
  #opens: Sequence[] = [];
  #closes: number[] = [];
  #steps = 0;
  #lastApplied = 0;
  #arrivals = 0;
  #admissions = 0;
  /** A step failed: nothing is planned until those submitted behind it are back. */
  #isRecovering = false;
  /** Steps in a row that found no room. */
  #noSpaceRuns = 0;
  #preemptions = 0;
  #exportUs = 0;
  #importUs = 0;

  constructor(options: SchedulerOptions) {
    checkSchedulerOptions(options);
    this.#options = options;
    this.#isStepwise = options.allocation === "stepwise";
    this.kv = new KvAccount(options);
  }

  get runningRequests(): number {
    return this.#running.length;
  }

  get waitingRequests(): number {
    return this.#waiting.size;
  }

  /** Plans under way. */
  get outstandingSteps(): number {
    return this.#outstanding.length;
  }

  /** Open requests that run on an adapter. */
  countOpen(adapter: string): number {
    let count = 0;
    for (const sequence of this.#byId.values()) if (sequence.request.adapter === adapter) count++;
    return count;
  }

  /** Ids of all open requests. */
  openIds(): number[] {
    return [...this.#byId.keys()];
  }

  /** A chain that names its blocks as the scheduler does. Copies the tokens. */
  createChain(tokens: Uint32Array, owner: KvOwner, room = 0): TokenChain {
    const seed = hashSeed(owner.cacheSalt, owner.adapter);
    return new TokenChain(this.#hasher, tokens, { blockTokens: this.#options.blockTokens, seed, room });
  }

  /** Takes a checked request, and the grammar that was made of its guidance. Throws OVERLOADED when the queue is full, INVALID_ARGUMENT when the id is in use. */
  submit(request: GenerateRequest, grammar?: string): Admission {
    const { maxRunning, maxWaiting, contextTokens } = this.#options;
    if (this.#byId.has(request.id)) throw new StatorError("INVALID_ARGUMENT", { detail: "The id is in use" });
    const isFull = this.#waiting.size >= maxWaiting + Math.max(0, maxRunning - this.#running.length);
    if (isFull) throw new StatorError("OVERLOADED", { what: "waiting requests" });
    const { stopping, generatedTokens } = request;
    const room = Math.min(stopping.maxTokens, contextTokens, generatedTokens.length + 64);
    const chain = this.#options.chain?.(request) ?? this.createChain(request.promptTokens, request, room);
    const given = Math.max(0, Math.min(generatedTokens.length, contextTokens - chain.length));
    chain.append(generatedTokens.subarray(0, given));
    const sequence = new Sequence(request, chain, { order: this.#arrivals++, contextTokens, grammar });
    this.#byId.set(request.id, sequence);
    const queuedAhead = this.#waiting.add(sequence);
    const cachedTokens = Math.min(this.kv.countCached(sequence), request.promptTokens.length);
    if (sequence.drawsLeft <= 0) this.#finish(sequence, "length");
    return { cachedTokens, queuedAhead };
  }

  /**
   * Ends requests; their finishes are in the next delivery. Returns the step to abort: the one that runs, when every
   * request in it has been ended and `mode` is kill.
   */
  cancel(ids: readonly number[], mode: "stop" | "kill"): number | undefined {
    for (const id of ids) {
      const sequence = this.#byId.get(id);
      if (sequence) this.#finish(sequence, "cancelled");
    }
    const running = this.#outstanding[0];
    if (mode !== "kill" || !running || running.entries.length === 0) return undefined;
    return running.entries.every(({ sequence }) => sequence.state === "ended") ? running.step : undefined;
  }

  /** Adds time spent moving blocks to the record of the next step. */
  addTransfer(spent: { readonly exportUs?: number; readonly importUs?: number }): void {
    this.#exportUs += spent.exportUs ?? 0;
    this.#importUs += spent.importUs ?? 0;
  }

  /**
   * The next step, or undefined when there is nothing to compute or enough is under way.
   * @param options `flush`: make a plan without entries when ops of the KV space wait
   */
  plan(options: { readonly flush?: boolean } = {}): StepPlan | undefined {
    if (this.#outstanding.length >= this.#options.outstandingSteps) return undefined;
    if (this.#isRecovering && this.#outstanding.length > 0) return undefined;
    this.#isRecovering = false;
    if (!this.#isStepwise) this.#admit();
    const preemptions = this.#preemptions;
    const adapter = this.#options.oneAdapterPerStep ? this.#nextAdapter() : undefined;
    const first = this.#planEntries(adapter);
    if (this.#isStepwise && this.#preemptions === preemptions) this.#admitInto(first);
    // Who had to go may come back with the next step.
    const steps = this.#preemptions === preemptions ? this.#stretchOf(first) : 1;
    const entries = steps === 1 ? first : first.map((entry) => ({ ...entry, draws: steps }));
    if (entries.length === 0 && !(options.flush && this.kv.space.hasOps)) return undefined;
    const step = ++this.#steps;
    this.#servedAt.set(adapter, step);
    const plan: StepPlan = {
      step,
      steps,
      adapter,
      entries,
      closes: this.#closes,
      opens: this.#opens.filter((sequence) => sequence.state === "running"),
      ops: this.kv.space.takeOps(),
      ...countEntries(entries),
      usedBlocks: this.kv.pool.usedBlocks,
    };
    this.#closes = [];
    this.#opens = [];
    for (const { sequence, start, count, draws } of entries) {
      sequence.planned = start + count + Math.max(0, draws - 1);
      sequence.plannedDraws += draws;
      sequence.inFlight++;
    }
    this.#outstanding.push(plan);
    return plan;
  }

  /** Takes the outcome of the oldest plan under way and returns what is to be told. */
  apply(outcome: StepOutcome): EngineStep {
    const plan = this.#outstanding.shift();
    assert(plan && plan.step === outcome.step, "outcomes come in the order of their plans");
    const { steps = 1 } = outcome;
    if (steps > 1) this.#steps += steps - 1;
    this.#lastApplied = outcome.step + steps - 1;
    if (outcome.status !== "ok") {
      this.#rollBack(plan, outcome.status);
      return this.delivery.take(this.#metrics(undefined, outcome.durationUs));
    }
    this.#noSpaceRuns = 0;
    const errors =
      outcome.errors.length > 0 ? new Map(outcome.errors.map(({ entry, error }) => [entry, error])) : undefined;
    const logprobs = byEntry(outcome.logprobs);
    const promptLogprobs = byEntry(outcome.promptLogprobs);
    let from = 0;
    for (const [at, entry] of plan.entries.entries()) {
      const to = from + outcome.counts[at]!;
      const result = { tokens: outcome.tokens, from, to, end: outcome.ends[at]! };
      const beside = { logprobs: logprobs?.get(at), promptLogprobs: promptLogprobs?.get(at) };
      this.#applyEntry(entry, { ...result, ...beside, error: errors?.get(at) });
      from = to;
    }
    return this.delivery.take(this.#metrics(plan, outcome.durationUs, steps));
  }

  /** What is to be told though no step ended, such as the finishes of cancelled requests. */
  flush(): EngineStep | undefined {
    return this.delivery.isEmpty ? undefined : this.delivery.take(this.#metrics(undefined, 0));
  }

  #metrics(plan: StepPlan | undefined, durationUs: number, steps = 1): StepMetrics {
    const metrics: StepMetrics = {
      step: this.#lastApplied,
      durationUs: Math.round(durationUs),
      prefillTokens: plan?.prefillTokens ?? 0,
      prefillContextTokens: plan?.prefillContextTokens ?? 0,
      decodeSequences: plan?.decodeSequences ?? 0,
      decodeContextTokens: plan ? plan.decodeContextTokens + (steps - 1) * plan.decodeSequences : 0,
      usedBlocks: this.kv.pool.usedBlocks,
      totalBlocks: this.kv.pool.totalBlocks,
      runningRequests: this.#running.length,
      waitingRequests: this.#waiting.size,
      waitingTokens: this.#waiting.tokens,
      exportUs: Math.round(this.#exportUs),
      importUs: Math.round(this.#importUs),
    };
    this.#exportUs = 0;
    this.#importUs = 0;
    return metrics;
  }

  #admit(): void {
    let index = 0;
    for (let looked = 0; looked < ADMIT_LOOKAHEAD && this.#running.length < this.#options.maxRunning; looked++) {
      const sequence = this.#waiting.at(index);
      if (!sequence) return;
      const result = sequence.inFlight > 0 ? "awaits" : this.kv.admit(sequence, this.#running.length);
      if (result === "full") return;
      if (result === "awaits") {
        index++;
        continue;
      }
      this.#begin(sequence);
    }
  }

  /** Stepwise: lets in whom the step can begin to compute, behind those that run; who is first waits for room before anybody else. */
  #admitInto(entries: PlanEntry[]): void {
    const { maxRunning, maxBatchTokens, maxScoredTokens } = this.#options;
    const left = { tokens: maxBatchTokens, scores: maxScoredTokens };
    for (const { count, scores } of entries) {
      left.tokens -= count;
      left.scores -= scores;
    }
    while (left.tokens > 0 && this.#running.length < maxRunning) {
      const sequence = this.#waiting.at(0);
      if (!sequence || this.kv.admit(sequence, 0) !== "admitted") return;
      this.#begin(sequence);
      this.#planPrompt(sequence, left, entries);
    }
  }

  /** An admitted sequence runs from here on. */
  #begin(sequence: Sequence): void {
    this.#waiting.remove(sequence);
    const cached = sequence.registered * this.#options.blockTokens;
    sequence.state = "running";
    sequence.run++;
    sequence.admitted = ++this.#admissions;
    sequence.prefillEnd = sequence.chain.length;
    sequence.planned = cached;
    sequence.computed = cached;
    if (!sequence.admittedBefore) sequence.cachedTokens = Math.min(cached, sequence.request.promptTokens.length);
    sequence.admittedBefore = true;
    this.#running.push(sequence);
    this.#opens.push(sequence);
  }

  /** The adapter whose sequences have waited longest for a step. */
  #nextAdapter(): string | undefined {
    let best: string | undefined;
    let bestStep = Number.POSITIVE_INFINITY;
    for (const sequence of this.#running) {
      const { adapter } = sequence.request;
      const servedAt = this.#servedAt.get(adapter) ?? 0;
      if (servedAt >= bestStep || !canPlan(sequence)) continue;
      best = adapter;
      bestStep = servedAt;
    }
    return best;
  }

  #planEntries(adapter: string | undefined): PlanEntry[] {
    const { oneAdapterPerStep, tokensPerStep, maxBatchTokens, maxScoredTokens } = this.#options;
    const group = this.#running.filter(
      (sequence) => canPlan(sequence) && (!oneAdapterPerStep || sequence.request.adapter === adapter),
    );
    const entries: PlanEntry[] = [];
    const left = { tokens: maxBatchTokens, scores: maxScoredTokens };
    for (const sequence of group) {
      if (sequence.remaining !== 1 || sequence.state !== "running") continue;
      const draws = Math.min(tokensPerStep, sequence.drawsLeft);
      if (!this.#makeRoom(sequence, sequence.planned + draws, entries)) continue;
      this.#enter(createEntry(sequence, 1, draws), entries);
      left.tokens--;
    }
    for (const sequence of group) {
      if (left.tokens === 0) break;
      if (sequence.remaining > 1 && sequence.state === "running") this.#planPrompt(sequence, left, entries);
    }
    return entries;
  }

  /** Plans what is left of the step for a sequence that has more than its last token to compute. */
  #planPrompt(sequence: Sequence, left: { tokens: number; scores: number }, entries: PlanEntry[]): void {
    const count = this.#tokensNow(sequence, sequence.isScoring ? Math.min(left.tokens, left.scores) : left.tokens);
    if (count === 0) return;
    const draws = count === sequence.remaining ? Math.min(this.#options.tokensPerStep, sequence.drawsLeft) : 0;
    const end = sequence.planned + count + Math.max(0, draws - 1);
    if (!this.#makeRoom(sequence, end, entries)) return;
    const entry = createEntry(sequence, count, draws);
    this.#enter(entry, entries);
    left.tokens -= count;
    left.scores -= entry.scores;
  }

  #enter(entry: PlanEntry, entries: PlanEntry[]): void {
    entries.push(entry);
    if (this.#isStepwise) this.kv.settle(entry.sequence, entry.start + entry.count);
  }

  /** Equal steps in a row with nothing to decide between them, when the first one has these entries. */
  #stretchOf(entries: readonly PlanEntry[]): number {
    const { stretchSteps = 1, blockTokens } = this.#options;
    if (entries.length === 0 || entries.length < this.#running.length) return 1;
    let steps = stretchSteps;
    for (const { sequence, start, isDecode, draws } of entries) {
      if (!isDecode || draws !== 1) return 1;
      steps = Math.min(steps, sequence.drawsLeft, blockTokens - (start % blockTokens));
    }
    return steps;
  }

  /** Tokens of a sequence that the next step computes, of at most `budget`. */
  #tokensNow(sequence: Sequence, budget: number): number {
    const { chunkTokens } = this.#options;
    if (chunkTokens === 0) return Math.min(sequence.remaining, budget);
    const whole = wholeChunks(sequence.request.promptTokens.length, chunkTokens) - sequence.planned;
    if (whole > 0) return Math.min(whole, wholeChunks(budget, chunkTokens));
    return Math.min(sequence.remaining, budget, TILE_TOKENS - 1);
  }

  /** Gets places for so many positions, preempting others when there are none. False when the sequence itself had to go. */
  #makeRoom(sequence: Sequence, positions: number, entries: readonly PlanEntry[]): boolean {
    while (!this.kv.reach(sequence, positions)) {
      const victim = this.#victim(entries);
      this.#preempt(victim ?? sequence);
      if (victim === undefined || victim === sequence) return false;
    }
    return true;
  }

  /** Who is preempted first: the lowest priority, then the last admitted; never one that has an entry already. */
  #victim(entries: readonly PlanEntry[]): Sequence | undefined {
    const planned = new Set(entries.map((entry) => entry.sequence));
    let victim: Sequence | undefined;
    for (const sequence of this.#running) {
      if (planned.has(sequence)) continue;
      if (!victim || sequence.request.priority <= victim.request.priority) victim = sequence;
    }
    return victim;
  }

  #preempt(sequence: Sequence): void {
    this.#preemptions++;
    this.#leave(sequence);
    sequence.state = "waiting";
    sequence.planned = 0;
    sequence.computed = 0;
    this.#waiting.add(sequence);
  }

  /** A running sequence gives up its place. */
  #leave(sequence: Sequence): void {
    this.#closes.push(sequence.slot);
    this.kv.drop(sequence);
    this.#running.splice(this.#running.indexOf(sequence), 1);
    sequence.run++;
  }

  #finish(sequence: Sequence, reason: EndReason, end: { stopToken?: number; error?: StatorError } = {}): void {
    const completionTokens = sequence.generated;
    if (sequence.state === "running") this.#leave(sequence);
    else this.#waiting.remove(sequence);
    sequence.state = "ended";
    this.#byId.delete(sequence.id);
    this.delivery.addFinish({
      id: sequence.id,
      reason,
      stopToken: end.stopToken,
      promptTokens: sequence.request.promptTokens.length,
      cachedTokens: sequence.cachedTokens,
      completionTokens,
      error: end.error,
    });
  }

  #applyEntry(entry: PlanEntry, result: EntryResult): void {
    const { sequence } = entry;
    const { end, tokens, from } = result;
    sequence.inFlight--;
    sequence.plannedDraws -= entry.draws;
    if (sequence.state === "ended") return;
    const isCurrent = entry.run === sequence.run;
    if (end === ENTRY_END.skipped && !isCurrent) return;
    if (end === ENTRY_END.skipped || end === ENTRY_END.failed) {
      const error = result.error ?? new StatorError("ENGINE_FAILED", { detail: "it skipped a running request" });
      this.#finish(sequence, "failed", { error });
      return;
    }
    const isEndToken = end === ENTRY_END.endToken || end === ENTRY_END.stopToken;
    const to = isEndToken ? result.to - 1 : result.to;
    for (let at = from; at < to; at++) sequence.chain.push(tokens[at]!);
    if (isCurrent) {
      // Of a stretch that ended early the rest was never begun.
      if (end === ENTRY_END.none) sequence.planned -= entry.draws - (to - from);
      sequence.computed = entry.start + entry.count + Math.max(0, result.to - from - 1);
      this.kv.settle(sequence, sequence.computed);
    } else {
      this.#waiting.addTokens(to - from);
    }
    this.#deliverScores(entry, result.promptLogprobs);
    this.#deliver(sequence.id, { tokens, from, to }, result.logprobs);
    if (end === ENTRY_END.none && (entry.draws === 0 || sequence.drawsLeft + sequence.plannedDraws > 0)) return;
    const stopToken = isEndToken ? tokens[to] : undefined;
    const reason = end === ENTRY_END.none ? "length" : end === ENTRY_END.stopToken ? "stop_token" : "end";
    this.#finish(sequence, reason, stopToken === undefined ? {} : { stopToken });
  }

  #deliver(id: number, drawn: TokenRange, logprobs: OutcomeLogprobs | undefined): void {
    const count = drawn.to - drawn.from;
    if (count === 0) return;
    this.delivery.addTokens(id, drawn);
    if (!logprobs) return;
    const top = logprobs.topTokens.length / logprobs.chosen.length;
    this.delivery.addLogprobs({
      id,
      chosen: logprobs.chosen.subarray(0, count),
      topTokens: logprobs.topTokens.subarray(0, count * top),
      topValues: logprobs.topValues.subarray(0, count * top),
    });
  }

  #deliverScores({ sequence, scoreStart, scores }: PlanEntry, logprobs: OutcomeLogprobs | undefined): void {
    if (!logprobs) return;
    assert(logprobs.chosen.length === scores, "an entry gives the log-probabilities that it was asked for");
    sequence.scored = scoreStart + scores;
    const { chosen, topTokens, topValues } = logprobs;
    this.delivery.addPromptLogprobs({ id: sequence.id, position: scoreStart, chosen, topTokens, topValues });
  }

  #rollBack(plan: StepPlan, status: Exclude<StepOutcome["status"], "ok">): void {
    this.#isRecovering = true;
    if (status === "no_space") {
      // The account says that there is room, so this is about what the engine cannot give back in parts.
      if (++this.#noSpaceRuns > MAX_NO_SPACE_RUNS)
        throw new StatorError("ENGINE_FAILED", { detail: "its cache is full" });
      this.kv.clear();
    }
    for (const { sequence, run, start, draws } of plan.entries) {
      sequence.inFlight--;
      sequence.plannedDraws -= draws;
      if (sequence.run === run) sequence.planned = Math.min(sequence.planned, start);
    }
    if (status === "discarded") this.kv.space.returnOps(plan.ops);
  }
}

/** Whether a running sequence has something to compute now. */
function canPlan(sequence: Sequence): boolean {
  return sequence.plannedDraws === 0 || sequence.drawsLeft > 0;
}

function byEntry(logprobs: readonly OutcomeLogprobs[]): ReadonlyMap<number, OutcomeLogprobs> | undefined {
  return logprobs.length > 0 ? new Map(logprobs.map((each) => [each.entry, each])) : undefined;
}

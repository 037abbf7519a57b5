import type { Clock, Timer } from "#lib/base/clock";
import { assert, StatorError } from "#lib/base/errors";
import type { TimePrior } from "#lib/perf/time-model";
import { passMsOf } from "#lib/perf/time-prior";
import type { Executor, ExecutorListener } from "../executor.ts";
import type { StepOutcome, StepPlan } from "../schedule/plan.ts";

/** What an executor without bytes is made of. */
export interface TimedExecutorOptions {
  /** KV blocks of the pool. */
  readonly blocks: number;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** How long a step takes; every step takes some time. */
  readonly times: TimePrior;
  /** What a step takes is counted as the reference's simulation counts it. */
  readonly likeReference?: boolean;
  /** A plan is one timer of it, however many steps it stands for. */
  readonly clock: Pick<Clock, "nowMs" | "after">;
}

/** No step is shorter: time goes on. */
const LEAST_STEP_MS = 1e-3;

/** Drawn tokens are nothing but counted. */
const ZEROS = new Uint32Array(65_536);

interface Running {
  readonly plan: StepPlan;
  readonly startMs: number;
  /** Of the plan's steps, those that it goes on for: fewer when somebody came. */
  steps: number;
  timer: Timer;
}

/**
 * Executes plans of the mock without making anything up: each step takes its time, and every answer is as long as it may
 * be. A plan that stands for many steps is one event; `catchUp` ends those of them that lie in the past when somebody
 * wants to see them, and `cut` lets only the one that runs go on.
 */
export class TimedExecutor implements Executor {
  readonly #options: TimedExecutorOptions;
  /** Ends of the steps of the plan that runs. */
  readonly #ends = new Float64Array(255);
  #listener: ExecutorListener | undefined;
  #running: Running | undefined;
  /** As in the mock: the next step starts when the one whose outcome is being told ended. */
  #endedMs: number | undefined;
  #passEnds: readonly number[] = [];
  #passStartMs = 0;

  constructor(options: TimedExecutorOptions) {
    this.#options = options;
  }

  /** Ends of the steps whose outcome is being told, and when the first of them began. */
  get passes(): { readonly startMs: number; readonly endsMs: readonly number[] } {
    return { startMs: this.#passStartMs, endsMs: this.#passEnds };
  }

  start(listener: ExecutorListener): void {
    this.#listener = listener;
  }

  submit(plan: StepPlan): void {
    assert(!this.#running, "one plan runs at a time");
    const { clock } = this.#options;
    const nowMs = clock.nowMs();
    const startMs = this.#endedMs ?? nowMs;
    this.#layOut(plan, startMs);
    const timer = clock.after(this.#ends[plan.steps - 1]! - nowMs, () => this.#end(this.#running!.steps, "ok"));
    this.#running = { plan, startMs, steps: plan.steps, timer };
  }

  /** Writes when each step of a plan ends. */
  #layOut(plan: StepPlan, startMs: number): void {
    const { times, blocks, blockTokens, likeReference = false } = this.#options;
    const poolTokens = blocks * blockTokens;
    const shape = { ...(likeReference ? referenceShape(plan, blockTokens) : countsOf(plan)), poolTokens };
    // Blocks in use do not grow within a plan; contexts do.
    const grownTokens = likeReference ? 0 : plan.decodeSequences;
    let atMs = startMs;
    for (let step = 0; step < plan.steps; step++) {
      atMs += Math.max(LEAST_STEP_MS, passMsOf(times, shape));
      this.#ends[step] = atMs;
      shape.decodeContextTokens += grownTokens;
    }
  }

  /** Tells of the steps that have ended by now, as past; the next one is under way. */
  catchUp(): void {
    const running = this.#running;
    if (!running || running.steps === 1) return;
    const nowMs = this.#options.clock.nowMs();
    let ended = 0;
    while (ended < running.steps - 1 && this.#ends[ended]! < nowMs) ended++;
    if (ended > 0) this.#end(ended, "ok", true);
    // One that ends at this very moment ends like any other.
    if (this.#running && this.#ends[0]! <= nowMs) this.#end(1, "ok");
  }

  /** Somebody came: the step that runs is the last of its plan. Everything before it was told. */
  cut(): void {
    const running = this.#running;
    if (!running || running.steps === 1) return;
    const { clock } = this.#options;
    running.timer.cancel();
    running.steps = 1;
    running.timer = clock.after(this.#ends[0]! - clock.nowMs(), () => this.#end(1, "ok"));
  }

  abort(step: number): void {
    if (this.#running?.plan.step !== step) return;
    this.#running.timer.cancel();
    this.#running.timer = this.#options.clock.after(0, () => this.#end(1, "aborted"));
  }

  #end(steps: number, status: "ok" | "aborted", isPast = false): void {
    const { plan, startMs, timer } = this.#running!;
    timer.cancel();
    this.#running = undefined;
    const endMs = status === "ok" ? this.#ends[steps - 1]! : this.#options.clock.nowMs();
    this.#passStartMs = startMs;
    this.#passEnds = status === "ok" ? Array.from(this.#ends.subarray(0, steps)) : [endMs];
    const counts = new Uint8Array(plan.entries.length);
    let total = 0;
    for (const [at, { draws }] of plan.entries.entries()) {
      counts[at] = status === "aborted" ? 0 : Math.min(draws, steps);
      total += counts[at];
    }
    const startOfLast = steps > 1 ? this.#ends[steps - 2]! : startMs;
    const outcome: StepOutcome = {
      ...{ step: plan.step, steps, status, isPast, counts },
      durationUs: (endMs - startOfLast) * 1000,
      tokens: total <= ZEROS.length ? ZEROS.subarray(0, total) : new Uint32Array(total),
      ends: new Uint8Array(plan.entries.length),
      ...{ logprobs: [], promptLogprobs: [], errors: [] },
    };
    this.#endedMs = endMs;
    this.#listener?.onOutcome(outcome);
    this.#endedMs = undefined;
  }

  readBlocks(): Promise<never> {
    return Promise.reject(refused("Blocks of it"));
  }

  writeBlocks(): Promise<never> {
    return Promise.reject(refused("Blocks of it"));
  }

  embed(): Promise<never> {
    return Promise.reject(refused("An embedding"));
  }

  loadAdapter(): Promise<never> {
    return Promise.reject(refused("An adapter"));
  }

  unloadAdapter(): void {}

  checkGrammar(): void {}

  async close(): Promise<void> {
    this.#running?.timer.cancel();
    this.#running = undefined;
  }
}

function countsOf({ prefillTokens, prefillContextTokens, decodeSequences, decodeContextTokens }: StepPlan) {
  return { prefillTokens, prefillContextTokens, decodeSequences, decodeContextTokens };
}

/**
 * The reference's simulation counts the tokens of prompts that are new, answers that are computed again for nothing, as so
 * many prompts times the difference of two means that it rounds down; then whoever draws, at the end of a prompt too, as one
 * who decodes; and as contexts the blocks in use, whole.
 */
function referenceShape({ entries, usedBlocks }: StepPlan, blockTokens: number) {
  const from = { prompts: 0, beforeTokens: 0, behindTokens: 0 };
  let decodeSequences = 0;
  for (const { sequence, start, count, draws } of entries) {
    if (draws > 0) decodeSequences++;
    const promptTokens = sequence.request.promptTokens.length;
    if (start >= promptTokens) continue;
    from.prompts++;
    from.beforeTokens += start;
    from.behindTokens += Math.min(start + count, promptTokens);
  }
  const meanOf = (tokens: number) => Math.floor(tokens / Math.max(1, from.prompts));
  const prefillTokens = from.prompts * (meanOf(from.behindTokens) - meanOf(from.beforeTokens));
  return { prefillTokens, prefillContextTokens: 0, decodeSequences, decodeContextTokens: usedBlocks * blockTokens };
}

function refused(feature: string): StatorError {
  return new StatorError("UNSUPPORTED_FEATURE", { feature, detail: "an engine without bytes has times alone" });
}

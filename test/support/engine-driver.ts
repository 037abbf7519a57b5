import { resolve } from "node:path";
import { loadNative, type NativeAddon } from "#lib/native/addon";
import { type Context, type ContextOptions, END, ENTRY, OP, type Sampling, type StepResult } from "#lib/native/context";
import type { Llama, Model } from "#lib/native/llama";
import { locateLlama } from "#lib/native/location";

/** The demo model of the repository. */
export const DEMO_MODEL = resolve(import.meta.dirname, "../../models/stator-demo-q8_0.gguf");

/** The addon and its library, or why a suite has to be skipped. */
export function openNative(): { addon: NativeAddon; llama: Llama; reason?: undefined } | { reason: string } {
  const native = loadNative();
  if (native.addon === undefined) return { reason: native.unavailable };
  const location = locateLlama();
  if (location.options === undefined) return { reason: location.unavailable };
  return { addon: native.addon, llama: native.addon.openLlama(location.options) };
}

/** What one request became. */
export interface Generated {
  readonly tokens: number[];
  readonly logprobs: number[];
  readonly end: number;
  readonly message: string | undefined;
}

interface Running {
  readonly slot: number;
  readonly prompt: Uint32Array;
  /** Earlier steps belong to the slot's request before this one. */
  readonly firstStep: number;
  /** Tokens whose cells exist, plans under way included. */
  planned: number;
  readonly tokens: number[];
  readonly logprobs: number[];
  readonly finish: (generated: Generated) => void;
}

/** The bytes of positions p0 .. p1-1 of a slot. */
export async function takeBlock(context: Context, slot: number, p0: number, p1: number): Promise<Uint8Array> {
  const bytes = new Uint8Array((p1 - p0) * context.kvLayout.tokenBytes);
  await context.exportBlocks(slot, p0, [bytes]);
  return bytes;
}

/** How a driver runs its steps. */
export interface DriverOptions {
  /** Steps under way at once, 1 or 2. Default 2. */
  readonly depth?: 1 | 2;
  readonly adapter?: number;
}

/**
 * Drives a context the shortest way: every step holds one token of each running request and then prompts up to the
 * batch size. No scheduler, no cache, no block table: what an engine can at best be compared with.
 */
export class EngineDriver {
  readonly context: Context;
  readonly results: StepResult[] = [];
  private readonly running = new Map<number, Running>();
  private readonly options: DriverOptions;
  private readonly idlers: (() => void)[] = [];
  private readonly ops: number[] = [];
  private step = 0;
  private underWay = 0;

  private constructor(context: Context, options: DriverOptions) {
    this.context = context;
    this.options = options;
  }

  /** Opens a context and its driver. */
  static async open(model: Model, context: ContextOptions, options: DriverOptions = {}): Promise<EngineDriver> {
    let driver: EngineDriver | undefined;
    const opened = await model.openContext(context, (result) => driver?.onStep(result));
    driver = new EngineDriver(opened, options);
    return driver;
  }

  /** Runs a request in a slot of its own. `cached` tokens of the prompt are in the slot already. */
  generate(slot: number, prompt: Uint32Array, sampling: Sampling, cached = 0): Promise<Generated> {
    const done = this.queue(slot, prompt, sampling, cached);
    this.pump();
    return done;
  }

  /** Starts requests in slots 0, 1, … so that their first steps hold all of them. */
  generateAll(requests: readonly { prompt: Uint32Array; sampling: Sampling }[]): Promise<Generated[]> {
    const done = requests.map((each, slot) => this.queue(slot, each.prompt, each.sampling, 0));
    this.pump();
    return Promise.all(done);
  }

  /** Runs ops between requests; resolves when they are done. */
  async run(ops: readonly number[]): Promise<void> {
    while (this.underWay > 0) await new Promise<void>((resolve) => this.idlers.push(resolve));
    this.underWay++;
    this.context.submitStep({ ...emptyPlan(this.step++), ops: Int32Array.from(ops) });
    await new Promise<void>((resolve) => this.idlers.push(resolve));
  }

  /** Lets the next step forget what a slot holds. */
  clear(slot: number): void {
    this.ops.push(OP.remove, slot, 0, -1, 0);
  }

  private queue(slot: number, prompt: Uint32Array, sampling: Sampling, cached: number): Promise<Generated> {
    this.context.openSequence(slot, sampling);
    return new Promise((finish) => {
      this.running.set(slot, { slot, prompt, firstStep: this.step, planned: cached, tokens: [], logprobs: [], finish });
    });
  }

  private pump(): void {
    while (this.underWay < (this.options.depth ?? 2) && this.submit()) this.underWay++;
  }

  private submit(): boolean {
    const entries = { slots: [] as number[], positions: [] as number[], counts: [] as number[], flags: [] as number[] };
    const tokens: number[] = [];
    let room = this.context.maxBatchTokens;
    for (const each of this.running.values()) {
      const left = each.prompt.length - each.planned;
      const count = left > 0 ? Math.min(left, room) : 1;
      if (count <= 0 || room <= 0) break;
      entries.slots.push(each.slot);
      entries.positions.push(each.planned);
      entries.counts.push(count);
      entries.flags.push(left > 0 ? (count === left ? ENTRY.sample : 0) : ENTRY.sample | ENTRY.chained);
      if (left > 0) tokens.push(...each.prompt.subarray(each.planned, each.planned + count));
      each.planned += count;
      room -= count;
    }
    if (entries.slots.length === 0) return false;
    this.context.submitStep({
      step: this.step++,
      adapter: this.options.adapter ?? -1,
      ops: Int32Array.from(this.ops.splice(0)),
      slots: Int32Array.from(entries.slots),
      positions: Int32Array.from(entries.positions),
      counts: Int32Array.from(entries.counts),
      flags: Uint8Array.from(entries.flags),
      tokens: Uint32Array.from(tokens),
    });
    return true;
  }

  private onStep(result: StepResult): void {
    this.underWay = Math.max(0, this.underWay - 1);
    this.results.push(result);
    for (const [index, slot] of result.slots.entries()) {
      const running = this.running.get(slot);
      if (running !== undefined && result.step >= running.firstStep) this.take(running, result, index);
    }
    this.pump();
    if (this.underWay === 0) for (const wake of this.idlers.splice(0)) wake();
  }

  private take(running: Running, result: StepResult, index: number): void {
    const token = result.tokens[index] ?? -1;
    const end = result.status === "ok" ? (result.ends[index] ?? END.error) : END.error;
    if (token >= 0) running.tokens.push(token);
    if (token >= 0 && result.logprobs !== undefined) running.logprobs.push(result.logprobs[index] ?? Number.NaN);
    if (end === END.none) return;
    this.running.delete(running.slot);
    const message = result.errors.find((error) => error.slot === running.slot)?.message ?? result.status;
    running.finish({ tokens: running.tokens, logprobs: running.logprobs, end, message });
  }
}

/** An empty step: fields that matter are given. */
export function emptyPlan(step: number): Parameters<Context["submitStep"]>[0] {
  const none = new Int32Array(0);
  return {
    step,
    adapter: -1,
    ops: none,
    slots: none,
    positions: none,
    counts: none,
    flags: new Uint8Array(0),
    tokens: new Uint32Array(0),
  };
}

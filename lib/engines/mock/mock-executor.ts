import type { Clock, Timer } from "#lib/base/clock";
import { assert, StatorError } from "#lib/base/errors";
import { CHECKSUM_SEED } from "#lib/kv/checksum";
import type { KvLayout } from "#lib/kv/layout";
import type { PassShape, TimePrior } from "#lib/perf/time-model";
import { passMsOf } from "#lib/perf/time-prior";
import { xxh3 } from "#lib/tokens/xxh3";
import type { EmbedRequest } from "../engine.ts";
import type { BlocksPlace, Executor, ExecutorListener, ReadBlocks, WrittenBlocks } from "../executor.ts";
import { sha256 } from "../model-file.ts";
import { ENTRY_END, type OutcomeLogprobs, type PlanEntry, type StepOutcome, type StepPlan } from "../schedule/plan.ts";
import type { Sequence } from "../schedule/sequence.ts";
import { type Choice, type ChoosePoint, chooseToken, scoreToken } from "./choose.ts";
import { advanceRows, MockMemory, ROW_WORDS, scramble } from "./memory.ts";
import type { MockWords } from "./words.ts";

/** Length of the mock's embeddings. */
export const MOCK_EMBEDDING_SIZE = 64;

/** The digests of a sequence's full stretches, folded so far. */
interface Fold {
  readonly run: number;
  stretches: number;
  readonly words: Int32Array;
}

/** What one step draws, entry by entry. */
interface Drawn {
  readonly counts: Uint8Array;
  readonly ends: Uint8Array;
  readonly tokens: number[];
  readonly logprobs: OutcomeLogprobs[];
  readonly promptLogprobs: OutcomeLogprobs[];
}

/** What a mock executor is made of. */
export interface MockExecutorOptions {
  /** KV blocks of the pool. */
  readonly blocks: number;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** How its bytes lie. */
  readonly layout: KvLayout;
  /** How long a step takes. */
  readonly times: TimePrior;
  /** How much longer it takes than that; asked once a step, and what it throws breaks the engine. */
  readonly lateMs?: (() => number) | undefined;
  /** A step is one timer of it. */
  readonly clock: Clock;
  /** What it says. */
  readonly words: MockWords;
}

/** A step that takes time and is late already catches up, but not in a burst with others: no engine makes two at once. */
const LATE_STEP_MS = 1;

function delayOf(leftMs: number, durationMs: number): number {
  return leftMs <= 0 && durationMs > 0 ? Math.min(LATE_STEP_MS, durationMs) : Math.max(0, leftMs);
}

/** Executes plans on made-up bytes: a step is a timer, and what it computes costs next to nothing. */
export class MockExecutor implements Executor {
  readonly memory: MockMemory;
  readonly #options: MockExecutorOptions;
  readonly #folds = new WeakMap<Sequence, Fold>();
  readonly #rows = new Int32Array(ROW_WORDS);
  readonly #embedding = new Map<Timer, (error: StatorError) => void>();
  #listener: ExecutorListener | undefined;
  #running: { plan: StepPlan; durationMs: number; endMs: number; timer: Timer } | undefined;
  /** When the step ended by the model whose outcome is being told: the next one starts then, so that late timers do not add up. */
  #endedMs: number | undefined;

  constructor(options: MockExecutorOptions) {
    this.#options = options;
    this.memory = new MockMemory(options.blocks, options.layout);
  }

  start(listener: ExecutorListener): void {
    this.#listener = listener;
  }

  submit(plan: StepPlan): void {
    assert(!this.#running, "the mock runs one step at a time");
    const { clock } = this.#options;
    const durationMs = this.#durationMs(plan);
    const nowMs = clock.nowMs();
    const endMs = (this.#endedMs ?? nowMs) + durationMs;
    const timer = clock.after(delayOf(endMs - nowMs, durationMs), () => this.#end("ok"));
    this.#running = { plan, durationMs, endMs, timer };
  }

  abort(step: number): void {
    if (this.#running?.plan.step !== step) return;
    this.#running.timer.cancel();
    const { clock } = this.#options;
    const timer = clock.after(0, () => this.#end("aborted"));
    this.#running = { ...this.#running, endMs: clock.nowMs(), timer };
  }

  #durationMs(computed: Omit<PassShape, "poolTokens">): number {
    const { times, lateMs, blocks, blockTokens } = this.#options;
    const { prefillTokens, prefillContextTokens, decodeSequences, decodeContextTokens } = computed;
    const prefill = { prefillTokens, prefillContextTokens };
    const shape = { ...prefill, decodeSequences, decodeContextTokens, poolTokens: blocks * blockTokens };
    return passMsOf(times, shape) + (lateMs?.() ?? 0);
  }

  #end(status: "ok" | "aborted"): void {
    const { plan, durationMs, endMs } = this.#running!;
    this.#running = undefined;
    const drawn: Drawn = {
      counts: new Uint8Array(plan.entries.length),
      ends: new Uint8Array(plan.entries.length),
      tokens: [],
      logprobs: [],
      promptLogprobs: [],
    };
    if (status === "ok") for (const [at, entry] of plan.entries.entries()) this.#compute(at, entry, drawn);
    const outcome: StepOutcome = {
      ...drawn,
      step: plan.step,
      status,
      durationUs: durationMs * 1000,
      tokens: Uint32Array.from(drawn.tokens),
      errors: [],
    };
    this.#endedMs = endMs;
    this.#listener?.onOutcome(outcome);
    this.#endedMs = undefined;
  }

  #compute(at: number, entry: PlanEntry, drawn: Drawn): void {
    const { sequence, start, count, draws, scoreStart, scores } = entry;
    if (sequence.run !== entry.run) {
      drawn.ends[at] = ENTRY_END.skipped;
      return;
    }
    this.#loadRows(sequence, start);
    const fold = this.#foldOf(sequence, start);
    const scored: Choice[] = [];
    for (let position = start; position < start + count; position++) {
      this.#put(sequence, fold, { position, token: sequence.chain.at(position) });
      const next = position + 1;
      if (next < scoreStart || next >= scoreStart + scores) continue;
      scored.push(scoreToken(this.#options.words, this.#point(sequence, fold, []), sequence.chain.at(next)));
    }
    if (scored.length > 0) drawn.promptLogprobs.push(logprobsOf(at, scored));
    const tokens: number[] = [];
    const choices: Choice[] = [];
    while (tokens.length < draws) {
      const last = tokens.at(-1);
      if (last !== undefined) this.#put(sequence, fold, { position: start + count + tokens.length - 1, token: last });
      const choice = this.#choose(sequence, fold, tokens);
      tokens.push(choice.token);
      choices.push(choice);
      const end = this.#endOf(sequence, choice.token);
      if (end === ENTRY_END.none) continue;
      drawn.ends[at] = end;
      break;
    }
    drawn.counts[at] = tokens.length;
    for (const token of tokens) drawn.tokens.push(token);
    const { topLogprobs } = sequence.request;
    if (topLogprobs !== undefined && tokens.length > 0) drawn.logprobs.push(logprobsOf(at, choices));
  }

  #blockAt(sequence: Sequence, position: number): number {
    return sequence.blocks[Math.floor(position / this.#options.blockTokens)]!;
  }

  /** Reads the rows before a position, or makes those before the first. */
  #loadRows(sequence: Sequence, start: number): void {
    if (start > 0) {
      const offset = (start - 1) % this.#options.blockTokens;
      this.memory.readRows(this.#blockAt(sequence, start - 1), offset, this.#rows);
      return;
    }
    let seed = 0;
    for (const byte of new TextEncoder().encode(sequence.request.adapter ?? "")) seed = scramble(seed + byte + 1);
    for (let word = 0; word < ROW_WORDS; word++) this.#rows[word] = scramble(seed + word);
  }

  /** The fold of all stretches that are full before a position. */
  #foldOf(sequence: Sequence, start: number): Fold {
    const known = this.#folds.get(sequence);
    const full = Math.floor(start / this.memory.grainTokens);
    const isOurs = known && known.run === sequence.run && known.stretches <= full;
    const fold = isOurs ? known : { run: sequence.run, stretches: 0, words: new Int32Array(2) };
    if (!isOurs) this.#folds.set(sequence, fold);
    while (fold.stretches < full) this.#foldNext(sequence, fold);
    return fold;
  }

  #foldNext(sequence: Sequence, fold: Fold): void {
    const { grainTokens } = this.memory;
    const grains = this.#options.blockTokens / grainTokens;
    const block = this.#blockAt(sequence, fold.stretches * grainTokens);
    this.memory.foldDigest(block, fold.stretches % grains, fold.words);
    fold.stretches++;
  }

  #put(sequence: Sequence, fold: Fold, at: { readonly position: number; readonly token: number }): void {
    const block = this.#blockAt(sequence, at.position);
    advanceRows(this.#rows, at.token);
    this.memory.writeRows(block, at.position % this.#options.blockTokens, this.#rows);
    if ((at.position + 1) % this.memory.grainTokens === 0) this.#foldNext(sequence, fold);
  }

  #choose(sequence: Sequence, fold: Fold, tokens: readonly number[]): Choice {
    return chooseToken(this.#options.words, this.#point(sequence, fold, tokens));
  }

  /** Where the rows are; within a prompt, as if it ended there. */
  #point(sequence: Sequence, fold: Fold, tokens: readonly number[]): ChoosePoint {
    let state = scramble(fold.words[0]! + 1) ^ fold.words[1]!;
    for (const word of this.#rows) state = scramble(state + word);
    const { request, chain } = sequence;
    const answer = () => [...chain.tokens(request.promptTokens.length), ...tokens];
    const generated = sequence.generated + tokens.length;
    return { request, state, generated, answer };
  }

  #endOf(sequence: Sequence, token: number): number {
    const { ignoreEos, stopTokens } = sequence.request.stopping;
    if (token === this.#options.words.end && !ignoreEos) return ENTRY_END.endToken;
    return stopTokens.includes(token) ? ENTRY_END.stopToken : ENTRY_END.none;
  }

  async readBlocks({ blocks }: BlocksPlace, into: readonly Uint8Array[]): Promise<ReadBlocks> {
    for (const [at, bytes] of into.entries()) this.memory.read(blocks[at]!, bytes);
    return { checksums: BigUint64Array.from(into, (bytes) => xxh3(bytes, CHECKSUM_SEED)), durationUs: 0 };
  }

  async writeBlocks(
    { blocks }: BlocksPlace,
    from: readonly Uint8Array[],
    checksums: BigUint64Array | undefined,
  ): Promise<WrittenBlocks> {
    const isWrong = (bytes: Uint8Array, at: number) => xxh3(bytes, CHECKSUM_SEED) !== checksums![at];
    const wrong = checksums ? from.findIndex(isWrong) : -1;
    const count = wrong < 0 ? from.length : wrong;
    for (let at = 0; at < count; at++) this.memory.write(blocks[at]!, from[at]!);
    return { count, durationUs: 0 };
  }

  embed(requests: readonly EmbedRequest[]): Promise<readonly Float32Array[]> {
    const { clock } = this.#options;
    const prefillTokens = requests.reduce((sum, request) => sum + request.promptTokens.length, 0);
    const prefill = { prefillTokens, prefillContextTokens: prefillTokens };
    const durationMs = this.#durationMs({ ...prefill, decodeSequences: 0, decodeContextTokens: 0 });
    const { promise, resolve, reject } = Promise.withResolvers<readonly Float32Array[]>();
    const timer = clock.after(durationMs, () => {
      this.#embedding.delete(timer);
      resolve(requests.map(embeddingOf));
    });
    this.#embedding.set(timer, reject);
    return promise;
  }

  async loadAdapter(name: string, path: string): Promise<Uint8Array> {
    return sha256("stator-mock-adapter", name, path);
  }

  unloadAdapter(): void {}

  checkGrammar(): void {}

  async close(): Promise<void> {
    this.#running?.timer.cancel();
    for (const [timer, reject] of this.#embedding) {
      timer.cancel();
      reject(new StatorError("ENGINE_FAILED", { detail: "it has been closed" }));
    }
  }
}

function logprobsOf(entry: number, choices: readonly Choice[]): OutcomeLogprobs {
  const top = choices.flatMap((choice) => choice.top);
  return {
    entry,
    chosen: Float32Array.from(choices, (choice) => choice.logprob),
    topTokens: Uint32Array.from(top, (each) => each.token),
    topValues: Float32Array.from(top, (each) => each.logprob),
  };
}

function embeddingOf(request: EmbedRequest): Float32Array {
  const rows = new Int32Array(ROW_WORDS);
  for (const token of request.promptTokens) advanceRows(rows, token);
  let state = scramble(rows[0]! ^ rows[1]! ^ rows[2]! ^ rows[3]!);
  for (const letter of request.pooling ?? "mean") state = scramble(state + letter.charCodeAt(0));
  const values = new Float32Array(MOCK_EMBEDDING_SIZE);
  for (let at = 0; at < values.length; at++) {
    state = scramble(state + at + 1);
    values[at] = state / 2 ** 31;
  }
  if (!request.normalize) return values;
  const length = Math.hypot(...values);
  return values.map((value) => value / length);
}

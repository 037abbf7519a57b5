import { asStatorError } from "#lib/base/errors";
import type { EngineFinish, EngineStep, GenerateRequest, KvNotice, StepMetrics } from "#lib/engines/engine";
import type { TimedExecutor } from "#lib/engines/mock/timed-executor";
import { createTimedMock } from "#lib/engines/mock/timed-mock";
import type { ScheduledEngine } from "#lib/engines/scheduled-engine";
import type { Log } from "#lib/host/log";
import type { PassRecord } from "#lib/perf/time-model";
import { GREEDY } from "#lib/tokens/sampling";
import type { ContentHashes } from "./content.ts";
import type { ExpectedBlocks, KeptBlocks } from "./moving/blocks.ts";
import { NamedChain } from "./named-chain.ts";
import type { Profile } from "./profile.ts";
import type { ReplayRequest } from "./replay-request.ts";
import type { GapBook } from "./report/gap-book.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** Who hears of a worker. */
export interface WorkerListener {
  /** A pass ended; on the clock it is the moment of its end. */
  onPass(pass: PassRecord): void;
  /** Blocks entered or left its pool. */
  onKv(notice: KvNotice): void;
  /** A request has so many tokens more. */
  onTokens(request: ReplayRequest, count: number): void;
  /** A request has ended; with an error if it failed. */
  onFinish(request: ReplayRequest, finish: EngineFinish): void;
}

/** What a worker is made of. */
export interface WorkerShape {
  /** How fast it is. */
  readonly profile: Profile;
  /** KV blocks of its pool. */
  readonly blocks: number;
  /** Steps that one event may stand for; 1 steps one by one. */
  readonly stretchSteps: number;
  /** Passes begin when all that comes at a moment has come. */
  readonly startsNextTurn: boolean;
  /** As in the options of a mock without bytes. */
  readonly likeReference: boolean;
}

/** What it runs on. */
export interface WorkerSurroundings {
  /** Of the whole replay. */
  readonly clock: VirtualClock;
  /** Cuts sequences into blocks. */
  readonly hashes: ContentHashes;
  /** Told of what fails. */
  readonly log: Log;
  /** Written where somebody wants to know the times between tokens. */
  readonly gaps: GapBook | undefined;
}

const NO_TOKENS = new Uint32Array(0);
const OWNER = { cacheSalt: "", adapter: undefined } as const;

/** A worker of a replay: the mock's scheduler and blocks, without tokens. */
export class ReplayWorker {
  readonly #surroundings: WorkerSurroundings;
  readonly #clock: VirtualClock;
  readonly #hashes: ContentHashes;
  readonly #engine: ScheduledEngine;
  readonly #executor: TimedExecutor;
  readonly #listener: WorkerListener;
  readonly #requests = new Map<number, ReplayRequest>();
  #isDead = false;

  constructor(shape: WorkerShape, listener: WorkerListener, surroundings: WorkerSurroundings) {
    const { clock, hashes, log } = surroundings;
    this.#surroundings = surroundings;
    const { profile, blocks, stretchSteps, startsNextTurn, likeReference } = shape;
    this.#clock = clock;
    this.#hashes = hashes;
    this.#listener = listener;
    const { blockTokens } = hashes;
    const { engine, executor } = createTimedMock({
      ...{ blocks, blockTokens, stretchSteps, startsNextTurn, likeReference, clock, log },
      ...{ contextTokens: blocks * blockTokens, maxRunning: profile.maxRunning, maxWaiting: 2 ** 31 },
      times: profile.times,
      chunkTokens: profile.chunkTokens ?? 0,
      chain: ({ id }) => this.#chainOf(this.#requests.get(id)!),
    });
    this.#engine = engine;
    this.#executor = executor;
    engine.listen({
      onStep: (step) => this.#onStep(step),
      onKv: (notice) => listener.onKv(notice),
      onFailure: (error) => {
        throw error;
      },
    });
  }

  /** Requests that have not ended. */
  get open(): number {
    return this.#requests.size;
  }

  /** It is gone, with its cache. */
  get isDead(): boolean {
    return this.#isDead;
  }

  /**
   * Takes a request with as many tokens as its answer has, for one more or for all that follow; returns what of its prompt is
   * cached now. Throws what the engine says of it.
   */
  submit(request: ReplayRequest): number {
    const { row, prompt, tokens, leg } = request;
    const id = row.index;
    this.#requests.set(id, request);
    const ask: GenerateRequest = {
      kind: "generate",
      id,
      promptTokens: prompt.tokens,
      generatedTokens: this.#hashes.tokens(tokens),
      choice: 0,
      sampling: GREEDY,
      stopping: {
        maxTokens: leg === "prefill" ? tokens + 1 : row.outputTokens,
        ignoreEos: true,
        stopTokens: NO_TOKENS,
        minTokens: 0,
      },
      ...{ guidance: undefined, topLogprobs: undefined, promptLogprobs: false, adapter: undefined, cacheSalt: "" },
      priority: row.priority,
    };
    try {
      return this.#engine.submit(ask).cachedTokens;
    } catch (error) {
      this.#requests.delete(id);
      throw asStatorError(error);
    }
  }

  /** Keeps what it has of a request's blocks. */
  keep(request: ReplayRequest): KeptBlocks {
    const isDead = () => this.#isDead;
    const engine = this.#engine;
    const { blocks, unpin } = engine.account((kv) => kv.pin(this.#chainSoFar(request).hashes()));
    return {
      get count() {
        return isDead() ? 0 : blocks.length;
      },
      letGo() {
        if (!isDead()) engine.account(unpin);
      },
    };
  }

  /** Blocks of a request that it has now, from the first one on. */
  countBlocks(request: ReplayRequest): number {
    return this.#engine.account((kv) => kv.pool.countMatch(this.#chainSoFar(request).hashes()));
  }

  /** Makes room for the first `count` blocks of a request; undefined when there is none. */
  expect(request: ReplayRequest, count: number): ExpectedBlocks | undefined {
    const chain = this.#chainSoFar(request);
    const ticket = this.#engine.account((kv) => kv.beginImport(chain, Math.min(count, chain.completeBlocks), OWNER));
    if (!ticket) return undefined;
    return {
      from: ticket.from,
      lacking: ticket.blocks.length - ticket.from,
      arrive: (came) => {
        if (!this.#isDead) this.#engine.account((kv) => kv.finishImport(ticket, ticket.from + came));
      },
    };
  }

  /** What lies in the past is told: passes and tokens up to now. */
  catchUp(): void {
    this.#executor.catchUp();
  }

  /** It is gone, with its cache; returns the requests that it had, in the order in which they came. */
  kill(): readonly ReplayRequest[] {
    this.#isDead = true;
    this.#engine.close().catch((error: unknown) => this.#surroundings.log.error("an engine did not close", { error }));
    const lost = [...this.#requests.values()];
    this.#requests.clear();
    return lost;
  }

  #chainOf(request: ReplayRequest): NamedChain {
    return new NamedChain(request.prompt, request.answer, this.#hashes);
  }

  /** With the tokens that it has by now. */
  #chainSoFar(request: ReplayRequest): NamedChain {
    const chain = this.#chainOf(request);
    if (request.tokens > 0) chain.append(this.#hashes.tokens(request.tokens));
    return chain;
  }

  #onStep({ metrics, ids, counts, finishes }: EngineStep): void {
    if (this.#isDead) return;
    this.#timeTokens(ids, counts);
    for (const [at, id] of ids.entries()) {
      const request = this.#requests.get(id);
      if (request) this.#listener.onTokens(request, counts?.[at] ?? 1);
    }
    for (const finish of finishes) {
      const request = this.#requests.get(finish.id);
      this.#requests.delete(finish.id);
      if (request) this.#listener.onFinish(request, finish);
    }
    // As a link tells it: behind what the pass brought.
    if (metrics.durationUs > 0) this.#tellPasses(metrics);
  }

  /** When tokens were there: within a stretch they come with its passes, and the times between them are the same for all. */
  #timeTokens(ids: EngineStep["ids"], counts: EngineStep["counts"]): void {
    const { gaps } = this.#surroundings;
    const { endsMs } = this.#executor.passes;
    const going = new Uint32Array(endsMs.length);
    for (const [at, id] of ids.entries()) {
      const request = this.#requests.get(id);
      if (!request) continue;
      const count = counts?.[at] ?? 1;
      if (request.lastMs !== undefined) gaps?.add(endsMs[0]! - request.lastMs);
      if (request.tokens < 2) request.secondMs = endsMs[1 - request.tokens];
      request.lastMs = endsMs[count - 1]!;
      for (let pass = 1; pass < count; pass++) going[pass]!++;
    }
    for (let pass = 1; pass < endsMs.length; pass++) {
      if (going[pass]! > 0) gaps?.add(endsMs[pass]! - endsMs[pass - 1]!, going[pass]);
    }
  }

  /** A stretch is told pass by pass, each at the moment of its end. What the last left holds for all of them. */
  #tellPasses(metrics: StepMetrics): void {
    const { startMs, endsMs } = this.#executor.passes;
    let beginMs = startMs;
    for (const [at, endMs] of endsMs.entries()) {
      const later = endsMs.length - 1 - at;
      const pass: PassRecord = {
        ...metrics,
        rank: 0,
        durationUs: Math.round((endMs - beginMs) * 1000),
        decodeContextTokens: metrics.decodeContextTokens - later * metrics.decodeSequences,
        mergedSteps: 0,
      };
      this.#clock.as(Math.min(endMs, this.#clock.nowMs()), () => this.#listener.onPass(pass));
      beginMs = endMs;
    }
  }
}

import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { pick } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import type { Registration } from "#lib/discovery/discovery";
import type { Engine, EngineCard, KvNotice } from "#lib/engines/engine";
import type { MockModel } from "#lib/engines/mock/mock-engine";
import { noTracer } from "#lib/host/telemetry";
import type { WorkerChannel } from "#lib/link/link";
import { TokenHasher } from "#lib/tokens/block-hash";
import { type Board, createBoard } from "#lib/worker/board";
import { type KvSubscriberChannel, serveKvSubscriber } from "#lib/worker/kv-event-service";
import { KvSource } from "#lib/worker/kv-source";
import { createLinks, type Links } from "#lib/worker/links";
import { WORKER_FEATURES } from "#lib/worker/translate";
import { EngineMood } from "./engine-mood.ts";
import { SimulatedProcess, type Surroundings } from "./process.ts";
import { createEngine, MODEL, recordsOf, type Weights } from "./weights.ts";

/** How long a worker is believed without a word. */
const LEASE_MS = 3_000;
const MOST_LOAD_MS = 400;
const MAX_RUNNING = 4;
const MAX_WAITING = 6;

/** What a worker is. */
export interface WorkerPlan {
  /** Of its host, and its address. */
  readonly name: string;
  /** Odd: of this build; even: of the one before, without features. */
  readonly instanceId: bigint;
  /** What it answers depends on them. */
  readonly weights: Weights;
  /** What its mock borrows; all workers share it. */
  readonly model: MockModel;
  /** Words that requests may prefer. */
  readonly taints: readonly string[];
}

/** A worker process: the mock behind the links of `lib/worker`, published as the worker service publishes itself. */
export class SimulatedWorker extends SimulatedProcess {
  readonly plan: WorkerPlan;
  readonly mood: EngineMood;
  state: "loading" | "ready" | "draining" | "failed" | "closed" = "loading";
  board: Board | undefined;
  /** Blocks in its engine's cache, as the engine told of them, by their hashes. */
  readonly blocks = new Set<bigint>();
  readonly #links: Links;
  readonly #kvSource: KvSource;
  #engine: Engine | undefined;
  #incarnation: bigint;
  /** None at one of an older build, as half of them are. */
  readonly #features: readonly string[];
  #registration: Registration | undefined;
  #onIdle: (() => void) | undefined;
  #starting: Promise<void> = Promise.resolve();

  constructor(plan: WorkerPlan, surroundings: Surroundings) {
    super(plan.name, surroundings);
    this.plan = plan;
    this.mood = new EngineMood(this.chance);
    this.#incarnation = this.chance.id();
    this.#features = plan.instanceId % 2n === 0n ? [] : WORKER_FEATURES;
    this.#links = createLinks({
      serving: () => this.#serving(),
      introduce: () => this.#introduction(),
      cancel: (ids, mode) => this.board?.cancel(ids, mode),
      clock: this.clock,
      log: this.log,
    });
    this.#kvSource = new KvSource({
      incarnation: this.#incarnation,
      hasher: new TokenHasher(),
      clock: this.clock,
      log: this.log,
      // Little is remembered in some, and much is cut in pieces: both ways to catch up, and all of their bounds.
      limits: { ringEvents: 1 << pick(this.chance, 8), batchBlocks: 1 << (1 + pick(this.chance, 5)) },
    });
    this.network.listen(plan.name, this);
  }

  get isOpen(): boolean {
    return this.isAlive && this.state !== "closed";
  }

  /** Links that are open. */
  get links(): number {
    return this.#links.size;
  }

  /** What its events are measured by, as its card says; undefined before its engine is there. */
  get card(): EngineCard | undefined {
    return this.#engine?.card;
  }

  /** Readers of its events. */
  get subscribers(): number {
    return this.#kvSource.readers;
  }

  accept(channel: WorkerChannel, peer: string): void {
    this.#links.open(channel, peer);
  }

  acceptSubscriber(channel: KvSubscriberChannel): void {
    serveKvSubscriber(channel, { sources: [this.#kvSource], clock: this.clock });
  }

  /** Its operator clears the cache: how many blocks that were, and how many stay for requests that run. Nothing unless it is ready. */
  clearCache(): { readonly cleared: number; readonly kept: number } {
    const engine = this.state === "ready" && !this.clock.isStill ? this.#engine : undefined;
    return engine?.cache?.clear() ?? { cleared: 0, kept: 0 };
  }

  /** Publishes itself, loads and takes requests; one that cannot publish itself is a process that ends. */
  start(): void {
    this.#starting = this.#start().catch((error: unknown) => {
      this.log.warn("worker did not start", { error });
      this.kill();
    });
    this.scope.spawn("start", () => this.#starting);
  }

  async #start(): Promise<void> {
    this.#registration = await this.discovery.register(this.#records(), { ttlMs: LEASE_MS });
    this.#registration.onLapse(() => this.#lapsed());
    await this.pause(pick(this.chance, MOST_LOAD_MS));
    const { clock, log, mood, plan } = this;
    const instantTokens = 1 + pick(this.chance, 3);
    const { timing, lateMs } = mood;
    const shape = { clock, log, timing, lateMs, instantTokens, maxRunning: MAX_RUNNING, maxWaiting: MAX_WAITING };
    this.#engine = createEngine(plan.model, plan.weights, shape);
    this.#kvSource.open(this.#engine.card);
    this.board = createBoard(
      this.#engine,
      {
        onFailure: (error) => this.#failed(error),
        onMetrics: this.#links.load,
        onIdle: () => this.#onIdle?.(),
        onKv: (notice) => this.#heard(notice),
      },
      { log, tracer: noTracer },
    );
    if (this.state === "loading") this.#enter("ready");
  }

  #heard(notice: KvNotice): void {
    if (notice.kind === "cleared") this.blocks.clear();
    else for (const hash of notice.hashes) notice.kind === "stored" ? this.blocks.add(hash) : this.blocks.delete(hash);
    this.#kvSource.publish(notice);
  }

  /** SIGTERM: takes nothing new, waits for what runs, at most so long, and leaves. */
  drain(mostMs: number): void {
    if (this.state === "draining" || this.state === "closed") return;
    this.scope.spawn("drain", async () => {
      if (this.state !== "failed") this.#enter("draining");
      this.#links.notice({ draining: true, modelsChanged: false, models: [] });
      await this.#idle(mostMs);
      await this.#close();
    });
  }

  #idle(mostMs: number): Promise<void> {
    if (!this.board?.open) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.clock.after(mostMs, resolve);
      this.#onIdle = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  async #close(): Promise<void> {
    this.state = "closed";
    await this.#starting;
    await this.#registration?.close();
    const error = new StatorError("DRAINING", { what: "The worker" });
    this.#links.closeAll(this.board?.open ? error : undefined);
    this.#kvSource.close(error);
    this.board?.end(error);
    await this.#engine?.close();
    await this.exit();
  }

  #serving() {
    if (this.state === "ready" && this.#engine && this.board) {
      return { engine: this.#engine, board: this.board, names: { model: MODEL, hasAdapter: () => false } };
    }
    if (this.state === "loading") throw new StatorError("MODEL_LOADING", { model: MODEL });
    if (this.state === "failed") throw new StatorError("ENGINE_FAILED", { detail: "the world broke it" });
    throw new StatorError("DRAINING", { what: "The worker" });
  }

  #introduction() {
    return {
      instanceId: this.plan.instanceId,
      incarnation: this.#incarnation,
      models: [MODEL],
      maxRunningRequests: MAX_RUNNING,
      maxWaitingRequests: MAX_WAITING,
      totalKvBlocks: BigInt(this.#engine?.card.totalBlocks ?? 0),
      ranks: 1,
      features: [...this.#features],
      draining: this.state === "draining",
    };
  }

  #records() {
    const { name: address, plan, state } = this;
    const { instanceId, taints } = plan;
    const states = {
      loading: InstanceState.LOADING,
      ready: InstanceState.READY,
      draining: InstanceState.DRAINING,
      failed: InstanceState.FAILED,
      closed: InstanceState.DRAINING,
    } as const;
    const facts = { instanceId, taints, incarnation: this.#incarnation, address, reason: state };
    return recordsOf({ ...facts, state: states[state] }, plan.weights, this.#engine?.card);
  }

  #enter(state: "ready" | "draining" | "failed"): void {
    this.state = state;
    this.log.info("worker state", { state, incarnation: this.#incarnation });
    this.#publish();
  }

  /** Discovery repeats the last update by itself when its store is back. */
  #publish(): void {
    this.scope.spawn("publish", async () => {
      await this.#registration
        ?.update(this.#records())
        .catch((error: unknown) => this.log.debug("not published yet", { error }));
    });
  }

  #lapsed(): void {
    this.#incarnation = this.chance.id();
    this.#links.closeAll(new StatorError("STREAM_LOST", { detail: "the worker's lease lapsed" }));
    this.#kvSource.restart(this.#incarnation);
    this.#publish();
  }

  #failed(error: StatorError): void {
    this.log.error("engine failed", { error });
    this.#enter("failed");
  }
}

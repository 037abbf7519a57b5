import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Discovery, Registration } from "#lib/discovery/discovery";
import type { Engine, EngineListener } from "#lib/engines/engine";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import type { Tracer } from "#lib/host/telemetry";
import type { Introduction } from "#lib/link/worker-state";
import type { ServedService } from "#lib/rpc/service";
import type { PieceTexts } from "#lib/text/detokenizer";
import { createArtifactService } from "./artifacts.ts";
import { type Board, createBoard } from "./board.ts";
import { createLinks, type Links } from "./links.ts";
import { createControlService } from "./openengine/control.ts";
import { createInferenceService } from "./openengine/generate.ts";
import { createKvFeed, type KvFeed } from "./openengine/kv-feed.ts";
import { createOpenCalls } from "./openengine/open-calls.ts";
import { pieceTextsOf } from "./openengine/output.ts";
import { type Identity, type WorkerState, workerRecords } from "./record.ts";
import type { ModelNames } from "./translate.ts";

/** What a worker is made of. It owns nothing of this but what it opens itself. */
export interface WorkerDeps {
  /** Opens the engine; told how far it is, 0 to 1. */
  openEngine(onProgress: (fraction: number) => void): Promise<Engine>;
  readonly discovery: Discovery;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly tracer: Tracer;
  readonly version: string;
  /** Such as llama, for the record before the engine is open. */
  readonly engineName: string;
  /** Served names before the engine is open: requests for them are told to wait. */
  readonly models: readonly string[];
  /** Called at every change of state, before it is published. */
  onState(state: WorkerState): void;
}

/** A worker. */
export interface Worker {
  /** What its gRPC server answers. */
  readonly services: readonly ServedService[];
  readonly state: WorkerState;
  /** Publishes the worker and opens its engine; resolves when requests can be routed to it. Throws what the engine throws. */
  start(address: string, onProgress: (fraction: number) => void): Promise<Engine>;
  /** Takes nothing new and waits until all has ended, at most so long. */
  drain(deadlineMs: number): Promise<void>;
  close(): Promise<void>;
}

interface Served {
  readonly engine: Engine;
  readonly board: Board;
  readonly names: ModelNames;
  readonly texts: PieceTexts | undefined;
  readonly createdUnixSeconds: number;
}

/** Makes a worker that is not published yet. */
export function createWorker(deps: WorkerDeps): Worker {
  return new WorkerShell(deps);
}

class WorkerShell implements Worker {
  readonly services: readonly ServedService[];
  readonly #deps: WorkerDeps;
  readonly #links: Links;
  readonly #kvFeed: KvFeed;
  readonly #instanceId: bigint;
  #incarnation: bigint;
  #address = "";
  #state: WorkerState = { state: "loading", reason: "The model is loading." };
  #served: Served | undefined;
  #registration: Registration | undefined;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    this.#instanceId = deps.chance.id();
    this.#incarnation = deps.chance.id();
    const calls = createOpenCalls();
    this.#kvFeed = createKvFeed({ blockTokens: () => this.#served?.engine.card.blockTokens ?? 0, clock: deps.clock });
    const serving = () => this.#serving();
    this.#links = createLinks({
      serving,
      introduce: () => this.#introduction(),
      cancel: (ids, mode) => this.#served?.board.cancel(ids, mode),
      clock: deps.clock,
      log: deps.log,
      tracer: deps.tracer,
    });
    const control = createControlService({
      engine: () => this.#served?.engine,
      board: () => this.#served?.board,
      state: () => this.#state,
      calls,
      kvFeed: this.#kvFeed,
      instanceId: this.#instanceId,
      version: deps.version,
      clock: deps.clock,
      onAdapters: () => this.#adaptersChanged(),
    });
    this.services = [
      this.#links.service,
      createArtifactService(() => this.#served?.engine.card.artifacts ?? []),
      createInferenceService({ serving, calls, drawSeed: () => deps.chance.id() }),
      control,
    ];
    deps.metrics.onScrape(() => this.#scrape());
  }

  get state(): WorkerState {
    return this.#state;
  }

  async start(address: string, onProgress: (fraction: number) => void): Promise<Engine> {
    const { discovery, leaseMs, log } = this.#deps;
    this.#address = address;
    this.#registration = await discovery.register(this.#records(), { ttlMs: leaseMs });
    this.#registration.onLapse(() => this.#lapsed());
    let engine: Engine;
    try {
      engine = await this.#deps.openEngine(onProgress);
    } catch (error) {
      await this.#enter({
        state: "failed",
        reason: error instanceof Error ? error.message : "The engine did not start.",
      });
      throw error;
    }
    const listener: Pick<EngineListener, "onFailure" | "onKv"> = {
      onKv: (notice) => this.#kvFeed.publish(notice),
      onFailure: (error) => this.#engineFailed(error),
    };
    const board = createBoard(engine, listener);
    board.onMetrics((metrics) => {
      this.#links.load(metrics);
      if (board.open === 0) this.#onIdle?.();
    });
    const names = {
      model: engine.card.model,
      hasAdapter: (name: string) => engine.adapters().some((each) => each.name === name),
    };
    const createdUnixSeconds = Math.floor(this.#deps.clock.unixMs() / 1000);
    this.#served = { engine, board, names, texts: pieceTextsOf(engine), createdUnixSeconds };
    await this.#enter({ state: "ready", reason: "" });
    log.info("worker ready", {
      model: engine.card.model,
      engine: engine.card.engine,
      address,
      instance: this.#instanceId,
    });
    return engine;
  }

  async drain(deadlineMs: number): Promise<void> {
    await this.#enter({ state: "draining", reason: "The worker is shutting down." });
    this.#links.notice({ draining: true, modelsChanged: false, models: [] });
    const { board } = this.#served ?? {};
    if (!board || board.open === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      this.#deps.clock.after(deadlineMs, resolve, { keepAlive: true });
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#registration?.close();
    this.#links.closeAll(this.#served?.board.open ? new StatorError("DRAINING", { what: "The worker" }) : undefined);
    await this.#served?.engine.close();
  }

  #serving(): Served {
    if (this.#state.state === "draining") throw new StatorError("DRAINING", { what: "The worker" });
    if (this.#served && this.#state.state === "ready") return this.#served;
    if (this.#state.state === "failed") throw new StatorError("ENGINE_FAILED", { detail: this.#state.reason });
    throw new StatorError("MODEL_LOADING", { model: this.#deps.models[0] }, { retryAfterMs: 1000 });
  }

  async #enter(state: WorkerState): Promise<void> {
    this.#state = state;
    this.#deps.onState(state);
    await this.#publish();
  }

  async #publish(): Promise<void> {
    try {
      await this.#registration?.update(this.#records());
    } catch (error) {
      // Discovery repeats the last update by itself when its store is back.
      this.#deps.log.warn("discovery did not take the update", { error });
    }
  }

  /** The lease had lapsed, so others took this worker for dead: it comes back as another incarnation. */
  #lapsed(): void {
    this.#incarnation = this.#deps.chance.id();
    this.#deps.log.warn("lease lapsed, registering anew", { incarnation: this.#incarnation });
    this.#links.closeAll(new StatorError("STREAM_LOST", { detail: "the worker's lease lapsed" }));
    void this.#publish();
  }

  #engineFailed(error: StatorError): void {
    this.#deps.log.error("engine failed", { error });
    void this.#enter({ state: "failed", reason: error.message });
  }

  async #adaptersChanged(): Promise<void> {
    await this.#publish();
    this.#links.notice({ draining: false, modelsChanged: true, models: this.#models() });
  }

  #models(): string[] {
    const { engine } = this.#served ?? {};
    return engine ? [engine.card.model, ...engine.adapters().map(({ name }) => name)] : [...this.#deps.models];
  }

  #identity(): Identity {
    const { version, engineName } = this.#deps;
    return {
      instanceId: this.#instanceId,
      incarnation: this.#incarnation,
      address: this.#address,
      version,
      engine: engineName,
      models: this.#models(),
      services: this.services.map(({ service }) => service.typeName),
    };
  }

  #records() {
    const served = this.#served && {
      card: this.#served.engine.card,
      createdUnixSeconds: this.#served.createdUnixSeconds,
      adapters: this.#served.engine.adapters(),
    };
    return workerRecords(this.#identity(), this.#state, served);
  }

  #introduction(): Introduction {
    const card = this.#served?.engine.card;
    return {
      instanceId: this.#instanceId,
      incarnation: this.#incarnation,
      models: this.#models(),
      maxRunningRequests: card?.maxRunningRequests ?? 0,
      maxWaitingRequests: card?.maxWaitingRequests ?? 0,
      totalKvBlocks: BigInt(card?.totalBlocks ?? 0),
      ranks: 1,
      features: [],
      draining: this.#state.state === "draining",
    };
  }

  #scrape(): void {
    const { metrics } = this.#deps;
    for (const state of ["loading", "ready", "draining", "failed"] as const) {
      metrics.set("stator_worker_state", this.#state.state === state ? 1 : 0, { state });
    }
    metrics.set("stator_worker_links", this.#links.size);
    metrics.set("stator_worker_open_requests", this.#served?.board.open ?? 0);
    const last = this.#served?.board.metrics;
    if (!last || !this.#served) return;
    const labels = { model_name: this.#served.engine.card.model };
    metrics.set("stator_worker_steps", last.step);
    metrics.set("stator_worker_step_duration_us", last.durationUs);
    metrics.set("stator_worker_used_blocks", last.usedBlocks);
    metrics.set("stator_worker_total_blocks", last.totalBlocks);
    metrics.set("vllm:num_requests_running", last.runningRequests, labels);
    metrics.set("vllm:num_requests_waiting", last.waitingRequests, labels);
    metrics.set("vllm:kv_cache_usage_perc", last.totalBlocks ? last.usedBlocks / last.totalBlocks : 0, labels);
  }
}

import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Discovery } from "#lib/discovery/discovery";
import type { WorkerRole } from "#lib/discovery/worker-role";
import { adaptersOf } from "#lib/engines/ability";
import type { Engine, KvNotice } from "#lib/engines/engine";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { Scope } from "#lib/host/scope";
import type { Tracer } from "#lib/host/telemetry";
import type { Introduction } from "#lib/link/worker-state";
import type { ServedService } from "#lib/rpc/service";
import type { ChoiceText } from "#lib/serving/choice";
import { type BlockHasher, TokenHasher } from "#lib/tokens/block-hash";
import { type Board, createBoard } from "#lib/worker/board";
import { createKvEventService } from "#lib/worker/kv-event-service";
import { KvSource, type KvSourceLimits } from "#lib/worker/kv-source";
import { createLinks, type Links } from "#lib/worker/links";
import type { ModelNames } from "#lib/worker/translate";
import { WORKER_FEATURES } from "#lib/worker/translate";
import { createAdminService } from "./admin.ts";
import { createArtifactService } from "./artifacts.ts";
import { scrapeWorker } from "./metrics.ts";
import type { AdapterFolder } from "./openengine/adapter-folder.ts";
import { createAdapterCalls } from "./openengine/adapters.ts";
import { createControlService, loadedEngine } from "./openengine/control.ts";
import { createInferenceService } from "./openengine/generate.ts";
import { createOpenCalls } from "./openengine/open-calls.ts";
import { textOf } from "./openengine/output.ts";
import { Presence } from "./presence.ts";
import { type Identity, type WorkerState, workerRecords } from "./record.ts";

/** What a worker is made of. It owns nothing of this but what it opens itself. */
export interface WorkerDeps {
  /** Opens the engine; told how far it is, 0 to 1. The signal says that nobody waits for it any more. */
  openEngine(onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Engine>;
  /** Where it is published. */
  readonly discovery: Discovery;
  /** Others take it for dead when it was not heard of for so long. */
  readonly leaseMs: number;
  /** Of all its timers and times. */
  readonly clock: Clock;
  /** Of its identity, and of the seeds of requests that name none. */
  readonly chance: Chance;
  /** Its own lines, and those of what it opens. */
  readonly log: Log;
  /** Holds `WORKER_INSTRUMENTS`, filled at every scrape. */
  readonly metrics: Metrics;
  /** Makes one span for each request. */
  readonly tracer: Tracer;
  /** Of Stator, for its record and for GetServerInfo. */
  readonly version: string;
  /** Decides which files may be loaded as adapters. */
  readonly adapterFolder: AdapterFolder;
  /** Such as llama, for the record before the engine is open. */
  readonly engineName: string;
  /** Served names before the engine is open: requests for them are told to wait. */
  readonly models: readonly string[];
  /** Other names for the model; none unless given. */
  readonly aliases?: readonly string[];
  /** Words for it, which requests may require or prefer; none unless given. */
  readonly taints?: readonly string[];
  /** What is spelled like a control token in a message to the model is one; false unless given. */
  readonly markersInContent?: boolean;
  /** What part of requests it does; aggregated unless given. */
  readonly role?: WorkerRole;
  /** Hashes what blocks hold, for its events; the one in TypeScript unless given. */
  readonly hasher?: BlockHasher;
  /** Bounds of its events that differ from the usual ones. */
  readonly kvEvents?: Partial<KvSourceLimits>;
  /** Called with the state at the start and at every change, before it is published. */
  onState(state: WorkerState): void;
}

/** A worker. */
export interface Worker {
  /** What its gRPC server answers. */
  readonly services: readonly ServedService[];
  /** As it is now; `onState` told of it. */
  readonly state: WorkerState;
  /** Publishes the worker and opens its engine; resolves when requests can be routed to it. Throws what the engine throws, or DRAINING when it was ended meanwhile. */
  start(address: string, onProgress: (fraction: number) => void): Promise<Engine>;
  /** Takes nothing new and waits until all has ended, at most so long. */
  drain(deadlineMs: number): Promise<void>;
  /** Takes the worker off the list and ends what still runs with DRAINING. */
  close(): Promise<void>;
}

/** What there is once the engine is open. */
interface Served {
  readonly engine: Engine;
  readonly board: Board;
  readonly names: ModelNames;
  readonly text: ChoiceText;
  readonly createdUnixSeconds: number;
}

/** Makes a worker that is not published yet. */
export function createWorker(deps: WorkerDeps): Worker {
  return new WorkerShell(deps);
}

class WorkerShell implements Worker {
  readonly services: readonly ServedService[];
  readonly #deps: WorkerDeps;
  readonly #scope: Scope;
  readonly #links: Links;
  readonly #kvSource: KvSource;
  readonly #presence: Presence;
  readonly #loading = new AbortController();
  #served: Served | undefined;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(deps: WorkerDeps) {
    const { clock, chance, log, metrics } = deps;
    this.#deps = deps;
    this.#scope = new Scope("worker", log);
    this.#presence = new Presence({
      ...deps,
      scope: this.#scope,
      records: () => this.#records(),
      onState: (state) => deps.onState(state),
      onLapse: () => this.#lapsed(),
    });
    const { instanceId, incarnation } = this.#presence;
    const calls = createOpenCalls();
    const { hasher = new TokenHasher(), kvEvents: limits } = deps;
    this.#kvSource = new KvSource({ incarnation, hasher, clock, log, limits });
    const serving = () => this.#serving();
    this.#links = createLinks({
      serving,
      introduce: () => this.#introduction(),
      cancel: (ids, mode) => this.#served?.board.cancel(ids, mode),
      clock,
      log,
    });
    const served = () => this.#served;
    const adapters = createAdapterCalls({
      engineOf: () => loadedEngine({ served }),
      onAdapters: () => this.#adaptersChanged(),
      adapterFolder: deps.adapterFolder,
    });
    const control = createControlService({
      served,
      state: () => this.state,
      calls,
      kvSource: this.#kvSource,
      instanceId,
      version: deps.version,
      role: deps.role ?? "aggregated",
      clock,
      adapters,
    });
    this.services = [
      this.#links.service,
      createArtifactService(() => this.#served?.engine.card.artifacts ?? []),
      createInferenceService({ serving, calls, clock, drawSeed: () => chance.id() }),
      createKvEventService({ sources: [this.#kvSource], clock }),
      createAdminService(() => serving().engine, adapters),
      control,
    ];
    const offScrape = scrapeWorker(metrics, () => ({
      state: this.state.state,
      links: this.#links.size,
      served: this.#served && { board: this.#served.board, model: this.#served.engine.card.model },
      kvSource: this.#kvSource,
    }));
    this.#scope.defer("scrape", offScrape);
  }

  get state(): WorkerState {
    return this.#presence.state;
  }

  async start(address: string, onProgress: (fraction: number) => void): Promise<Engine> {
    const { log } = this.#deps;
    await this.#presence.open(address);
    const engine = await this.#openEngine(onProgress);
    this.#served = this.#serve(engine);
    await this.#presence.enter({ state: "ready", reason: "" });
    log.info("worker ready", {
      model: engine.card.model,
      engine: engine.card.engine,
      address,
      instance: this.#presence.instanceId,
    });
    return engine;
  }

  async #openEngine(onProgress: (fraction: number) => void): Promise<Engine> {
    const { signal } = this.#loading;
    try {
      signal.throwIfAborted();
      const engine = await this.#deps.openEngine(onProgress, signal);
      if (!signal.aborted) return engine;
      await engine.close();
    } catch (error) {
      if (signal.aborted) throw new StatorError("DRAINING", { what: "The worker" }, { cause: error });
      const reason = error instanceof Error ? error.message : "The engine did not start.";
      await this.#presence.enter({ state: "failed", reason });
      throw error;
    }
    throw new StatorError("DRAINING", { what: "The worker" });
  }

  #serve(engine: Engine): Served {
    this.#kvSource.open(engine.card);
    const listener = {
      onKv: (notice: KvNotice) => this.#kvSource.publish(notice),
      onFailure: (error: StatorError) => this.#engineFailed(error),
      onMetrics: this.#links.load,
      onIdle: () => this.#onIdle?.(),
    };
    const names = {
      model: engine.card.model,
      hasAdapter: (name: string) => adaptersOf(engine).some((each) => each.name === name),
    };
    return {
      engine,
      board: createBoard(engine, listener, this.#deps),
      names,
      text: textOf(engine),
      createdUnixSeconds: Math.floor(this.#deps.clock.unixMs() / 1000),
    };
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#loading.abort();
    // A failed worker stays one, so that others can read why.
    const published =
      this.state.state === "failed"
        ? undefined
        : this.#presence.enter({ state: "draining", reason: "The worker is shutting down." });
    // Callers need not wait until discovery has told them.
    this.#links.notice({ draining: true, modelsChanged: false, models: [] });
    await Promise.all([published, this.#idle(deadlineMs)]);
  }

  /** Resolves when no request is open, at the latest after so long. */
  #idle(deadlineMs: number): Promise<void> {
    const { board } = this.#served ?? {};
    if (!board || board.open === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#deps.clock.after(deadlineMs, resolve, { keepAlive: true });
      this.#onIdle = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#loading.abort();
    await this.#presence.close();
    const { board, engine } = this.#served ?? {};
    const error = new StatorError("DRAINING", { what: "The worker" });
    // Callers on links go on elsewhere when the link ends with an error; everybody else hears it of each request.
    this.#links.closeAll(board?.open ? error : undefined);
    this.#kvSource.close(error);
    board?.end(error);
    await engine?.close();
    await this.#scope.close();
  }

  #serving(): Served {
    if (this.state.state === "draining" || this.#closing) throw new StatorError("DRAINING", { what: "The worker" });
    if (this.#served && this.state.state === "ready") return this.#served;
    if (this.state.state === "failed") throw new StatorError("ENGINE_FAILED", { detail: this.state.reason });
    throw new StatorError("MODEL_LOADING", { model: this.#deps.models[0] }, { retryAfterMs: 1000 });
  }

  #lapsed(): void {
    this.#links.closeAll(new StatorError("STREAM_LOST", { detail: "the worker's lease lapsed" }));
    this.#kvSource.restart(this.#presence.incarnation);
  }

  #engineFailed(error: StatorError): void {
    this.#deps.log.error("engine failed", { error });
    this.#scope.spawn("publish", () => this.#presence.enter({ state: "failed", reason: error.message }));
  }

  async #adaptersChanged(): Promise<void> {
    const draining = this.state.state === "draining";
    this.#links.notice({ draining, modelsChanged: true, models: this.#models() });
    await this.#presence.publish();
  }

  #models(): string[] {
    const { engine } = this.#served ?? {};
    return engine ? [engine.card.model, ...adaptersOf(engine).map(({ name }) => name)] : [...this.#deps.models];
  }

  #identity(): Identity {
    const { version, engineName, role = "aggregated" } = this.#deps;
    return {
      instanceId: this.#presence.instanceId,
      incarnation: this.#presence.incarnation,
      address: this.#presence.address,
      version,
      engine: engineName,
      role,
      models: this.#models(),
      aliases: this.#deps.aliases ?? [],
      taints: this.#deps.taints ?? [],
      markersInContent: this.#deps.markersInContent ?? false,
      services: this.services.map(({ service }) => service.typeName),
    };
  }

  #records() {
    const served = this.#served && {
      card: this.#served.engine.card,
      createdUnixSeconds: this.#served.createdUnixSeconds,
      adapters: adaptersOf(this.#served.engine),
    };
    return workerRecords(this.#identity(), this.state, served);
  }

  #introduction(): Introduction {
    const card = this.#served?.engine.card;
    return {
      instanceId: this.#presence.instanceId,
      incarnation: this.#presence.incarnation,
      models: this.#models(),
      maxRunningRequests: card?.maxRunningRequests ?? 0,
      maxWaitingRequests: card?.maxWaitingRequests ?? 0,
      totalKvBlocks: BigInt(card?.totalBlocks ?? 0),
      ranks: 1,
      features: [...WORKER_FEATURES],
      draining: this.state.state === "draining",
    };
  }
}

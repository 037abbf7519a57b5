import { StatorError } from "#lib/base/errors";
import { adaptersOf } from "#lib/engines/ability";
import type { Engine, EngineStanding } from "#lib/engines/engine";
import { Scope } from "#lib/host/scope";
import type { Introduction } from "#lib/link/worker-state";
import type { ServedService } from "#lib/rpc/service";
import { TokenHasher } from "#lib/tokens/block-hash";
import { createKvEventService } from "#lib/worker/kv-event-service";
import { KvSource } from "#lib/worker/kv-source";
import { createLinks, type Links } from "#lib/worker/links";
import { featuresOf } from "#lib/worker/translate";
import { createAdminService } from "./admin.ts";
import { createArtifactService } from "./artifacts.ts";
import { type Scraped, scrapeWorker } from "./metrics.ts";
import { createAdapterCalls } from "./openengine/adapters.ts";
import { createControlService, loadedEngine } from "./openengine/control.ts";
import { createInferenceService } from "./openengine/generate.ts";
import { createOpenCalls } from "./openengine/open-calls.ts";
import { Presence } from "./presence.ts";
import { type Identity, type WorkerState, workerRecords } from "./record.ts";
import { RoleChange } from "./role-change.ts";
import { type Served, serveEngine } from "./served.ts";
import type { WorkerDeps } from "./worker-deps.ts";

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

/** Time to finish what runs before a role changes. */
const USUAL_DRAIN_MS = 10_000;

const READY: WorkerState = { state: "ready", reason: "" };

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
  readonly #role: RoleChange;
  readonly #loading = new AbortController();
  /** Called when no request is open. */
  readonly #idlers = new Set<() => void>();
  #served: Served | undefined;
  /** Its state as far as its engine decides it, once that is open. */
  #standing: WorkerState = READY;
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
    this.#role = this.#createRole();
    const { instanceId, incarnation } = this.#presence;
    const calls = createOpenCalls();
    const { hasher = new TokenHasher(), kvEvents: limits } = deps;
    this.#kvSource = new KvSource({ incarnation, hasher, clock, log, limits });
    const serving = () => this.#serving();
    this.#links = createLinks({
      serving,
      introduce: () => this.#introduction(),
      kept: () => this.#served?.handOff?.load,
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
      role: () => this.#role.role,
      clock,
      adapters,
    });
    this.services = [
      this.#links.service,
      createArtifactService(() => this.#served?.engine.card.artifacts ?? []),
      createInferenceService({ serving, role: () => this.#role.role, calls, clock, drawSeed: () => chance.id() }),
      createKvEventService({ sources: [this.#kvSource], clock }),
      ...(deps.transfer ? [deps.transfer.service] : []),
      createAdminService({ engineOf: () => serving().engine, adapters, role: this.#role }),
      control,
    ];
    const offScrape = scrapeWorker(metrics, () => ({
      state: this.state.state,
      links: this.#links.size,
      served: this.#scraped(),
      kvSource: this.#kvSource,
    }));
    this.#scope.defer("scrape", offScrape);
  }

  get state(): WorkerState {
    return this.#presence.state;
  }

  #scraped(): Scraped["served"] {
    if (!this.#served) return undefined;
    const { board, engine } = this.#served;
    return { board, model: engine.card.model, blocks: engine.blocks };
  }

  async start(address: string, onProgress: (fraction: number) => void): Promise<Engine> {
    const { log } = this.#deps;
    await this.#presence.open(address);
    const engine = await this.#openEngine(onProgress);
    this.#served = this.#serve(engine);
    await this.#presence.enter(this.#standing);
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
      if (!signal.aborted) return await this.#checked(engine);
      await engine.close();
    } catch (error) {
      if (signal.aborted) throw new StatorError("DRAINING", { what: "The worker" }, { cause: error });
      const reason = error instanceof Error ? error.message : "The engine did not start.";
      await this.#presence.enter({ state: "failed", reason });
      throw error;
    }
    throw new StatorError("DRAINING", { what: "The worker" });
  }

  /** Gives an engine back that cannot do what the worker is for. */
  async #checked(engine: Engine): Promise<Engine> {
    try {
      this.#role.check(engine);
      return engine;
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  #serve(engine: Engine): Served {
    return serveEngine(engine, {
      deps: this.#deps,
      scope: this.#scope,
      kvSource: this.#kvSource,
      identity: () => this.#presence,
      onFailure: (error) => this.#engineFailed(error),
      onStanding: (standing) => this.#engineStands(standing),
      onMetrics: this.#links.load,
      onFreed: () => this.#links.freed(),
      onIdle: () => {
        for (const idle of [...this.#idlers]) idle();
      },
    });
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#loading.abort();
    await this.#stop("The worker is shutting down.", deadlineMs);
  }

  async #stop(reason: string, deadlineMs: number): Promise<void> {
    // A failed worker stays one, so that others can read why.
    const published = this.state.state === "failed" ? undefined : this.#presence.enter({ state: "draining", reason });
    // Callers need not wait until discovery has told them.
    this.#links.notice({ draining: true, modelsChanged: false, models: [] });
    await Promise.all([published, this.#idle(deadlineMs)]);
  }

  /** Resolves when no request is open and others have fetched what is kept for them, at the latest after so long. */
  #idle(deadlineMs: number): Promise<void> {
    const { transfer, clock } = this.#deps;
    const { promise: isLate, resolve: late } = Promise.withResolvers<void>();
    const timer = clock.after(deadlineMs, late, { keepAlive: true });
    const idle = this.#ended(isLate).then(() => transfer?.emptied());
    return Promise.race([isLate, idle]).finally(() => timer.cancel());
  }

  /** Resolves when no request is open, or nobody waits for that any longer. */
  #ended(isLate: Promise<void>): Promise<void> {
    const { board } = this.#served ?? {};
    if (!board || board.open === 0) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idlers.add(resolve);
    return Promise.race([promise, isLate]).finally(() => this.#idlers.delete(resolve));
  }

  #createRole(): RoleChange {
    const { role = "aggregated", drainMs = USUAL_DRAIN_MS } = this.#deps;
    return new RoleChange(
      {
        engineOf: () => this.#serving().engine,
        stop: (reason, deadlineMs) => this.#pause(reason, deadlineMs),
        comeBack: (error) => this.#comeBack(error),
      },
      { role, drainMs },
    );
  }

  async #pause(reason: string, deadlineMs: number): Promise<void> {
    await this.#stop(reason, deadlineMs);
    // It may have failed, or been told to end for good.
    if (this.#loading.signal.aborted) throw new StatorError("DRAINING", { what: "The worker" });
    if (this.state.state === "failed") throw new StatorError("ENGINE_FAILED", { detail: this.state.reason });
  }

  async #comeBack(error: StatorError): Promise<void> {
    const { board } = this.#served ?? {};
    this.#presence.renew();
    // Where nothing was cut off, what was said last still leaves.
    this.#beginAnew(board?.open ? error : undefined);
    board?.interrupt(error);
    await this.#presence.enter(this.#standing);
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
    await this.#deps.transfer?.close(error);
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
    this.#beginAnew(new StatorError("STREAM_LOST", { detail: "the worker's lease lapsed" }));
  }

  /** It has another incarnation: what others follow of the one before ends. */
  #beginAnew(error: StatorError | undefined): void {
    this.#links.closeAll(error);
    this.#kvSource.restart(this.#presence.incarnation);
    this.#deps.transfer?.renewed(error ?? new StatorError("STREAM_LOST", { detail: "the worker has come back" }));
  }

  #engineFailed(error: StatorError): void {
    this.#deps.log.error("engine failed", { error });
    this.#scope.spawn("publish", () => this.#presence.enter({ state: "failed", reason: error.message }));
  }

  /** An engine in front of a server that comes and goes: while it is away requests wait for it, or go elsewhere. */
  #engineStands({ state, reason }: EngineStanding): void {
    this.#standing = state === "ready" ? READY : { state: state === "away" ? "loading" : "draining", reason };
    // Who is shutting down tells of itself.
    if (this.#loading.signal.aborted || this.state.state === "failed") return;
    this.#links.notice({ draining: state !== "ready", modelsChanged: false, models: [] });
    this.#scope.spawn("publish", () => this.#presence.enter(this.#standing));
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
    const { version, engineName } = this.#deps;
    return {
      instanceId: this.#presence.instanceId,
      incarnation: this.#presence.incarnation,
      address: this.#presence.address,
      version,
      engine: engineName,
      role: this.#role.role,
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
      features: [...featuresOf(this.#served?.handOff)],
      draining: this.state.state === "draining",
    };
  }
}

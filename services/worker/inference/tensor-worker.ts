import type { ModelInferRequest, ModelInferResponse } from "#gen/inference/infer_pb";
import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Discovery } from "#lib/discovery/discovery";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { Scope } from "#lib/host/scope";
import type { CallContext } from "#lib/rpc/call";
import type { ServedService } from "#lib/rpc/service";
import { answerShared } from "#lib/shared/answer-shared";
import type { SharedRegions } from "#lib/shared/shared-regions";
import { Presence } from "../presence.ts";
import type { Identity, WorkerState } from "../record.ts";
import { countState } from "../state-gauge.ts";
import { type InferChannel, InferStream } from "./infer-stream.ts";
import { type InferCall, Inference } from "./inference.ts";
import { TENSOR_WORKER_LIMITS, type TensorWorkerLimits } from "./limits.ts";
import { type NamedModel, ServedModels } from "./models.ts";
import { Places } from "./places.ts";
import { tensorRecords } from "./record.ts";
import { createTensorService } from "./service.ts";

/** What a worker of tensors is made of. It owns nothing of this but the models, which it opens and closes. */
export interface TensorWorkerDeps {
  /** Loads the models that it serves; called once. */
  loadModels(): Promise<readonly NamedModel[]>;
  /** Served names before they are loaded. */
  readonly names: readonly string[];
  /** Such as tensor, for the record. */
  readonly engineName: string;
  /** Memory that its callers register. */
  readonly regions: SharedRegions;
  /** Bounds that differ from the usual ones. */
  readonly limits?: Partial<TensorWorkerLimits>;
  /** Where it is published. */
  readonly discovery: Discovery;
  /** Others take it for dead when it was not heard of for so long. */
  readonly leaseMs: number;
  /** Of all its timers and times. */
  readonly clock: Clock;
  /** Of its identity. */
  readonly chance: Chance;
  /** Its own lines. */
  readonly log: Log;
  /** Holds `WORKER_INSTRUMENTS` and `TENSOR_INSTRUMENTS`. */
  readonly metrics: Metrics;
  /** Of Stator. */
  readonly version: string;
  /** Words for it, which requests may require or prefer. */
  readonly taints: readonly string[];
  /** Called with the state at the start and at every change, before it is published. */
  onState(state: WorkerState): void;
}

/** A worker of tensors, or one in front of a foreign server. */
export interface TensorWorker {
  /** What its gRPC server answers. */
  readonly services: readonly ServedService[];
  /** As it is now; `onState` told of it. */
  readonly state: WorkerState;
  /** Names of the models that answer now. */
  readonly models: readonly string[];
  /** Publishes the worker and makes its models ready. Throws why they cannot be, or DRAINING when it was ended meanwhile. */
  start(address: string): Promise<void>;
  /** Takes nothing new and waits until all has ended, at most so long. */
  drain(deadlineMs: number): Promise<void>;
  /** Takes the worker off the list and ends what still runs with DRAINING. */
  close(): Promise<void>;
}

/** Time for requests to end that nobody waits for any more: what they do then is one turn of the event loop. */
const CLOSE_MS = 1_000;

/** Makes a worker that is not published yet. */
export function createTensorWorker(deps: TensorWorkerDeps): TensorWorker {
  return new OwnTensorWorker(deps);
}

class OwnTensorWorker implements TensorWorker {
  readonly services: readonly ServedService[];
  readonly #deps: TensorWorkerDeps;
  readonly #scope: Scope;
  readonly #presence: Presence;
  readonly #inference: Inference;
  readonly #limits: TensorWorkerLimits;
  readonly #streams = new Set<InferStream>();
  readonly #abort = new AbortController();
  #served: ServedModels | undefined;
  #closing: Promise<void> | undefined;

  constructor(deps: TensorWorkerDeps) {
    this.#deps = deps;
    this.#limits = { ...TENSOR_WORKER_LIMITS, ...deps.limits };
    this.#scope = new Scope("worker", deps.log);
    this.#presence = new Presence({
      ...deps,
      scope: this.#scope,
      records: () => this.#records(),
      onState: (state) => deps.onState(state),
      // Its callers came by its address, which stays.
      onLapse() {},
    });
    const places = new Places(this.#limits);
    const models = () => this.#serving();
    const { maxBytes } = this.#limits;
    const ending = this.#abort.signal;
    this.#inference = new Inference({ ...deps, models, places, maxBytes, ending, scope: this.#scope });
    this.services = [
      createTensorService({
        models,
        inference: { answer: (request, how) => this.#answer(request, how) },
        regions: deps.regions,
        openStream: (channel, call) => this.#openStream(channel, call),
        cost: this.#limits.cost,
        version: deps.version,
      }),
    ];
    const { metrics } = deps;
    const offScrape = metrics.onScrape(() => {
      countState(metrics, this.state.state);
      metrics.set("stator_worker_tensor_models", this.models.length);
      metrics.set("stator_worker_tensor_open", this.#inference.open);
      metrics.set("stator_worker_tensor_running", places.running);
      metrics.set("stator_worker_tensor_waiting", places.waiting);
      metrics.set("stator_worker_tensor_streams", this.#streams.size);
    });
    this.#scope.defer("scrape", offScrape);
  }

  get state(): WorkerState {
    return this.#presence.state;
  }

  get models(): readonly string[] {
    return this.#served?.all.map(({ name }) => name) ?? [];
  }

  async start(address: string): Promise<void> {
    const { engineName, log } = this.#deps;
    await this.#presence.open(address);
    try {
      this.#served = await this.#open();
    } catch (error) {
      if (this.#abort.signal.aborted) throw new StatorError("DRAINING", { what: "The worker" }, { cause: error });
      const reason = error instanceof Error ? error.message : "A model could not be opened.";
      await this.#presence.enter({ state: "failed", reason });
      throw error;
    }
    await this.#presence.enter({ state: "ready", reason: "" });
    log.info("worker ready", { models: this.models, engine: engineName, address, instance: this.#presence.instanceId });
  }

  async #open(): Promise<ServedModels> {
    const { signal } = this.#abort;
    signal.throwIfAborted();
    const served = new ServedModels(await this.#deps.loadModels(), Math.floor(this.#deps.clock.unixMs() / 1000));
    for (const { name, model } of served.all) {
      signal.throwIfAborted();
      try {
        await model.open?.();
      } catch (cause) {
        if (cause instanceof StatorError) throw cause;
        const detail = `the model ${name} did not open: ${cause instanceof Error ? cause.message : "it threw"}`;
        throw new StatorError("ENGINE_FAILED", { detail }, { cause });
      }
      this.#scope.defer(`model ${name}`, () => model.close?.());
    }
    signal.throwIfAborted();
    return served;
  }

  #openStream(channel: InferChannel, call: CallContext): InferStream {
    const { clock, metrics } = this.#deps;
    const stream = new InferStream(channel, call, {
      answer: (request, how) => this.#answer(request, how),
      limits: this.#limits,
      clock,
      metrics,
      scope: this.#scope,
      onClosed: (closed) => void this.#streams.delete(closed),
    });
    this.#streams.add(stream);
    return stream;
  }

  #answer(request: ModelInferRequest, how: InferCall): AsyncGenerator<ModelInferResponse> {
    return answerShared(this.#deps.regions, request, (filled) => this.#inference.answer(filled, how));
  }

  async drain(deadlineMs: number): Promise<void> {
    const isOpening = this.#served === undefined;
    if (isOpening) this.#abort.abort();
    // A failed worker stays one, so that others can read why.
    const published =
      this.state.state === "failed"
        ? undefined
        : this.#presence.enter({ state: "draining", reason: "The worker is shutting down." });
    for (const stream of this.#streams) stream.drain();
    await Promise.all([published, this.#idle(deadlineMs)]);
  }

  /** Resolves when no request is open, at the latest after so long. */
  #idle(deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#deps.clock.after(deadlineMs, resolve, { keepAlive: true });
      this.#inference.whenIdle(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const error = new StatorError("DRAINING", { what: "The worker" });
    this.#abort.abort(error);
    await this.#presence.close();
    for (const stream of [...this.#streams]) stream.end(error);
    await this.#idle(CLOSE_MS);
    await this.#scope.close();
  }

  #serving(): ServedModels {
    const { state, reason } = this.state;
    if (state === "draining" || this.#closing) throw new StatorError("DRAINING", { what: "The worker" });
    if (state === "failed") throw new StatorError("ENGINE_FAILED", { detail: reason });
    if (this.#served && state === "ready") return this.#served;
    throw new StatorError("MODEL_LOADING", { model: this.#deps.names[0] }, { retryAfterMs: 1000 });
  }

  #records() {
    const models = this.#served?.all.map(({ facts }) => facts) ?? [];
    const { version } = this.#deps;
    const software = { name: "Stator", version };
    const standing = { models, inferenceAddress: "", maxRunning: this.#limits.maxRunning, software };
    return tensorRecords(this.#identity(), this.state, standing);
  }

  #identity(): Identity {
    const { version, taints, engineName, names } = this.#deps;
    const { instanceId, incarnation, address } = this.#presence;
    return {
      instanceId,
      incarnation,
      address,
      version,
      role: "aggregated",
      engine: engineName,
      models: this.#served ? this.models : names,
      aliases: [],
      taints,
      markersInContent: false,
      services: this.services.map(({ service }) => service.typeName),
    };
  }
}

import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import type { Discovery } from "#lib/discovery/discovery";
import { type ForeignView, sameView } from "#lib/engines/kserve/foreign-server";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { pause } from "#lib/host/pause";
import { Scope } from "#lib/host/scope";
import type { ServedService } from "#lib/rpc/service";
import { Presence } from "../presence.ts";
import type { Identity, WorkerState } from "../record.ts";
import { countState } from "../state-gauge.ts";
import { type TensorFacts, tensorRecords } from "./record.ts";
import type { TensorWorker } from "./tensor-worker.ts";

/** What a worker in front of a foreign server is made of. It owns nothing of this. */
export interface ForeignWorkerDeps {
  /** The server; each look is awaited before the next, and throws nothing. */
  readonly server: { look(): Promise<ForeignView> };
  /** host:port of its gRPC port, as frontends dial it. */
  readonly serverAddress: string;
  /** Time between two looks. */
  readonly lookMs: number;
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

/**
 * Makes a worker that computes nothing: it looks at a foreign server and publishes its models with the address that
 * frontends dial. While the server cannot be sent to, the worker says so and goes on looking.
 */
export function createForeignWorker(deps: ForeignWorkerDeps): TensorWorker {
  return new ForeignWorker(deps);
}

class ForeignWorker implements TensorWorker {
  /** Requests go past it. */
  readonly services: readonly ServedService[] = [];
  readonly #deps: ForeignWorkerDeps;
  readonly #scope: Scope;
  readonly #presence: Presence;
  /** As it was last; undefined before the first look. */
  #view: ForeignView | undefined;
  #wasReady = false;
  /** Unix seconds since which each model is there. */
  #since = new Map<string, number>();
  #closing: Promise<void> | undefined;

  constructor(deps: ForeignWorkerDeps) {
    this.#deps = deps;
    this.#scope = new Scope("worker", deps.log);
    this.#presence = new Presence({
      ...deps,
      scope: this.#scope,
      records: () => this.#records(),
      onState: (state) => deps.onState(state),
      // Nobody is connected to it.
      onLapse() {},
    });
    const offScrape = deps.metrics.onScrape(() => {
      countState(deps.metrics, this.state.state);
      deps.metrics.set("stator_worker_tensor_models", this.models.length);
    });
    this.#scope.defer("scrape", offScrape);
  }

  get state(): WorkerState {
    return this.#presence.state;
  }

  get models(): readonly string[] {
    return this.#view?.models.map(({ name }) => name) ?? [];
  }

  async start(address: string): Promise<void> {
    await this.#presence.open(address);
    await this.#look();
    this.#scope.spawn("look", (signal) => this.#follow(signal));
  }

  async drain(): Promise<void> {
    await this.#presence.enter({ state: "draining", reason: "The worker is shutting down." });
  }

  close(): Promise<void> {
    this.#closing ??= this.#presence.close().then(() => this.#scope.close());
    return this.#closing;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    for (;;) {
      await pause(this.#deps.clock, this.#deps.lookMs, signal);
      await this.#look();
    }
  }

  async #look(): Promise<void> {
    const { serverAddress: server, metrics, log, clock } = this.#deps;
    const view = await this.#deps.server.look();
    metrics.add("stator_worker_tensor_looks_total", 1, { result: view.reason === undefined ? "ready" : "away" });
    if (this.#closing || this.state.state === "draining" || (this.#view && sameView(view, this.#view))) return;
    const names = view.models.map(({ name }) => name);
    const now = Math.floor(clock.unixMs() / 1000);
    this.#since = new Map(names.map((name) => [name, this.#since.get(name) ?? now]));
    this.#view = view;
    if (view.left > 0) log.warn("the server has more models than a worker takes", { server, left: view.left });
    if (view.reason === undefined) log.info("foreign server ready", { server, models: names });
    else log.warn("foreign server away", { server, reason: view.reason });
    await this.#presence.enter(this.#stateOf(view));
  }

  #stateOf({ reason }: ForeignView): WorkerState {
    if (reason !== undefined) return { state: this.#wasReady ? "failed" : "loading", reason };
    this.#wasReady = true;
    return { state: "ready", reason: "" };
  }

  #records() {
    const { serverAddress } = this.#deps;
    const { models, software } = this.#view ?? { models: [], software: { name: "", version: "" } };
    const facts = models.map((model): TensorFacts => {
      return { ...model, aliases: [], createdUnixSeconds: this.#since.get(model.name) ?? 0 };
    });
    const standing = { models: facts, inferenceAddress: serverAddress, maxRunning: 0, software };
    return tensorRecords(this.#identity(), this.state, standing);
  }

  #identity(): Identity {
    const { version, taints } = this.#deps;
    const { instanceId, incarnation, address } = this.#presence;
    return {
      instanceId,
      incarnation,
      address,
      version,
      role: "aggregated",
      engine: "kserve",
      models: this.models,
      aliases: [],
      taints,
      markersInContent: false,
      services: [],
    };
  }
}

import { create } from "@bufbuild/protobuf";
import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import { type RequestRecord, type WorkerView, WorkerViewSchema } from "#gen/stator/frontend/v1/frontend_pb";
import { printId } from "#lib/base/bytes";
import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { Roster } from "#lib/base/collections";
import { StatorError } from "#lib/base/errors";
import { inferenceAddressOf } from "#lib/discovery/inference-address";
import type { ModelView } from "#lib/discovery/model-view";
import type { RefusedWorker } from "#lib/discovery/worker-sets";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import type { LinkLimits } from "#lib/link/limits";
import type { CallerCounters, CallerLink } from "#lib/link/link";
import type { Locate } from "#lib/routing/locate";
import type { Router } from "#lib/routing/router";
import { type Ask, readyAsk, tensorAsk, textAsk } from "#lib/serving/ask";
import type { Dispatcher, ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import { Ledger } from "#lib/serving/ledger";
import { LIFE_LIMITS, type LifeLimits } from "#lib/serving/life";
import { compileGuidance } from "#lib/text/grammar/guidance";
import type { Compile } from "./asked-form.ts";
import { fleetOf } from "./fleet.ts";
import type { LifeRun, RunOptions } from "./life-run.ts";
import { createLocate } from "./locate.ts";
import { logRequest } from "./request-line.ts";
import { RequestRun } from "./request-run.ts";
import type { Seat, SeatPhase } from "./seat.ts";
import type { TensorDispatcher, TensorHandle, TensorSink, TensorWorker } from "./tensor-dispatcher.ts";
import { TensorRun } from "./tensor-run.ts";
import { TensorSeat } from "./tensor-seat.ts";
import type { TensorWay } from "./tensor-way.ts";
import { unfitOf } from "./unfit.ts";
import { type Connection, WorkerSeat } from "./worker-seat.ts";

/** What a dispatcher needs. */
export interface DispatcherOptions<Placer extends Router = Router> {
  /** Who calls, for the workers' logs, such as frontend/5f3a. */
  readonly caller: string;
  /** Who serves which names; stays the owner's. */
  readonly view: ModelView;
  /** A channel to a worker's WorkerLinkService.Link. May throw; a channel that cannot connect ends with an error. */
  readonly connect: (instance: InstanceRecord) => Connection;
  /** The way to an address that answers tensors; may throw. Unless given, tensors go nowhere. */
  readonly dial?: (address: string) => TensorWay;
  /** Makes what chooses workers, among those that `locate` finds. The dispatcher tells it who is there and how they do. */
  readonly router: (locate: Locate) => Placer;
  /** Of all its waits and times. */
  readonly clock: Clock;
  /** Of how long links wait before they connect again, and of the numbers of rooms. */
  readonly chance: Chance;
  /** Told of requests that ended, and of workers. */
  readonly log: Log;
  /** Holds the instruments of this room. */
  readonly metrics: Metrics;
  /** Records that the ledger keeps; 1,000 unless given. */
  readonly ledgerRecords?: number;
  /** How long requests are tried. With `firstWaitMs` 0 no new request waits. */
  readonly life?: Partial<LifeLimits>;
  /** Waiting requests beyond which a new one is told NO_WORKERS at once; 1,024 unless given. */
  readonly waitingRequests?: number;
  /** Bounds of its links that differ from the usual ones. */
  readonly link?: Partial<LinkLimits>;
  /** Makes grammars for workers that do not take guidance as it was asked; in the same turn unless given. */
  readonly compile?: Compile;
}

/** The dispatcher of a frontend, with what its operators look at. */
export interface FrontendDispatcher<Placer extends Router = Router> extends Dispatcher, TensorDispatcher {
  /** The records of its requests, the only source of usage. */
  readonly ledger: Ledger;
  /** Requests that have not ended. */
  readonly openRequests: number;
  /** Chooses workers for its requests. */
  readonly router: Placer;
  /** Choices that the router counts at some worker. */
  readonly placedChoices: number;
  /** The workers in order of instance id. */
  workers(): WorkerView[];
  /** Names that a request would be placed for now. */
  routable(): readonly string[];
  /** Whether a worker answered once. */
  reached(worker: bigint): boolean;
  /** Refuses new requests with DRAINING. */
  drain(): void;
  /** Fails what is still open with DRAINING and closes the links. */
  close(): Promise<void>;
}

/** Serves requests with the workers that the watch shows: one link per worker, or one way past it, placed by the router mode. */
export function createDispatcher<Placer extends Router>(
  options: DispatcherOptions<Placer>,
): FrontendDispatcher<Placer> {
  return new Core(options);
}

const PHASES: readonly SeatPhase[] = ["idle", "connecting", "ready", "suspect", "proving", "draining", "lost"];
const COUNTED = {
  steps: "stator_dispatch_steps_total",
  tokens: "stator_dispatch_tokens_total",
  mergedSteps: "stator_dispatch_merged_steps_total",
  droppedFrames: "stator_dispatch_dropped_frames_total",
} as const satisfies Record<keyof CallerCounters, string>;

class Core<Placer extends Router> implements FrontendDispatcher<Placer> {
  readonly ledger: Ledger;
  readonly router: Placer;
  readonly #options: DispatcherOptions<Placer>;
  readonly #seats = new Map<bigint, Seat>();
  /** Seats of workers that have left the view, until their links end. */
  readonly #leaving = new Set<Seat>();
  readonly #runs = new Roster<LifeRun>();
  readonly #waiting = new Set<LifeRun>();
  readonly #runOptions: RunOptions;
  /** Sums over links that have ended, and what the last scrape saw. */
  readonly #ended: Record<keyof CallerCounters, number> = { steps: 0, tokens: 0, mergedSteps: 0, droppedFrames: 0 };
  readonly #scraped: Record<keyof CallerCounters, number> = { steps: 0, tokens: 0, mergedSteps: 0, droppedFrames: 0 };
  readonly #unsubscribe: () => void;
  readonly #offScrape: () => void;
  readonly #refused = new Set<string>();
  #draining = false;

  constructor(options: DispatcherOptions<Placer>) {
    this.#options = options;
    this.ledger = new Ledger(options.ledgerRecords ?? 1_000);
    const { clock, chance, log } = options;
    this.router = this.#createRouter();
    this.#runOptions = {
      clock,
      chance,
      log,
      limits: options.life,
      router: this.router,
      compile: options.compile ?? compileGuidance,
      seat: (worker) => this.#seats.get(worker),
      onWaiting: (run, waiting) => void (waiting ? this.#waiting.add(run) : this.#waiting.delete(run)),
      onDone: (run, record) => this.#done(run, record),
    };
    this.#unsubscribe = options.view.subscribe(() => this.#follow());
    this.#offScrape = options.metrics.onScrape(() => this.#scrape());
  }

  get openRequests(): number {
    return this.#runs.size;
  }

  get placedChoices(): number {
    return this.router.openChoices;
  }

  start(ask: Ask<unknown>, sink: ServingSink): ServingHandle {
    const { model = ask.model, parent, facts } = this.#options.view.models.names.get(ask.model) ?? {};
    if (facts?.input === "tensor") throw takes("tensors", ask.model);
    const asked = facts?.input === "text" ? textAsk(ask) : readyAsk(ask);
    // The name of an adapter says both: what it computes is kept apart from what its model does.
    const request = parent === undefined ? asked : { ...asked, adapter: model };
    const run = new RequestRun(request, model, { sink, options: this.#runOptions });
    this.#runs.add(run);
    run.start();
    return run;
  }

  startTensor(ask: Ask<unknown>, sink: TensorSink): TensorHandle {
    const { facts } = this.#options.view.models.names.get(ask.model) ?? {};
    if (facts && facts.input !== "tensor") throw takes(facts.input === "text" ? "text" : "token ids", ask.model);
    const run = new TensorRun(tensorAsk(ask), { sink, options: this.#runOptions });
    this.#runs.add(run);
    run.start();
    return run;
  }

  tensorWorkers(model?: string): readonly TensorWorker[] {
    const serving = model === undefined ? undefined : this.#options.view.models.names.get(model)?.ready;
    const found: TensorWorker[] = [];
    for (const { worker, record: instance, phase, way: transport } of this.#inOrder()) {
      const isMeant = model === undefined || serving?.has(worker);
      if (isMeant && phase === "ready" && transport) found.push({ instance, transport });
    }
    return found;
  }

  workers(): WorkerView[] {
    return this.#inOrder().map((seat) =>
      create(WorkerViewSchema, {
        instance: seat.record,
        link: seat.linkState,
        linkReason: seat.linkReason,
        openRequests: seat.openRequests,
        usedBlocks: seat.lastStep?.usedBlocks ?? 0,
        openSessions: seat.lastStep?.openSessions ?? 0,
        pinnedBlocks: seat.lastStep?.pinnedBlocks ?? 0,
        waitingRequests: seat.lastStep?.waitingRequests ?? 0,
        steps: BigInt(seat.steps),
      }),
    );
  }

  #inOrder(): Seat[] {
    return [...this.#seats.values()].sort((left, right) => (left.worker < right.worker ? -1 : 1));
  }

  routable(): readonly string[] {
    if (this.#draining) return [];
    const names = [...this.#options.view.models.names.values()];
    const isReached = (worker: bigint): boolean => this.#seats.get(worker)?.phase === "ready";
    return names.filter(({ ready }) => [...ready.keys()].some(isReached)).map(({ name }) => name);
  }

  reached(worker: bigint): boolean {
    return this.#seats.get(worker)?.reached ?? false;
  }

  drain(): void {
    this.#draining = true;
  }

  async close(): Promise<void> {
    this.drain();
    this.#unsubscribe();
    for (const run of this.#runs.snapshot()) run.fail(new StatorError("DRAINING", { what: "This frontend" }));
    for (const seat of [...this.#seats.values(), ...this.#leaving]) seat.retire("closed");
    this.#seats.clear();
    this.#offScrape();
  }

  #createRouter(): Placer {
    const { view, clock, router } = this.#options;
    const locate = createLocate({
      view,
      clock,
      seat: (worker) => this.#seats.get(worker),
      mayWait: () => this.#mayWait(),
      isDraining: () => this.#draining,
    });
    return router(locate);
  }

  /** The view changed: seats follow it. Another incarnation is another worker, and the old one's frames are refused. */
  #follow(): void {
    const { models } = this.#options.view;
    const { workers, refused } = models;
    const fleet = fleetOf(models);
    this.#tellRefused([...refused, ...unfitOf(models, fleet)]);
    this.router.follow(fleet);
    for (const [worker, seat] of [...this.#seats]) {
      const record = workers.get(worker);
      const isSame = record?.incarnation === seat.record.incarnation;
      // A worker in front of another server says where that is when it has found it.
      if (isSame && seat.carries("tensor") === this.#hasTensors(record)) seat.update(record);
      else {
        this.#seats.delete(worker);
        this.#leaving.add(seat);
        seat.retire(record === undefined ? "left" : "replaced");
        if (!seat.link && !seat.way) this.#leaving.delete(seat);
      }
    }
    for (const [worker, record] of workers) if (!this.#seats.has(worker)) this.#sit(worker, record);
  }

  /** Told once for each worker, model and reason. */
  #tellRefused(refused: readonly RefusedWorker[]): void {
    for (const { instanceId: worker, model, reason } of refused) {
      const key = `${printId(worker)} ${model} ${reason}`;
      if (this.#refused.has(key)) continue;
      this.#refused.add(key);
      this.#options.log.warn("worker refused", { worker, model, reason });
    }
    this.#options.metrics.set("stator_dispatch_refused_workers", refused.length);
    if (refused.length === 0) this.#refused.clear();
  }

  #sit(worker: bigint, record: InstanceRecord): void {
    this.#seats.set(worker, this.#hasTensors(record) ? this.#tensorSeat(record) : this.#linkSeat(record));
  }

  #hasTensors(record: InstanceRecord): boolean {
    return inferenceAddressOf(record) !== undefined;
  }

  #tensorSeat(record: InstanceRecord): Seat {
    const { clock, log, dial = dialNobody } = this.#options;
    const seat: Seat = new TensorSeat(record, {
      ...{ dial, clock, log },
      onReady: () => this.#wake(),
      onEnd: () => void this.#leaving.delete(seat),
    });
    return seat;
  }

  #linkSeat(record: InstanceRecord): Seat {
    const { caller, connect, clock, chance, log, metrics, link: limits } = this.#options;
    const seat: Seat = new WorkerSeat(record, {
      ...{ caller, connect, clock, chance, log, metrics, limits },
      onReady: () => this.#wake(),
      onStep: (step) => this.router.observe(record.instanceId, step),
      onSuspect: (suspect, error) => {
        for (const run of this.#runs.snapshot()) run.suspect(suspect.worker, error);
      },
      onLinkEnd: (ended) => {
        this.#leaving.delete(seat);
        this.#count(this.#ended, ended);
      },
    });
    return seat;
  }

  /** A worker takes requests from now on: whoever waits looks whether it is for them. */
  #wake(): void {
    for (const run of [...this.#waiting]) run.wake();
  }

  /** Whether one more request may wait for a worker. */
  #mayWait(): boolean {
    const { life, metrics, waitingRequests = 1_024 } = this.#options;
    if ((life?.firstWaitMs ?? LIFE_LIMITS.firstWaitMs) <= 0) return false;
    if (this.#waiting.size < waitingRequests) return true;
    metrics.add("stator_dispatch_refused_waits_total");
    return false;
  }

  #done(run: LifeRun, record: RequestRecord): void {
    this.#runs.delete(run);
    this.ledger.add(record);
    const { metrics, log } = this.#options;
    metrics.add("stator_dispatch_requests_total", 1, { outcome: record.outcome });
    if (record.reason !== "") metrics.add("stator_dispatch_failures_total", 1, { reason: record.reason });
    if (record.migrations > 0) metrics.add("stator_dispatch_migrations_total", record.migrations);
    const { handOff } = record;
    if (handOff) {
      const blocks = handOff.transferMs === undefined ? "unknown" : handOff.reason === "" ? "all" : "fewer";
      metrics.add("stator_dispatch_hand_offs_total", 1, { blocks });
    }
    if (record.reason === "POISONED") {
      log.error("request is poisoned", { request: record.requestId, model: record.model, workers: record.workers });
    }
    logRequest(log, record);
  }

  #count(into: Record<keyof CallerCounters, number>, link: CallerLink): void {
    for (const name of Object.keys(COUNTED) as (keyof CallerCounters)[]) into[name] += link.counters[name];
  }

  #scrape(): void {
    const { metrics } = this.#options;
    const now = { ...this.#ended };
    const phases = new Map<SeatPhase, number>(PHASES.map((phase) => [phase, 0]));
    for (const seat of this.#seats.values()) {
      phases.set(seat.phase, (phases.get(seat.phase) ?? 0) + 1);
      if (seat.link) this.#count(now, seat.link);
    }
    for (const [name, instrument] of Object.entries(COUNTED) as [keyof CallerCounters, string][]) {
      metrics.add(instrument, Math.max(0, now[name] - this.#scraped[name]));
      this.#scraped[name] = Math.max(now[name], this.#scraped[name]);
    }
    for (const [phase, count] of phases) metrics.set("stator_dispatch_workers", count, { phase });
    metrics.set("stator_dispatch_open_requests", this.#runs.size);
    metrics.set("stator_dispatch_waiting_requests", this.#waiting.size);
  }
}

function dialNobody(address: string): never {
  throw new StatorError("UNAVAILABLE", { what: address, detail: "nobody here dials workers of tensors" });
}

/** An ask is of another kind than the model that it names. */
function takes(what: string, model: string): StatorError {
  return new StatorError("UNSUPPORTED_FEATURE", { feature: `This for the model ${model}`, detail: `it takes ${what}` });
}

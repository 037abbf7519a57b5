import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { pick } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import type { Registration } from "#lib/discovery/discovery";
import type { WorkerRole } from "#lib/discovery/worker-role";
import type { Engine, EngineCard, KvNotice } from "#lib/engines/engine";
import type { MockModel } from "#lib/engines/mock/mock-engine";
import { noTracer } from "#lib/host/telemetry";
import type { WorkerChannel } from "#lib/link/link";
import type { ServerChannel } from "#lib/rpc/dispatch";
import { TokenHasher } from "#lib/tokens/block-hash";
import { type Board, createBoard } from "#lib/worker/board";
import { type KvSubscriberChannel, serveKvSubscriber } from "#lib/worker/kv-event-service";
import { KvSource } from "#lib/worker/kv-source";
import { createLinks, type Links } from "#lib/worker/links";
import { featuresOf } from "#lib/worker/translate";
import { DataPlane, type TransferPlan } from "./data-plane.ts";
import { EngineMood } from "./engine-mood.ts";
import type { Memories } from "./memory.ts";
import { SimulatedProcess, type Surroundings } from "./process.ts";
import { createEngine, digestOf, MODEL, recordsOf, type Weights } from "./weights.ts";

/** How long a worker is believed without a word. */
const LEASE_MS = 3_000;
const MOST_LOAD_MS = 400;
const MAX_RUNNING = 4;
const MAX_WAITING = 6;

/** What a worker is. */
export interface WorkerPlan {
  /** Of its host. */
  readonly name: string;
  /** Kept by some that start again. */
  readonly instanceId: bigint;
  /** One of so many instances is of the build before, without features and roles; undefined: none. */
  readonly oldOneIn: bigint | undefined;
  /** What part of requests it does, until it is told otherwise. */
  readonly role: WorkerRole;
  /** How its blocks move to others; undefined where they do not. */
  readonly transfer: TransferPlan | undefined;
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
  /** host:port, where the network finds it. */
  readonly address: string;
  state: "loading" | "ready" | "draining" | "failed" | "closed" = "loading";
  role: WorkerRole;
  board: Board | undefined;
  /** Bytes of its blocks that others read are wrong now and then. */
  spoils = false;
  /** There where its blocks move. */
  plane: DataPlane | undefined;
  /** Blocks in its engine's cache, as the engine told of them, by their hashes. */
  readonly blocks = new Set<bigint>();
  readonly #links: Links;
  readonly #kvSource: KvSource;
  #engine: Engine | undefined;
  #incarnation: bigint;
  readonly #isOld: boolean;
  readonly #memories: Memories;
  readonly #idlers = new Set<() => void>();
  #registration: Registration | undefined;
  #isLeaving = false;
  #starting: Promise<void> = Promise.resolve();

  constructor(plan: WorkerPlan, surroundings: Surroundings & { readonly memories: Memories }) {
    super(plan.name, surroundings);
    this.plan = plan;
    this.address = `${plan.name}:1`;
    this.mood = new EngineMood(this.chance);
    this.#memories = surroundings.memories;
    this.#incarnation = this.chance.id();
    this.#isOld = plan.oldOneIn !== undefined && plan.instanceId % plan.oldOneIn === 0n;
    this.role = this.#isOld ? "aggregated" : plan.role;
    this.#links = createLinks({
      serving: () => this.#serving(),
      introduce: () => this.#introduction(),
      kept: () => this.plane?.handOff?.load,
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
    this.network.listen(this.address, this);
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

  acceptCall(path: string, channel: ServerChannel, peer: string): void {
    if (this.plane) this.plane.accept(path, channel, peer);
    else channel.end(new StatorError("UNSUPPORTED_FEATURE", { feature: path, detail: "no such service here" }));
  }

  /** Others read wrong bytes of its blocks now and then, until this is taken back. */
  spoil(isSpoiled: boolean): void {
    this.spoils = isSpoiled;
  }

  /** It has another role than it is there for. */
  get isMisplaced(): boolean {
    return !this.#isOld && this.role !== this.plan.role;
  }

  /** Whether every block of its pool can be had when nothing is cached and nothing runs; true where it is not ready. */
  get hasWholePool(): boolean {
    const { blocks, card } = (this.state === "ready" && this.#engine) || {};
    if (!blocks || !card?.totalBlocks || !card.blockTokens) return true;
    const tokens = new Uint32Array(card.totalBlocks * card.blockTokens);
    try {
      blocks.open({ tokens, blocks: card.totalBlocks, cacheSalt: "", adapter: undefined }).close();
      return true;
    } catch {
      return false;
    }
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
    const { transfer } = plan;
    if (transfer && !this.#isOld) {
      this.plane = await DataPlane.open({ process: this, plan: transfer, memories: this.#memories });
    }
    const instantTokens = 1 + pick(this.chance, 3);
    const { timing, lateMs } = mood;
    const shape = { clock, log, timing, lateMs, instantTokens, maxRunning: MAX_RUNNING, maxWaiting: MAX_WAITING };
    this.#engine = createEngine(plan.model, plan.weights, shape);
    this.#kvSource.open(this.#engine.card);
    this.plane?.serve(this.#engine, {
      modelDigest: digestOf(plan.weights),
      isSpoiled: () => this.spoils,
      identity: () => this.#identity(),
      onFreed: () => this.#links.freed(),
    });
    this.board = createBoard(
      this.#engine,
      {
        onFailure: (error) => this.#failed(error),
        onMetrics: this.#links.load,
        onIdle: () => {
          for (const idle of [...this.#idlers]) idle();
        },
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
    if (notice.kind === "stored") this.plane?.agent.progressed();
  }

  /** SIGTERM: takes nothing new, waits for what runs, at most so long, and leaves. */
  drain(mostMs: number): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.scope.spawn("drain", async () => {
      await this.#stop(mostMs);
      await this.#close();
    });
  }

  /** Its operator gives it another role: it ends what runs, within so long, and comes back as another incarnation. Nothing unless it is ready. */
  changeRole(role: WorkerRole, mostMs: number): void {
    if (this.state !== "ready" || this.#isOld || role === this.role) return;
    this.scope.spawn("role", async () => {
      await this.#stop(mostMs);
      if (this.#isLeaving || this.state !== "draining") return;
      this.role = role;
      const error = new StatorError("STREAM_LOST", { detail: `the worker has taken the role ${role}` });
      this.#beginAnew(this.board?.open ? error : undefined);
      this.board?.interrupt(error);
      this.#enter("ready");
    });
  }

  async #stop(mostMs: number): Promise<void> {
    if (this.state !== "failed") this.#enter("draining");
    this.#links.notice({ draining: true, modelsChanged: false, models: [] });
    await this.#idle(mostMs);
  }

  #idle(mostMs: number): Promise<void> {
    if (!this.board?.open) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        this.#idlers.delete(done);
        resolve();
      };
      const timer = this.clock.after(mostMs, done);
      this.#idlers.add(done);
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
    this.complaints.push(...((await this.plane?.close(error)) ?? []).map((what) => `${this.name}: ${what}`));
    await this.#engine?.close();
    await this.exit();
  }

  #serving() {
    if (this.state === "ready" && this.#engine && this.board) {
      const names = { model: MODEL, hasAdapter: () => false };
      return { engine: this.#engine, board: this.board, names, handOff: this.plane?.handOff };
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
      features: this.#isOld ? [] : [...featuresOf(this.plane?.handOff)],
      draining: this.state === "draining",
    };
  }

  #records() {
    const { plan, state, role } = this;
    const { taints } = plan;
    const states = {
      loading: InstanceState.LOADING,
      ready: InstanceState.READY,
      draining: InstanceState.DRAINING,
      failed: InstanceState.FAILED,
      closed: InstanceState.DRAINING,
    } as const;
    const facts = { taints, ...this.#identity(), role, reason: state };
    return recordsOf({ ...facts, state: states[state] }, plan.weights, this.#engine?.card);
  }

  #identity() {
    return { instanceId: this.plan.instanceId, incarnation: this.#incarnation, address: this.address };
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
    this.#beginAnew(new StatorError("STREAM_LOST", { detail: "the worker's lease lapsed" }));
    this.#publish();
  }

  /** It has another incarnation: what others follow of the one before ends. */
  #beginAnew(error: StatorError | undefined): void {
    this.#incarnation = this.chance.id();
    this.#links.closeAll(error);
    this.#kvSource.restart(this.#incarnation);
  }

  #failed(error: StatorError): void {
    this.log.error("engine failed", { error });
    this.#enter("failed");
  }
}

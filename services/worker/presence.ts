import type { Chance } from "#lib/base/chance";
import type { Discovery, DiscoveryRecord, Registration } from "#lib/discovery/discovery";
import type { Log } from "#lib/host/log";
import type { Scope } from "#lib/host/scope";
import type { WorkerState } from "./record.ts";

/** What a worker is published with. */
export interface PresenceDeps {
  /** Where it is published. */
  readonly discovery: Discovery;
  /** Others take it for dead when it was not heard of for so long. */
  readonly leaseMs: number;
  /** Of its identity. */
  readonly chance: Chance;
  /** Told of updates that were not taken, and of a lapsed lease. */
  readonly log: Log;
  /** Borrowed: it waits for what is being published. */
  readonly scope: Scope;
  /** What is published now. */
  records(): DiscoveryRecord[];
  /** Called with the state at the start and at every change, before it is published. */
  onState(state: WorkerState): void;
  /** Others have taken it for dead: it has a new incarnation, and what belonged to the old one is to end. */
  onLapse(): void;
}

/** A worker as others see it: who it is, where it is in its life, and its records in discovery. */
export class Presence {
  /** Drawn once. */
  readonly instanceId: bigint;
  readonly #deps: PresenceDeps;
  #incarnation: bigint;
  #address = "";
  #state: WorkerState = { state: "loading", reason: "The model is loading." };
  #registration: Registration | undefined;
  #closed = false;

  constructor(deps: PresenceDeps) {
    this.#deps = deps;
    this.instanceId = deps.chance.id();
    this.#incarnation = deps.chance.id();
  }

  /** Drawn anew whenever the lease lapsed, and by `renew`. */
  get incarnation(): bigint {
    return this.#incarnation;
  }

  /** host:port of its gRPC port; empty before it is published. */
  get address(): string {
    return this.#address;
  }

  /** As `onState` told of it. */
  get state(): WorkerState {
    return this.#state;
  }

  /** Publishes the worker. Throws what the store says. */
  async open(address: string): Promise<void> {
    const { discovery, leaseMs, onState, records } = this.#deps;
    this.#address = address;
    onState(this.#state);
    this.#registration = await discovery.register(records(), { ttlMs: leaseMs });
    this.#registration.onLapse(() => this.#lapsed());
  }

  /** Enters a state and publishes it. */
  async enter(state: WorkerState): Promise<void> {
    this.#state = state;
    this.#deps.onState(state);
    await this.publish();
  }

  /** Takes another incarnation, which the next publication tells: what belonged to the one before has ended. */
  renew(): void {
    this.#incarnation = this.#deps.chance.id();
  }

  /** Publishes what has changed; does nothing after the end. */
  async publish(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#registration?.update(this.#deps.records());
    } catch (error) {
      // Discovery repeats the last update by itself when its store is back.
      if (!this.#closed) this.#deps.log.warn("discovery did not take the update", { error });
    }
  }

  /** Takes the records back. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#registration?.close();
  }

  /** The lease had lapsed, so others took this worker for dead: it comes back as another incarnation. */
  #lapsed(): void {
    const { log, scope, onLapse } = this.#deps;
    this.renew();
    log.warn("lease lapsed, registering anew", { incarnation: this.#incarnation });
    onLapse();
    scope.spawn("publish", () => this.publish());
  }
}

import type { Clock, Timer } from "#lib/base/clock";
import type { DiscoveryWatch } from "./discovery.ts";
import { type AskedAt, knownModel, type Models, type NamedModel, NO_MODELS, readModels, readyModel } from "./models.ts";
import type { ScopePolicy } from "./worker-sets.ts";

/** What a view of the models lives on. */
export interface ModelViewOptions {
  /** Borrowed. */
  readonly watch: DiscoveryWatch;
  /** Tells how long names are gone, and when the first worker is no longer expected. */
  readonly clock: Clock;
  /** What becomes of a worker whose routing scope differs from its set's; strict unless given. */
  readonly policy?: ScopePolicy;
  /** While no worker was met, one is expected for so long: any name may be that of its model. 0 unless given. */
  readonly startMs?: number;
}

/** The models as of now: one reading per change of discovery, for everybody in this process who asks. */
export class ModelView {
  readonly #options: ModelViewOptions;
  readonly #calls = new Set<() => void>();
  readonly #unsubscribe: () => void;
  /** Runs while the first worker is expected. */
  #start: Timer | undefined;
  #models: Models = NO_MODELS;

  constructor(options: ModelViewOptions) {
    this.#options = options;
    const { clock, watch, startMs = 0 } = options;
    if (startMs > 0) {
      this.#start = clock.after(startMs, () => {
        this.#start = undefined;
        this.#tell();
      });
    }
    this.#unsubscribe = watch.subscribe(() => this.#read());
  }

  /** What the last change left. */
  get models(): Models {
    return this.#models;
  }

  /** As `knownModel`. */
  known(name: string): NamedModel {
    return knownModel(this.#models, name, this.#now);
  }

  /** As `readyModel`. */
  ready(name: string): NamedModel {
    return readyModel(this.#models, name, this.#now);
  }

  /** Calls at once and after each change, and when the first worker is no longer expected; returns what ends it. */
  subscribe(call: () => void): () => void {
    this.#calls.add(call);
    call();
    return () => void this.#calls.delete(call);
  }

  close(): void {
    this.#unsubscribe();
    this.#start?.cancel();
    this.#calls.clear();
  }

  get #now(): AskedAt {
    return { nowMs: this.#options.clock.nowMs(), expecting: this.#start !== undefined };
  }

  #read(): void {
    const { watch, clock, policy = "strict" } = this.#options;
    this.#models = readModels(watch.records.values(), { policy, before: this.#models, nowMs: clock.nowMs() });
    if (this.#models.workers.size > 0) {
      this.#start?.cancel();
      this.#start = undefined;
    }
    this.#tell();
  }

  #tell(): void {
    for (const call of [...this.#calls]) call();
  }
}

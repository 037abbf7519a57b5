import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Engine } from "#lib/engines/engine";
import { Turns } from "#lib/events/turns";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { Scope } from "#lib/host/scope";
import { DirectTransport } from "#lib/rpc/direct";
import type { Transport } from "#lib/rpc/transport";
import type { BlockHasher } from "#lib/tokens/block-hash";
import { NEAR_LIMITS, type NearLimits } from "./near-limits.ts";
import { NearWorker } from "./near-worker.ts";

/** What near workers live on. Everything is borrowed. */
export interface NearWorkersOptions {
  /** Opens the engine of a worker by its record. The signal says that nobody waits for it any more, and why. */
  openEngine(instance: InstanceRecord, signal: AbortSignal): Promise<Engine>;
  /** Of all waits and times. */
  readonly clock: Clock;
  /** Told of links and requests. */
  readonly log: Log;
  /** Holds the instruments of calls. */
  readonly metrics: Metrics;
  /** Hashes what blocks hold. */
  readonly hasher: BlockHasher;
  /** What differs from `NEAR_LIMITS`. */
  readonly limits?: Partial<NearLimits> | undefined;
}

/** A worker, for as long as somebody has a way to it. */
interface Held {
  readonly worker: NearWorker;
  readonly abort: AbortController;
  ways: number;
}

/** The near workers of a process: one for each incarnation of a worker that is called, whoever calls it. */
export class NearWorkers {
  readonly #options: NearWorkersOptions;
  readonly #limits: NearLimits;
  readonly #turns: Turns;
  readonly #scope: Scope;
  readonly #held = new Map<string, Held>();

  constructor(options: NearWorkersOptions) {
    this.#options = options;
    this.#limits = { ...NEAR_LIMITS, ...options.limits };
    this.#turns = new Turns(this.#limits.openings);
    this.#scope = new Scope("near workers", options.log);
  }

  /**
   * A way to the link of a worker and to the events of its cache; its engine is given back when the last way is closed.
   * Throws LIMIT. An engine that cannot be opened ends the calls with what its opening threw.
   */
  dial(instance: InstanceRecord): Transport {
    const { instanceId, incarnation } = instance;
    const key = `${instanceId} ${incarnation}`;
    const held = this.#held.get(key) ?? this.#hold(key, instance);
    held.ways++;
    return new Way(held.worker, this.#options, () => {
      held.ways--;
      if (held.ways === 0) this.#letGo(key, held);
    });
  }

  /** Ends all of them. */
  async close(): Promise<void> {
    for (const [key, held] of this.#held) this.#letGo(key, held);
    await this.#scope.close();
  }

  #hold(key: string, instance: InstanceRecord): Held {
    const { clock, log, hasher } = this.#options;
    const { engines: limit } = this.#limits;
    if (this.#held.size >= limit) throw new StatorError("LIMIT", { what: "Workers without a link", limit });
    const { instanceId, incarnation } = instance;
    const abort = new AbortController();
    const worker = new NearWorker({
      ...{ instanceId, incarnation, clock, hasher },
      log: log.with({ worker: instanceId }),
      scope: this.#scope,
      openEngine: () => this.#openEngine(instance, abort.signal),
    });
    const held: Held = { worker, abort, ways: 0 };
    this.#held.set(key, held);
    return held;
  }

  #letGo(key: string, held: Held): void {
    if (this.#held.get(key) !== held) return;
    const { worker, abort } = held;
    const error = new StatorError("STREAM_LOST", { detail: "nobody calls the worker any more" });
    this.#held.delete(key);
    abort.abort(error);
    this.#scope.spawn("close", () => worker.close(error));
  }

  async #openEngine(instance: InstanceRecord, signal: AbortSignal): Promise<Engine> {
    const { clock, openEngine } = this.#options;
    const { openMs } = this.#limits;
    const release = await this.#takeTurn(signal);
    const late = new AbortController();
    const timer = clock.after(openMs, () => {
      const detail = `it did not tell in ${openMs} ms who it is`;
      late.abort(new StatorError("UNAVAILABLE", { what: `The engine at ${instance.address}`, detail }));
    });
    try {
      signal.throwIfAborted();
      return await openEngine(instance, AbortSignal.any([signal, late.signal]));
    } finally {
      timer.cancel();
      release();
    }
  }

  /** Resolves when it is its turn, or when nobody waits for it any more. */
  async #takeTurn(signal: AbortSignal): Promise<() => void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const taker = { onTurn: resolve };
    if (!this.#turns.acquire(taker)) {
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise;
    }
    return () => this.#turns.release(taker);
  }
}

class Way extends DirectTransport {
  readonly #onClose: () => void;
  #isClosed = false;

  constructor({ services }: NearWorker, observed: NearWorkersOptions, onClose: () => void) {
    super(services, observed);
    this.#onClose = onClose;
  }

  override close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    super.close();
    this.#onClose();
  }
}

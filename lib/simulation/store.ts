import { type Chance, SeededChance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { ProcessClock } from "#lib/base/process-clock";
import { StoreHost } from "#lib/discovery/store-host";
import { noMetrics } from "#lib/host/metrics";
import type { Trace } from "./trace.ts";

/** The store of a world: a process of its own, of which one after the other lives. */
export class SimulatedStore {
  readonly clock: ProcessClock;
  readonly #open: () => StoreHost;
  #host: StoreHost;

  /** Draws a seed for each life. */
  constructor(world: Clock, chance: Chance, trace: Trace) {
    this.clock = new ProcessClock(world);
    const deps = { clock: this.clock, log: trace.log("store"), metrics: noMetrics };
    this.#open = () => new StoreHost({ ...deps, chance: new SeededChance(chance.id()) });
    this.#host = this.#open();
  }

  get host(): StoreHost {
    return this.#host;
  }

  /** It starts again, and knows nothing. */
  forget(): void {
    this.#host.close();
    this.#host = this.#open();
  }

  close(): void {
    this.#host.close();
  }
}

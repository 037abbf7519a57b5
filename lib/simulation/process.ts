import { type Chance, SeededChance } from "#lib/base/chance";
import type { FakeClock } from "#lib/base/clock";
import { ProcessClock } from "#lib/base/process-clock";
import type { Discovery } from "#lib/discovery/discovery";
import { superviseStore } from "#lib/discovery/supervise";
import type { Log } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { Scope } from "#lib/host/scope";
import type { Host, Network } from "./network.ts";
import type { SimulatedStore } from "./store.ts";
import { StoreLine } from "./store-line.ts";
import type { Trace } from "./trace.ts";

/** As long as what was sent at last is under way. */
const EXIT_MS = 100;

/** What every process of a world shares. */
export interface Surroundings {
  /** The world's; the clocks of its processes go by it. */
  readonly clock: FakeClock;
  /** Draws the seeds of what begins. */
  readonly chance: Chance;
  /** Carries the links. */
  readonly network: Network;
  /** Where all find each other. */
  readonly store: SimulatedStore;
  /** Takes the lines of all. */
  readonly trace: Trace;
}

/** One process of a world: its clock, its chance, its way to the store, and what it runs beside its calls. */
export class SimulatedProcess implements Host {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly chance: Chance;
  readonly log: Log;
  readonly scope: Scope;
  readonly network: Network;
  readonly trace: Trace;
  readonly line: StoreLine;
  readonly discovery: Discovery;
  /** What must not be, one sentence each. */
  readonly complaints: string[] = [];

  constructor(name: string, { clock, chance, network, store, trace }: Surroundings) {
    this.name = name;
    this.clock = new ProcessClock(clock);
    this.chance = new SeededChance(chance.id());
    this.log = trace.log(name);
    this.scope = new Scope(name, this.log);
    this.network = network;
    this.trace = trace;
    this.line = new StoreLine(store, { clock: this.clock, chance: this.chance });
    const deps = { clock: this.clock, chance: this.chance, log: this.log, metrics: noMetrics };
    this.discovery = superviseStore(this.line.calls, deps);
  }

  get isAlive(): boolean {
    return !this.clock.isGone;
  }

  /** Resolves after so long, unless the process is gone by then. */
  pause(forMs: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(forMs, resolve));
  }

  /** It has closed everything: what it waits for after a moment waits for ever. */
  async exit(): Promise<void> {
    await this.discovery.close();
    await this.pause(EXIT_MS);
    const { pending } = this.clock;
    if (pending > 0) this.complaints.push(`${this.name} waits for ${pending} calls after its close`);
    this.log.info("process exits");
    this.clock.end();
    this.network.drop(this);
  }

  /** SIGKILL. */
  kill(): void {
    this.clock.end();
    this.network.drop(this);
  }
}

import type { Clock } from "#lib/base/clock";
import type { StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import type { Binding } from "./call.ts";
import type { ServedMethod } from "./service.ts";

/** By which clock a server serves, and where it writes what happens to its calls. */
export interface Observed {
  /** Borrowed; deadlines and durations go by it. */
  readonly clock: Clock;
  /** Borrowed; a line for each call that failed, an error where it was a bug of ours. */
  readonly log: Log;
  /** Borrowed; has the instruments of this room. */
  readonly metrics: Metrics;
}

/** Counts and logs the calls of one binding. */
export class CallObserver {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #binding: Binding;
  #open = 0;

  constructor(binding: Binding, { clock, log, metrics }: Observed) {
    this.#clock = clock;
    this.#binding = binding;
    this.#log = log;
    this.#metrics = metrics;
  }

  /** Calls that are open. */
  get openCalls(): number {
    return this.#open;
  }

  /** A call began. Returns what to call once when it is over, with why it failed. */
  begin(served: ServedMethod): (error: StatorError | undefined) => void {
    const startMs = this.#clock.nowMs();
    this.#count(1);
    return (error) => {
      this.#count(-1);
      const labels = { method: served.path, binding: this.#binding, result: error?.row.blame ?? "ok" };
      this.#metrics.add("stator_rpc_calls_total", 1, labels);
      const seconds = (this.#clock.nowMs() - startMs) / 1000;
      this.#metrics.observe("stator_rpc_call_seconds", seconds, { method: served.path });
      if (error) this.#tell(served, error);
    };
  }

  #count(by: number): void {
    this.#open += by;
    this.#metrics.set("stator_rpc_open_calls", this.#open, { binding: this.#binding });
  }

  /** A bug of ours is an error; everything else is somebody's ordinary failure. */
  #tell(served: ServedMethod, error: StatorError): void {
    const level = error.reason === "INTERNAL" && error.cause !== undefined ? "error" : "debug";
    if (this.#log.enabled(level)) this.#log[level]("call failed", { method: served.path, reason: error.reason, error });
  }
}

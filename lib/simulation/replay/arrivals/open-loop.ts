import { StatorError } from "#lib/base/errors";
import type { TraceRow } from "../trace-row.ts";
import type { VirtualClock } from "../virtual-clock.ts";
import type { ArrivalSink, Arrivals } from "./arrivals.ts";

/** What rows come on. */
export interface LoopOptions {
  /** How many times as fast as in the trace they come; above 0. */
  readonly speed: number;
  /** Of the whole replay. */
  readonly clock: VirtualClock;
}

/** Rows come by their timestamps, so many times as fast, whatever becomes of those before. The rows are in order of time. */
export class OpenLoop implements Arrivals {
  readonly #rows: Iterator<TraceRow>;
  readonly #speed: number;
  readonly #clock: VirtualClock;
  #next: TraceRow | undefined;

  constructor(rows: Iterable<TraceRow>, { speed, clock }: LoopOptions) {
    this.#rows = rows[Symbol.iterator]();
    this.#speed = speed;
    this.#clock = clock;
    this.#take();
  }

  start(sink: ArrivalSink): void {
    this.#arrive(sink);
  }

  ended(): void {}

  #take(): void {
    const { done, value } = this.#rows.next();
    this.#next = done ? undefined : value;
  }

  /** All of one moment come together; then the next moment is waited for. */
  #arrive(sink: ArrivalSink): void {
    if (!this.#next) return;
    const atMs = arrivalOf(this.#next, this.#speed);
    this.#clock.arrive(atMs, () => {
      const rows: TraceRow[] = [];
      for (; this.#next && arrivalOf(this.#next, this.#speed) === atMs; this.#take()) rows.push(this.#next);
      this.#arrive(sink);
      sink.send(rows);
    });
  }
}

/** When a row comes by its timestamp, in virtual ms. Throws INVALID_ARGUMENT for one that has none. */
export function arrivalOf({ index, atMs }: TraceRow, speed: number): number {
  if (atMs !== undefined) return atMs / speed;
  const detail = `Row ${index + 1} of the trace has no timestamp, and nothing else says when it comes`;
  throw new StatorError("INVALID_ARGUMENT", { detail });
}

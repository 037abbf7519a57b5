import type { ArrivalSink, Arrivals } from "./arrivals.ts";
import type { TraceRow } from "./trace-row.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** Rows come by their timestamps, so many times as fast, whatever becomes of those before. The rows are in order of time. */
export class OpenLoop implements Arrivals {
  readonly #rows: Iterator<TraceRow>;
  readonly #speed: number;
  readonly #clock: VirtualClock;
  #next: TraceRow | undefined;

  constructor(rows: Iterable<TraceRow>, about: { readonly speed: number; readonly clock: VirtualClock }) {
    this.#rows = rows[Symbol.iterator]();
    this.#speed = about.speed;
    this.#clock = about.clock;
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
    const atMs = this.#timeOf(this.#next);
    if (atMs === undefined) return;
    this.#clock.arrive(atMs, () => {
      const rows: TraceRow[] = [];
      for (; this.#next && this.#timeOf(this.#next) === atMs; this.#take()) rows.push(this.#next);
      this.#arrive(sink);
      sink.send(rows);
    });
  }

  #timeOf(row: TraceRow | undefined): number | undefined {
    return row && (row.atMs ?? 0) / this.#speed;
  }
}

import { Queue } from "#lib/base/collections";
import type { TraceRow } from "../trace-row.ts";
import type { ArrivalSink, Arrivals } from "./arrivals.ts";
import type { LoopOptions } from "./open-loop.ts";
import { Turns } from "./turns.ts";

/** Turns that may wait for others of their sessions while rows below them run. */
const MOST_HELD = 65_536;

/**
 * So many requests are in flight, always: the end of one lets the next come. Timestamps say nothing. A turn of a session
 * comes when the one before it has ended and its delay is over, and rows below it come meanwhile.
 */
export class ClosedLoop implements Arrivals {
  readonly #rows: Iterator<TraceRow>;
  readonly #clock: LoopOptions["clock"];
  readonly #concurrency: number;
  readonly #mostHeld: number;
  readonly #turns: Turns;
  /** Turns that may come as soon as there is room. */
  readonly #ready = new Queue<TraceRow>(Number.MAX_SAFE_INTEGER);
  #inFlight = 0;
  /** It will be looked for more at this moment. */
  #isWoken = false;
  #sink: ArrivalSink | undefined;

  constructor(
    rows: Iterable<TraceRow>,
    { clock, speed }: LoopOptions,
    { concurrency, mostHeld = MOST_HELD }: { readonly concurrency: number; readonly mostHeld?: number },
  ) {
    this.#rows = rows[Symbol.iterator]();
    this.#clock = clock;
    this.#concurrency = concurrency;
    this.#mostHeld = mostHeld;
    this.#turns = new Turns({
      clock,
      pauseMs: ({ delayMs = 0 }) => delayMs / speed,
      ready: (row) => {
        this.#ready.push(row);
        this.#wake();
      },
    });
  }

  start(sink: ArrivalSink): void {
    this.#sink = sink;
    this.#wake();
  }

  ended(row: TraceRow): void {
    this.#inFlight--;
    this.#turns.ended(row);
    this.#wake();
  }

  /** What ends at one moment is followed together. */
  #wake(): void {
    if (this.#isWoken) return;
    this.#isWoken = true;
    this.#clock.arrive(this.#clock.nowMs(), () => {
      this.#isWoken = false;
      this.#fill();
    });
  }

  #fill(): void {
    const rows: TraceRow[] = [];
    while (this.#inFlight < this.#concurrency) {
      const row = this.#ready.shift() ?? this.#read();
      if (!row) break;
      this.#inFlight++;
      rows.push(row);
    }
    if (rows.length > 0) this.#sink?.send(rows);
  }

  /** The next row that waits for nobody. */
  #read(): TraceRow | undefined {
    while (this.#turns.held < this.#mostHeld) {
      const { done, value: row } = this.#rows.next();
      if (done) return undefined;
      if (!this.#turns.keep(row)) return row;
    }
    return undefined;
  }
}

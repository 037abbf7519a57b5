import { Queue } from "#lib/base/collections";
import type { TraceRow } from "../trace-row.ts";
import type { ArrivalSink, Arrivals } from "./arrivals.ts";
import { arrivalOf, type LoopOptions } from "./open-loop.ts";
import { Turns } from "./turns.ts";

/** Rows that are read before they are needed: a turn may come soon after the end of one that stands far above it. */
const READ_AHEAD = 65_536;

/**
 * Rows of no session and first turns come by their timestamps; a later turn comes its delay after the end of the one
 * before, else so long after it as the timestamps lie apart. Both so many times as fast. A turn that was not yet read when
 * it is due, further than `readAhead` rows below, comes when it is read.
 */
export class SessionLoop implements Arrivals {
  readonly #rows: Iterator<TraceRow>;
  readonly #options: LoopOptions;
  readonly #readAhead: number;
  readonly #turns: Turns;
  /** Rows that come by their timestamps. */
  readonly #firsts = new Queue<TraceRow>(Number.MAX_SAFE_INTEGER);
  #isRead = false;
  #sink: ArrivalSink | undefined;

  /** `readAhead`: rows that are kept before their time, at least 1. */
  constructor(rows: Iterable<TraceRow>, options: LoopOptions, readAhead = READ_AHEAD) {
    this.#rows = rows[Symbol.iterator]();
    this.#options = options;
    this.#readAhead = readAhead;
    const { clock, speed } = options;
    this.#turns = new Turns({
      clock,
      pauseMs: ({ delayMs }, sinceMs) => {
        const pauseMs = delayMs ?? sinceMs;
        return pauseMs === undefined ? undefined : pauseMs / speed;
      },
      ready: (row) => {
        this.#read();
        this.#sink?.send([row]);
      },
    });
  }

  start(sink: ArrivalSink): void {
    this.#sink = sink;
    this.#arrive();
  }

  ended(row: TraceRow): void {
    this.#turns.ended(row);
  }

  /** All of one moment come together; then the next moment is waited for. */
  #arrive(): void {
    const first = this.#peek();
    if (!first) return;
    const atMs = arrivalOf(first, this.#options.speed);
    this.#options.clock.arrive(atMs, () => {
      const rows: TraceRow[] = [];
      for (let row = this.#peek(); row && arrivalOf(row, this.#options.speed) === atMs; row = this.#peek()) {
        rows.push(row);
        this.#firsts.shift();
      }
      this.#arrive();
      this.#sink?.send(rows);
    });
  }

  #peek(): TraceRow | undefined {
    this.#read();
    return this.#firsts.peek();
  }

  /** Reads as far ahead as it may, and at least up to the next row that comes by its timestamp. */
  #read(): void {
    while (!this.#isRead && (this.#firsts.size === 0 || this.#firsts.size + this.#turns.held < this.#readAhead)) {
      const { done, value: row } = this.#rows.next();
      if (done) this.#isRead = true;
      else if (!this.#turns.keep(row)) this.#firsts.push(row);
    }
  }
}

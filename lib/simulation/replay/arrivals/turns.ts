import { StatorError } from "#lib/base/errors";
import type { TraceRow } from "../trace-row.ts";
import type { VirtualClock } from "../virtual-clock.ts";

/** What the turns of sessions run on. */
export interface TurnOptions {
  /** Of the whole replay. */
  readonly clock: VirtualClock;
  /** Ms from the end of a turn to the next one, which came so many ms after it in the trace; undefined where nothing says. */
  readonly pauseMs: (row: TraceRow, sinceMs: number | undefined) => number | undefined;
  /** It is the turn of a row that was kept; called on the clock as an arrival. */
  readonly ready: (row: TraceRow) => void;
}

interface Session {
  /** Turns that wait for those before them, each with the pause that it makes. */
  readonly waiting: { readonly row: TraceRow; readonly pauseMs: number }[];
  /** A turn runs, or is about to. */
  isBusy: boolean;
  endedMs: number;
  /** Timestamp of its row that was read last. */
  readMs: number | undefined;
}

/**
 * Keeps the turns of sessions in their order: each begins when the one before it has ended and a pause is over. A session
 * is known until its last turn has ended, where the trace marks that one, else to the end of the replay: some 100 bytes.
 */
export class Turns {
  readonly #options: TurnOptions;
  readonly #sessions = new Map<string, Session>();
  #held = 0;

  constructor(options: TurnOptions) {
    this.#options = options;
  }

  /** Rows that were kept and whose turn it is not yet. */
  get held(): number {
    return this.#held;
  }

  /** Takes the next row of the trace. False for one that waits for nobody: of no session, or its session's first. */
  keep(row: TraceRow): boolean {
    const { session: name, atMs } = row;
    if (name === undefined) return false;
    const session = this.#sessions.get(name);
    if (!session) {
      this.#sessions.set(name, { waiting: [], isBusy: true, endedMs: 0, readMs: atMs });
      return false;
    }
    const sinceMs = atMs === undefined || session.readMs === undefined ? undefined : atMs - session.readMs;
    const pauseMs = this.#options.pauseMs(row, sinceMs);
    if (pauseMs === undefined) {
      const detail = `Row ${row.index + 1} of the trace has no delay, and it or the row of its session before it has no timestamp`;
      throw new StatorError("INVALID_ARGUMENT", { detail });
    }
    session.readMs = atMs;
    session.waiting.push({ row, pauseMs });
    this.#held++;
    this.#next(session);
    return true;
  }

  /** The request of a row has ended, now. */
  ended({ session: name, isLastTurn }: TraceRow): void {
    const session = name === undefined ? undefined : this.#sessions.get(name);
    if (name === undefined || !session) return;
    session.isBusy = false;
    session.endedMs = this.#options.clock.nowMs();
    if (isLastTurn && session.waiting.length === 0) this.#sessions.delete(name);
    else this.#next(session);
  }

  #next(session: Session): void {
    if (session.isBusy) return;
    const next = session.waiting.shift();
    if (!next) return;
    session.isBusy = true;
    this.#options.clock.arrive(session.endedMs + next.pauseMs, () => {
      this.#held--;
      this.#options.ready(next.row);
    });
  }
}

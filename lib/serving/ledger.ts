import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import { BoundedCache } from "#lib/base/collections";
import { assert } from "#lib/base/errors";

/** Sums over every request since the ledger was made. */
export interface LedgerTotals {
  /** All that were recorded; the next three add up to it. */
  readonly requests: number;
  /** Ended by their workers, or by a stop string. */
  readonly finished: number;
  /** Ended by their clients. */
  readonly cancelled: number;
  /** Ended with an error. */
  readonly failed: number;
  /** A prompt that several choices share counts once. */
  readonly promptTokens: number;
  /** Prompt tokens that the first worker of each prompt found in its cache. */
  readonly cachedTokens: number;
  /** Tokens of all answers, those of ended attempts among them. */
  readonly completionTokens: number;
  /** Choices that moved to another worker after they had begun, or began again on the same. */
  readonly migrations: number;
}

/** Requests that ended in one way, and how long they took. */
export interface TimedCount {
  /** How many. */
  readonly requests: number;
  /** From the arrival of each to its end, in milliseconds, added up. */
  readonly totalMs: number;
}

/** What was asked of one name, and what became of it. */
export interface ModelTotals {
  /** Ended by their workers, or by a stop string. */
  readonly finished: TimedCount;
  /** Ended by their clients. */
  readonly cancelled: TimedCount;
  /** Ended with an error. */
  readonly failed: TimedCount;
  /** Of those that finished the milliseconds to their first tokens, added up; of one without tokens none. */
  readonly firstTokenMs: number;
  /** When the last of those that ended had arrived, in Unix milliseconds. */
  readonly lastUnixMs: number;
}

/** The same while it is added to. */
interface OpenTotals extends ModelTotals {
  readonly finished: OpenCount;
  readonly cancelled: OpenCount;
  readonly failed: OpenCount;
  firstTokenMs: number;
  lastUnixMs: number;
}

type OpenCount = { -readonly [Field in keyof TimedCount]: TimedCount[Field] };

/** Names that are added up: those that nobody asks for or about go first. */
const MOST_MODELS = 1_024;

/** The last requests, one record each, in a ring of fixed size, and sums over all. Keeps the records; never a text. */
export class Ledger {
  readonly #ring: (RequestRecord | undefined)[];
  readonly #models: BoundedCache<string, OpenTotals>;
  #next = 0;
  #totals: LedgerTotals = {
    requests: 0,
    finished: 0,
    cancelled: 0,
    failed: 0,
    promptTokens: 0,
    cachedTokens: 0,
    completionTokens: 0,
    migrations: 0,
  };

  /** Holds so many records, and adds up so many names. */
  constructor(capacity: number, mostModels = MOST_MODELS) {
    assert(capacity > 0, "a ledger holds at least one record");
    this.#ring = new Array(capacity);
    this.#models = new BoundedCache(mostModels);
  }

  get totals(): LedgerTotals {
    return this.#totals;
  }

  /** Adds a record; the oldest leaves when the ring is full. */
  add(record: RequestRecord): void {
    this.#ring[this.#next % this.#ring.length] = record;
    this.#next++;
    const before = this.#totals;
    this.#totals = {
      requests: before.requests + 1,
      finished: before.finished + Number(record.outcome === "finished"),
      cancelled: before.cancelled + Number(record.outcome === "cancelled"),
      failed: before.failed + Number(record.outcome === "failed"),
      promptTokens: before.promptTokens + record.promptTokens,
      cachedTokens: before.cachedTokens + record.cachedTokens,
      completionTokens: before.completionTokens + record.completionTokens,
      migrations: before.migrations + record.migrations,
    };
    this.#addToModel(record);
  }

  /** What was asked of a name since the ledger was made; undefined for one of which nothing is known. Grows on. */
  model(name: string): ModelTotals | undefined {
    return this.#models.get(name);
  }

  #addToModel({ model, outcome, totalMs, firstTokenMs, arrivedUnixMs }: RequestRecord): void {
    let totals = this.#models.get(model);
    if (!totals) {
      totals = { finished: noCount(), cancelled: noCount(), failed: noCount(), firstTokenMs: 0, lastUnixMs: 0 };
      this.#models.set(model, totals, 1);
    }
    const count = outcome === "finished" || outcome === "cancelled" ? totals[outcome] : totals.failed;
    count.requests++;
    count.totalMs += totalMs;
    if (outcome === "finished") totals.firstTokenMs += firstTokenMs ?? 0;
    totals.lastUnixMs = Math.max(totals.lastUnixMs, Number(arrivedUnixMs));
  }

  /** At most `limit` records, newest first. */
  latest(limit: number): RequestRecord[] {
    const out: RequestRecord[] = [];
    const oldest = Math.max(0, this.#next - this.#ring.length);
    for (let at = this.#next - 1; at >= oldest && out.length < limit; at--) {
      const record = this.#ring[at % this.#ring.length];
      if (record) out.push(record);
    }
    return out;
  }
}

function noCount(): OpenCount {
  return { requests: 0, totalMs: 0 };
}

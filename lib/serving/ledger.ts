import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
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

/** The last requests, one record each, in a ring of fixed size, and sums over all. Keeps the records; never a text. */
export class Ledger {
  readonly #ring: (RequestRecord | undefined)[];
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

  constructor(capacity: number) {
    assert(capacity > 0, "a ledger holds at least one record");
    this.#ring = new Array(capacity);
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

import type { Outcome } from "../replay.ts";

const NAMES = [
  ...(["row", "arrivedMs", "firstMs", "secondMs", "endedMs", "promptTokens", "cachedTokens"] as const),
  ...(["reusableTokens", "tokens", "worker", "prefilledBy", "movedTokens", "handOffMs", "isRefused"] as const),
] as const;

/** Outcomes as one array of numbers for each of their fields, all of the same length: they move between threads without a copy. */
export type OutcomeColumns = Readonly<Record<(typeof NAMES)[number], Float64Array<ArrayBuffer>>>;

/** Outcomes that fit before the columns grow. */
const FIRST_ROOM = 1_024;

/** Writes outcomes into columns. What a request has not, such as a first token or a hand-off, is NaN there; one that was refused has 1 as isRefused, else 0. */
export class OutcomeBook {
  #columns = createColumns(FIRST_ROOM);
  #count = 0;

  /** Outcomes that were written. */
  get count(): number {
    return this.#count;
  }

  /** What was written, as arrays of the caller's own. */
  get columns(): OutcomeColumns {
    return mapColumns((name) => this.#columns[name].slice(0, this.#count));
  }

  /** Writes one; copies it. */
  add(outcome: Outcome): void {
    const at = this.#count++;
    if (at === this.#columns.row.length) this.#grow();
    for (const name of NAMES) {
      if (name === "isRefused") this.#columns[name][at] = outcome.refusal === "" ? 0 : 1;
      else this.#columns[name][at] = outcome[name] ?? Number.NaN;
    }
  }

  #grow(): void {
    const old = this.#columns;
    this.#columns = createColumns(2 * old.row.length);
    for (const name of NAMES) this.#columns[name].set(old[name]);
  }
}

/** Places of those that got an answer, in the order in which they ended. */
export function answered({ isRefused }: OutcomeColumns): number[] {
  return [...isRefused.keys()].filter((at) => isRefused[at] === 0);
}

/** The buffers of columns: what moves to another thread. */
export function buffersOf(columns: OutcomeColumns): ArrayBuffer[] {
  return NAMES.map((name) => columns[name].buffer);
}

function createColumns(room: number): OutcomeColumns {
  return mapColumns(() => new Float64Array(room));
}

function mapColumns(make: (name: keyof OutcomeColumns) => Float64Array<ArrayBuffer>): OutcomeColumns {
  return Object.fromEntries(NAMES.map((name) => [name, make(name)])) as OutcomeColumns;
}

import type { KeptTimes } from "../cost/kept-times.ts";
import type { Decision, Missing } from "../decision.ts";
import type { BypassVerdict } from "../legs/bypass.ts";
import type { RoutingLimits } from "../limits.ts";
import type { Leg } from "../router.ts";
import { type Candidates, COLUMNS, createCandidates, readColumns, writeColumns } from "../rules/candidates.ts";
import type { RuleAsk } from "../rules/rule.ts";
import type { DecidingName } from "../rules/table.ts";

/** One choice, as it is kept: the candidates' columns lie in the ring, and terms are worked out when somebody asks. */
export interface KeptDecision {
  /** Of the request. */
  readonly requestId: string;
  /** Choices of the request that it was for. */
  readonly choices: readonly number[];
  /** What was placed: all of the answer, or a leg. */
  readonly leg: Leg;
  /** What the bypass rule said, where workers for prompts were there. */
  readonly bypass: BypassVerdict | undefined;
  /** On the router's clock. */
  readonly atMs: number;
  /** By which costs are. */
  readonly rule: DecidingName;
  /** Why that rule, as in Explanation. */
  readonly why: string;
  /** What it was asked. */
  readonly ask: RuleAsk;
  /** What decided. */
  readonly decision: Decision;
  /** What was not known. */
  readonly missing: readonly Missing[];
  /** How many candidates there were. */
  readonly of: number;
  /** Of those, the chosen one: a place in the table that it was chosen from. */
  readonly chosen: number;
  /** Foreseen time to the first token at the chosen one, in ms; undefined where its times or prefixes were not known. */
  readonly predictedMs: number | undefined;
  /** Foreseen tokens of the prompt that it need not compute; undefined under a rule that does not look at prefixes. */
  readonly predictedTokens: number | undefined;
  /** What came; written by the router. */
  seenMs: number | undefined;
  /** What its worker found in its cache; written by the router. */
  seenTokens: number | undefined;
}

/** A decision and the table that it was made from. */
export interface KeptTable {
  /** The candidates that are kept. */
  readonly candidates: Candidates;
  /** What each cost, weighed. */
  readonly costs: Float64Array;
  /** Place of the chosen one among them. */
  readonly chosen: number;
}

/** Bounds of a ring. */
export type RingLimits = Pick<RoutingLimits, "decisions" | "candidates" | "candidatesOfOne">;

interface Slot {
  readonly decision: KeptDecision;
  /** Where its rows begin. */
  readonly from: number;
  readonly rows: number;
  readonly chosen: number;
}

/** Room for so many rows at first; it grows to its bound as decisions come. */
const FIRST_ROWS = 1_024;

/**
 * The latest decisions, bounded by their number and by the rows of all of them. A row is a candidate: its columns in one
 * array of numbers, so that keeping a decision is one copy and one object.
 */
export class DecisionRing {
  readonly #limits: RingLimits;
  readonly #width = COLUMNS.length + 1;
  /** Oldest first; `#first` is where they begin. */
  #slots: (Slot | undefined)[] = [];
  #first = 0;
  #values = new Float64Array(0);
  #workers = new BigUint64Array(0);
  /** Beside the values; those of rows that were given away stay until others come there. */
  readonly #times: KeptTimes[] = [];
  /** Where the next rows go. */
  #at = 0;

  constructor(limits: RingLimits) {
    this.#limits = limits;
  }

  /** Decisions that are kept. */
  get size(): number {
    return this.#slots.length - this.#first;
  }

  /** When the oldest of them was made; undefined when there is none. */
  get oldestMs(): number | undefined {
    return this.#slots[this.#first]?.decision.atMs;
  }

  /** Keeps a decision with the table and the costs that it was made from, which are copied. */
  add(decision: KeptDecision, candidates: Candidates, costs: Float64Array): void {
    const most = Math.max(1, Math.min(this.#limits.candidatesOfOne, this.#limits.candidates));
    const kept = candidates.count <= most ? undefined : cheapest(decision.chosen, candidates.count, most, costs);
    const rows = kept?.length ?? candidates.count;
    while (this.size >= Math.max(1, this.#limits.decisions)) this.#forget();
    const from = this.#reserve(rows);
    if (kept) this.#copyPicked(kept, from, candidates, costs);
    else this.#copy(from, candidates, costs);
    const chosen = kept ? kept.indexOf(decision.chosen) : decision.chosen;
    this.#slots.push({ decision, from, rows, chosen });
  }

  /** The decisions about a request, oldest first. */
  find(requestId: string): KeptDecision[] {
    const found: KeptDecision[] = [];
    for (let at = this.#first; at < this.#slots.length; at++) {
      const { decision } = this.#slots[at]!;
      if (decision.requestId === requestId) found.push(decision);
    }
    return found;
  }

  /** The table of a decision that is kept, as arrays of the caller's own; undefined when it is kept no longer. */
  table(decision: KeptDecision): KeptTable | undefined {
    const slot = this.#slots.find((each) => each?.decision === decision);
    if (!slot) return undefined;
    const { from, rows, chosen } = slot;
    const candidates = createCandidates(rows);
    candidates.count = rows;
    candidates.workers.set(this.#workers.subarray(from, from + rows));
    candidates.times.push(...this.#times.slice(from, from + rows));
    const at = readColumns(this.#values, from * this.#width, candidates);
    return { candidates, costs: this.#values.slice(at, at + rows), chosen };
  }

  #copy(from: number, candidates: Candidates, costs: Float64Array): void {
    const { count } = candidates;
    const values = this.#values;
    for (let row = 0; row < count; row++) {
      this.#workers[from + row] = candidates.workers[row]!;
      this.#times[from + row] = candidates.times[row]!;
    }
    let at = writeColumns(candidates, values, from * this.#width);
    for (let row = 0; row < count; row++) values[at++] = costs[row]!;
  }

  #copyPicked(kept: readonly number[], from: number, candidates: Candidates, costs: Float64Array): void {
    let at = from * this.#width;
    for (const [row, place] of kept.entries()) {
      this.#workers[from + row] = candidates.workers[place]!;
      this.#times[from + row] = candidates.times[place]!;
    }
    for (const name of COLUMNS) for (const place of kept) this.#values[at++] = candidates[name][place]!;
    for (const place of kept) this.#values[at++] = costs[place]!;
  }

  /** Room for rows in a row: after the last ones, or from the start again; the oldest decisions make way. */
  #reserve(rows: number): number {
    const bound = Math.max(1, this.#limits.candidates);
    if (this.#at + rows > bound) {
      // What lies behind the last rows is older than all before them.
      while (this.#slots[this.#first] && this.#slots[this.#first]!.from >= this.#at) this.#forget();
      this.#at = 0;
    }
    const end = this.#at + rows;
    while (this.#slots[this.#first] && this.#overlaps(this.#slots[this.#first]!, end)) this.#forget();
    this.#grow(Math.min(bound, end));
    const from = this.#at;
    this.#at = end;
    return from;
  }

  #overlaps({ from, rows }: Slot, end: number): boolean {
    return from < end && from + rows > this.#at;
  }

  #forget(): void {
    this.#slots[this.#first] = undefined;
    this.#first++;
    if (this.#first < 64 || this.#first * 2 < this.#slots.length) return;
    this.#slots = this.#slots.slice(this.#first);
    this.#first = 0;
  }

  #grow(rows: number): void {
    if (rows * this.#width <= this.#values.length) return;
    const bound = Math.max(1, this.#limits.candidates);
    const next = Math.min(bound, Math.max(rows, FIRST_ROWS, (2 * this.#values.length) / this.#width));
    const values = new Float64Array(next * this.#width);
    const workers = new BigUint64Array(next);
    values.set(this.#values);
    workers.set(this.#workers);
    [this.#values, this.#workers] = [values, workers];
  }
}

/** Places of the chosen one and of the cheapest others, in their order. */
function cheapest(chosen: number, count: number, most: number, costs: Float64Array): number[] {
  const others = Array.from({ length: count }, (_, place) => place).filter((place) => place !== chosen);
  others.sort((left, right) => (costs[left]! === costs[right]! ? left - right : costs[left]! - costs[right]!));
  return [chosen, ...others.slice(0, most - 1)].sort((left, right) => left - right);
}

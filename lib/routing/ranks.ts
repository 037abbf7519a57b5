import type { KvKnowledge } from "#lib/kv/event";
import type { CalibratedTimes } from "#lib/perf/calibrated-times";
import type { PromptHashes } from "#lib/tokens/prompt-hashes";
import { KeptTimes } from "./cost/kept-times.ts";
import type { FleetWorker, KvScope } from "./fleet.ts";
import type { Overlaps, PrefixIndex } from "./index/prefix-index.ts";
import type { RankPlace } from "./load/load-book.ts";

/** One index and who is in it: workers of equal weights, block size and hash scheme. */
export interface Shelf {
  /** Names it among all. */
  readonly key: string;
  /** What its prefixes agree on. */
  readonly scope: KvScope;
  /** Who holds what. */
  readonly index: PrefixIndex;
  /** Cuts prompts into its blocks, one after the other. */
  readonly hashes: PromptHashes;
  /** Ranks that are in it. */
  members: number;
  /** What the last prompt found, by slot. */
  overlaps: Overlaps;
}

/** Nothing is known of a rank that was not followed yet. */
export const NO_KNOWLEDGE: KvKnowledge = {
  state: "none",
  reason: "It has not told of its cache.",
  lagMs: undefined,
  behind: 0,
};

/** One rank of a worker: a candidate of choices. Written by the router alone. */
export class RankSeat implements RankPlace {
  /** Its worker, as followed last. */
  fleet: FleetWorker;
  /** Its instance. */
  readonly worker: bigint;
  /** From 0. */
  readonly rank: number;
  /** What is learned of its worker's speed, one for all ranks. */
  learned: CalibratedTimes;
  #kept: KeptTimes | undefined;
  /** Where its prefixes are; undefined where they cannot be compared. */
  shelf: Shelf | undefined;
  /** Its place there. */
  slot = 0;
  /** How well it is known what it holds. */
  knowledge: KvKnowledge = NO_KNOWLEDGE;
  /** As in Candidates. */
  coldTurn = 0;

  constructor(fleet: FleetWorker, rank: number, learned: CalibratedTimes) {
    this.fleet = fleet;
    this.worker = fleet.worker;
    this.rank = rank;
    this.learned = learned;
  }

  /** Begins to learn anew, from what its worker says now. */
  learn(learned: CalibratedTimes): void {
    this.learned = learned;
    this.#kept = undefined;
  }

  /** Its times now, as a value that stays: the same one until something was learned. */
  get times(): KeptTimes {
    if (this.#kept?.passes !== this.learned.passes) this.#kept = undefined;
    this.#kept ??= new KeptTimes(this.learned.toPrior(), this.learned);
    return this.#kept;
  }
}

import type { KvKnowledge } from "#lib/kv/event";
import type { PassRecord, TimeModel } from "#lib/perf/time-model";
import type { FleetWorker, KvScope } from "./fleet.ts";
import type { Overlaps, PrefixIndex, PromptBlocks } from "./index/prefix-index.ts";
import type { RankLoad } from "./load/rank-load.ts";

/** Keeps what one rank has to do: what this router placed there, and what its passes tell. */
export interface RankBook {
  /** As of now. */
  readonly load: RankLoad;
  /** Distinct blocks of its requests with those of a prompt of so many tokens; the prompt's blocks where there are any. */
  potentialBlocks(promptTokens: number, blocks: PromptBlocks | undefined): number;
  /** A choice goes there; `cachedTokens` of its prompt are expected to be there. Borrows the blocks. */
  open(prompt: {
    readonly promptTokens: number;
    readonly cachedTokens: number;
    readonly blocks: PromptBlocks | undefined;
  }): Booking;
  /** It told of a pass; borrowed. */
  observe(pass: PassRecord): void;
}

/** What one choice takes of a rank, until it ends. */
export interface Booking {
  /** The worker took it, and found so many tokens of its prompt in its cache. */
  accepted(cachedTokens: number): void;
  /** Its prompt is computed. */
  firstToken(): void;
  /** Its answer has so many tokens. */
  tokens(count: number): void;
  /** Nothing of it is there any more; called once. */
  ended(): void;
}

/** How fast a worker is, learned from its passes. */
export interface WorkerTimes {
  /** As of now; the same object as long as the worker is there. */
  readonly model: TimeModel;
  /** It told of a pass; borrowed. */
  observe(pass: PassRecord): void;
}

/** A prompt that is to be cut into blocks. */
export interface BlockPrompt {
  /** Its tokens; borrowed. */
  readonly tokens: Uint32Array;
  /** What blocks are to be compared with. */
  readonly scope: KvScope;
  /** Separates prefix caches. */
  readonly salt: string;
  /** The adapter; undefined for the model alone. */
  readonly adapter: string | undefined;
}

/** One index and who is in it: workers of equal weights, block size and hash scheme. */
export interface Shelf {
  /** Names it among all. */
  readonly key: string;
  /** What its prefixes agree on. */
  readonly scope: KvScope;
  /** Who holds what. */
  readonly index: PrefixIndex;
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
export class RankSeat {
  /** Its worker, as followed last. */
  fleet: FleetWorker;
  /** From 0. */
  readonly rank: number;
  /** Its load. */
  readonly book: RankBook;
  /** Its worker's speed. */
  readonly times: WorkerTimes;
  /** Where its prefixes are; undefined where they cannot be compared. */
  shelf: Shelf | undefined;
  /** Its place there. */
  slot = 0;
  /** How well it is known what it holds. */
  knowledge: KvKnowledge = NO_KNOWLEDGE;
  /** As in Candidates. */
  coldTurn = 0;
  /** Its worker is gone. */
  isGone = false;

  constructor(fleet: FleetWorker, rank: number, parts: { readonly book: RankBook; readonly times: WorkerTimes }) {
    this.fleet = fleet;
    this.rank = rank;
    this.book = parts.book;
    this.times = parts.times;
  }
}

/** Arrays for what a prompt finds at so many slots. */
export function createOverlaps(slots: number): Overlaps {
  const column = () => new Uint32Array(slots);
  return { device: column(), host: column(), disk: column(), external: column() };
}

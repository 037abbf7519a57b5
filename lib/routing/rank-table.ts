import { assert } from "#lib/base/errors";
import type { KvApplied, KvChange, KvKnowledge, KvSink } from "#lib/kv/event";
import { CalibratedTimes } from "#lib/perf/calibrated-times";
import type { ContentHasher } from "#lib/tokens/block-hash";
import { PromptHashes } from "#lib/tokens/prompt-hashes";
import type { Fleet, FleetWorker, KvScope } from "./fleet.ts";
import { createOverlaps, type PrefixIndex } from "./index/prefix-index.ts";
import { RankSeat, type Shelf } from "./ranks.ts";

/** What indexes are made with. */
export interface RankParts {
  /** Makes an index for workers whose prefixes agree on a scope; dropped when the last of them left. */
  readonly openIndex: (scope: KvScope) => PrefixIndex;
  /** Hashes prompts; the native addon is the fastest. */
  readonly hasher: ContentHasher;
  /** Blocks that it hashes first. */
  readonly stepBlocks: number;
}

const NOTHING: KvApplied = { stored: 0, removed: 0, absent: 0, parentUnknown: false };

/** The ranks of all workers that are there, and the indexes that they share. */
export class RankTable {
  readonly #parts: RankParts;
  readonly #seats = new Map<bigint, readonly RankSeat[]>();
  readonly #shelves = new Map<string, Shelf>();
  /** What the budgets of indexes took that are gone. */
  #evictedBefore = 0;

  constructor(parts: RankParts) {
    this.#parts = parts;
  }

  /** The indexes that are in use. */
  get shelves(): Iterable<Shelf> {
    return this.#shelves.values();
  }

  /** Entries that the budgets of indexes took so far. */
  get evicted(): number {
    return [...this.#shelves.values()].reduce((sum, { index }) => sum + index.evicted, this.#evictedBefore);
  }

  /** The ranks of all workers, by instance. */
  get workers(): ReadonlyMap<bigint, readonly RankSeat[]> {
    return this.#seats;
  }

  /** The ranks of a worker; none of one that was not followed. */
  of(worker: bigint): readonly RankSeat[] {
    return this.#seats.get(worker) ?? [];
  }

  /** The workers that are there from now on. Another incarnation, or another number of ranks, is another worker. */
  follow(fleet: Fleet): void {
    for (const [worker, seats] of this.#seats) {
      const now = fleet.get(worker);
      const [first] = seats;
      const isSame = now?.incarnation === first?.fleet.incarnation && now?.ranks === seats.length;
      if (now && isSame) this.#update(seats, now);
      else this.#remove(worker, seats);
    }
    for (const [worker, about] of fleet) if (!this.#seats.has(worker)) this.#add(worker, about);
  }

  /** Takes what a rank's worker says of its cache, as long as this incarnation is there. */
  sink(worker: bigint, rank: number): KvSink {
    const seat = this.#seats.get(worker)?.[rank];
    return {
      apply: (change) => (seat ? apply(seat, change) : NOTHING),
      reset() {
        if (seat) apply(seat, { kind: "cleared" });
      },
      know(knowledge) {
        if (seat) know(seat, knowledge);
      },
    };
  }

  #add(worker: bigint, about: FleetWorker): void {
    const learned = newTimes(about);
    const seats = Array.from({ length: about.ranks }, (_, rank) => {
      const seat = new RankSeat(about, rank, learned);
      this.#shelve(seat);
      return seat;
    });
    this.#seats.set(worker, seats);
  }

  #update(seats: readonly RankSeat[], about: FleetWorker): void {
    // A worker's record may come before its card, which says how fast it is.
    const learned = seats.some(({ fleet }) => isSameSpeed(fleet, about)) ? undefined : newTimes(about);
    for (const seat of seats) {
      const isMoved = keyOf(about) !== keyOf(seat.fleet);
      if (isMoved) this.#unshelve(seat);
      seat.fleet = about;
      if (learned) seat.learn(learned);
      if (isMoved) this.#shelve(seat);
    }
  }

  #remove(worker: bigint, seats: readonly RankSeat[]): void {
    this.#seats.delete(worker);
    for (const seat of seats) this.#unshelve(seat);
  }

  #shelve(seat: RankSeat): void {
    const { scope } = seat.fleet;
    const key = keyOf(seat.fleet);
    if (!scope || key === undefined) return;
    let shelf = this.#shelves.get(key);
    if (!shelf) {
      const { openIndex, hasher, stepBlocks } = this.#parts;
      const hashes = new PromptHashes(hasher, { blockTokens: scope.blockTokens, stepBlocks });
      shelf = { key, scope, index: openIndex(scope), hashes, members: 0, overlaps: createOverlaps(0) };
      this.#shelves.set(key, shelf);
    }
    seat.slot = shelf.index.join();
    seat.shelf = shelf;
    shelf.members++;
    if (shelf.overlaps.device.length < shelf.index.slots) shelf.overlaps = createOverlaps(2 * shelf.index.slots);
  }

  #unshelve(seat: RankSeat): void {
    const { shelf } = seat;
    if (!shelf) return;
    shelf.index.leave(seat.slot);
    seat.shelf = undefined;
    shelf.members--;
    assert(shelf.members >= 0, "a shelf loses as many as it got");
    if (shelf.members > 0) return;
    this.#evictedBefore += shelf.index.evicted;
    this.#shelves.delete(shelf.key);
  }
}

function newTimes({ prior, scope }: FleetWorker): CalibratedTimes {
  return new CalibratedTimes({ prior, blockTokens: scope?.blockTokens ?? 0 });
}

function isSameSpeed(before: FleetWorker, now: FleetWorker): boolean {
  const told = ({ prior, scope }: FleetWorker) => JSON.stringify([prior, scope?.blockTokens]);
  return told(before) === told(now);
}

/** Names the index that a worker's prefixes are in; undefined for none. */
function keyOf({ weights, scope }: FleetWorker): string | undefined {
  return scope && `${scope.blockTokens} ${scope.hashScheme} ${weights}`;
}

function apply({ shelf, slot }: RankSeat, change: KvChange): KvApplied {
  return shelf ? shelf.index.apply(slot, change) : NOTHING;
}

/** What a liar said is forgotten: it takes memory, and nobody goes by it. */
function know(seat: RankSeat, knowledge: KvKnowledge): void {
  if (knowledge.state === "untrusted" && seat.knowledge.state !== "untrusted") apply(seat, { kind: "cleared" });
  seat.knowledge = knowledge;
}

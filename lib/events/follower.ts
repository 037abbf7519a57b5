import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import type { KvKnowledge, KvSink } from "#lib/kv/event";
import { EventCounters } from "./counters.ts";
import type { KvFeed } from "./feed.ts";
import { FOLLOW_LIMITS, type FollowLimits } from "./limits.ts";
import { RankFollower } from "./rank-follower.ts";
import { Turns } from "./turns.ts";

/** As much of a worker as following its events needs. Another incarnation is another worker. */
export interface FollowedWorker {
  /** Its instance. */
  readonly worker: bigint;
  /** Of its start. */
  readonly incarnation: bigint;
  /** Data-parallel ranks, at least 1. */
  readonly ranks: number;
  /** What its events are measured by; undefined: it is not followed. */
  readonly scope: { readonly blockTokens: number; readonly hashScheme: string } | undefined;
}

/** What a follower lives on. Everything is borrowed. */
export interface KvFollowerOptions<Worker extends FollowedWorker> {
  /** The way to a worker's events, a session of its own; asked once for each incarnation. The follower closes it. Must not throw. */
  readonly connect: (worker: Worker) => KvFeed;
  /** Who keeps what a rank holds; asked once for each rank of each incarnation, before its first event. */
  readonly sink: (worker: Worker, rank: number) => KvSink;
  /** Of all its waits and times. */
  readonly clock: Clock;
  /** Spreads the moments at which ranks ask. */
  readonly chance: Chance;
  /** Told of recoveries that fail and of workers that are not believed. */
  readonly log: Log;
  /** Holds `EVENTS_INSTRUMENTS`, filled at every scrape. */
  readonly metrics: Metrics;
  /** What differs from `FOLLOW_LIMITS`. */
  readonly limits?: Partial<FollowLimits>;
}

/** Follows the events of all workers of a fleet. */
export interface KvFollower<Worker extends FollowedWorker> {
  /**
   * These are the workers now: those that are new are followed, those that are missing or have another incarnation or scope
   * are left. The sink of a rank that is left hears that it knows nothing any more, and nothing else.
   */
  follow(workers: Iterable<Worker>): void;
  /** How well a rank is known; undefined for one that is not followed. */
  knowledge(worker: bigint, rank: number): KvKnowledge | undefined;
  /** Leaves all. */
  close(): void;
}

interface Followed<Worker> {
  readonly worker: Worker;
  readonly feed: KvFeed;
  readonly ranks: readonly RankFollower[];
}

/** Opens a follower that follows nobody yet. */
export function openKvFollower<Worker extends FollowedWorker>(options: KvFollowerOptions<Worker>): KvFollower<Worker> {
  return new FleetFollower(options);
}

class FleetFollower<Worker extends FollowedWorker> implements KvFollower<Worker> {
  readonly #options: KvFollowerOptions<Worker>;
  readonly #limits: FollowLimits;
  readonly #followed = new Map<bigint, Followed<Worker>>();
  readonly #turns: Turns;
  readonly #counters = new EventCounters();
  readonly #offScrape: () => void;

  constructor(options: KvFollowerOptions<Worker>) {
    this.#options = options;
    this.#limits = { ...FOLLOW_LIMITS, ...options.limits };
    this.#turns = new Turns(this.#limits.recoveries);
    this.#offScrape = options.metrics.onScrape(() => this.#scrape());
  }

  follow(workers: Iterable<Worker>): void {
    const wanted = new Map<bigint, Worker>();
    for (const worker of workers) if (worker.scope) wanted.set(worker.worker, worker);
    for (const [id, { worker }] of this.#followed) {
      const now = wanted.get(id);
      if (!now || !isSame(worker, now)) this.#leave(id);
    }
    for (const [id, worker] of wanted) if (!this.#followed.has(id)) this.#begin(worker);
  }

  knowledge(worker: bigint, rank: number): KvKnowledge | undefined {
    return this.#followed.get(worker)?.ranks[rank]?.knowledge;
  }

  close(): void {
    for (const id of [...this.#followed.keys()]) this.#leave(id);
    this.#offScrape();
  }

  #begin(worker: Worker): void {
    const { worker: id, incarnation, scope } = worker;
    if (!scope) return;
    const { connect, sink, clock, chance, log } = this.#options;
    const feed = connect(worker);
    const deps = { feed, clock, chance, log, limits: this.#limits, turns: this.#turns, counters: this.#counters };
    const ranks = Array.from({ length: worker.ranks }, (_, rank) => {
      return new RankFollower({
        ...deps,
        worker: id,
        rank,
        expected: { incarnation, ...scope },
        sink: sink(worker, rank),
      });
    });
    this.#followed.set(id, { worker, feed, ranks });
    for (const rank of ranks) rank.start();
  }

  #leave(id: bigint): void {
    const followed = this.#followed.get(id);
    if (!followed) return;
    this.#followed.delete(id);
    for (const rank of followed.ranks) rank.close();
    followed.feed.close();
  }

  #scrape(): void {
    const known = [...this.#followed.values()].flatMap(({ ranks }) => ranks.map(({ knowledge }) => knowledge));
    this.#counters.print(this.#options.metrics, known, this.#turns);
  }
}

function isSame(left: FollowedWorker, right: FollowedWorker): boolean {
  return (
    left.incarnation === right.incarnation &&
    left.ranks === right.ranks &&
    left.scope?.blockTokens === right.scope?.blockTokens &&
    left.scope?.hashScheme === right.scope?.hashScheme
  );
}

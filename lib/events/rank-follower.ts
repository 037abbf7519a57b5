import { printId } from "#lib/base/bytes";
import type { Chance } from "#lib/base/chance";
import type { Clock, Timer } from "#lib/base/clock";
import type { Log } from "#lib/host/log";
import type { KvChange, KvKnowledge, KvSink } from "#lib/kv/event";
import type { EventCounters } from "./counters.ts";
import type { KvFeed } from "./feed.ts";
import type { FollowLimits } from "./limits.ts";
import { type Expected, type RankEffect, type RankEvent, RankMachine } from "./rank-machine.ts";
import type { Turns, TurnTaker } from "./turns.ts";

/** What one rank is followed with. Everything is borrowed. */
export interface RankFollowerOptions {
  /** Instance of the worker, for logs. */
  readonly worker: bigint;
  /** Which of its ranks. */
  readonly rank: number;
  /** What it must tell to be believed. */
  readonly expected: Expected;
  /** The way to the worker. */
  readonly feed: KvFeed;
  /** Who keeps what the rank holds. */
  readonly sink: KvSink;
  /** Of its waits and times. */
  readonly clock: Clock;
  /** Spreads them. */
  readonly chance: Chance;
  /** Told of what fails. */
  readonly log: Log;
  /** Bounds and periods. */
  readonly limits: FollowLimits;
  /** To catch up, over all ranks. */
  readonly turns: Turns;
  /** Over all ranks. */
  readonly counters: EventCounters;
}

/** Carries out what the machine of one rank decides. */
export class RankFollower implements TurnTaker {
  readonly #options: RankFollowerOptions;
  readonly #machine: RankMachine;
  #subscription: { close(): void } | undefined;
  #timer: Timer | undefined;
  /** When the machine's timer is due, and when ours fires: no later. */
  #dueMs = Number.POSITIVE_INFINITY;
  #firesMs = Number.POSITIVE_INFINITY;
  /** What the effects of the present event caused. */
  readonly #caused: RankEvent[] = [];
  #isStepping = false;
  #isClosed = false;

  constructor(options: RankFollowerOptions) {
    this.#options = options;
    this.#machine = new RankMachine(options.expected, options.limits, options.chance);
  }

  /** How well it is known. */
  get knowledge(): KvKnowledge {
    return this.#machine.knowledge;
  }

  /** Begins; once. */
  start(): void {
    this.#take({ kind: "start" });
  }

  onTurn(): void {
    this.#take({ kind: "permit" });
  }

  /** Ends it. The sink hears that nothing is known any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#subscription?.close();
    this.#options.turns.release(this);
    const { lagMs } = this.knowledge;
    this.#options.sink.know({ state: "none", reason: "It is not followed any more.", lagMs, behind: 0 });
  }

  #take(event: RankEvent): void {
    this.#caused.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#caused.shift(); next && !this.#isClosed; next = this.#caused.shift()) {
        for (const effect of this.#machine.step(next, this.#options.clock.nowMs())) this.#carryOut(effect);
      }
    } finally {
      this.#isStepping = false;
    }
  }

  #carryOut(effect: RankEffect) {
    const { sink, turns, counters } = this.#options;
    switch (effect.kind) {
      case "acquire":
        if (turns.acquire(this)) this.#take({ kind: "permit" });
        return;
      case "release":
        return turns.release(this);
      case "subscribe":
        return this.#subscribe(effect.fromId);
      case "unsubscribe":
        this.#subscription?.close();
        this.#subscription = undefined;
        return;
      case "reset":
        return sink.reset();
      case "apply":
        return this.#apply(effect.changes, effect.from);
      case "know":
        return sink.know(effect.knowledge);
      case "wake":
        return this.#wake(effect.atMs);
      case "dropped":
        return counters.count("stator_events_dropped_total", { why: effect.why }, effect.events);
      case "gap":
        return counters.count("stator_events_gaps_total");
      case "recovered":
        return counters.count("stator_events_recoveries_total", { way: effect.way });
      case "failed":
        counters.count("stator_events_failures_total");
        return this.#tellFailed(effect.reason, effect.rests);
      case "fault":
        counters.count("stator_events_faults_total", { fault: effect.fault });
        return this.#tellFault(effect);
    }
  }

  #subscribe(fromId: bigint): void {
    const { feed, rank, expected, clock } = this.#options;
    const own = { close: () => {} };
    // Of a subscription that was left nothing is heard, whatever its binding does.
    const isOurs = () => this.#subscription === own;
    this.#subscription = own;
    const begun = feed.subscribe(
      { rank, incarnation: expected.incarnation, fromId },
      {
        onMessage: (message) => {
          if (isOurs()) this.#take({ kind: "message", message, unixMs: clock.unixMs() });
        },
        onEnd: (error) => {
          if (isOurs()) this.#take({ kind: "ended", error });
        },
      },
    );
    own.close = () => begun.close();
  }

  #apply(changes: readonly KvChange[], from: number): void {
    const { sink, counters } = this.#options;
    let parentsUnknown = 0;
    for (let at = from; at < changes.length; at++) {
      const change = changes[at]!;
      const applied = sink.apply(change);
      counters.applied(change, applied);
      if (applied.parentUnknown) parentsUnknown++;
    }
    if (parentsUnknown > 0) this.#take({ kind: "applied", parentsUnknown });
  }

  /** A message moves the time of silence on; the timer itself moves only when it fires. */
  #wake(atMs: number): void {
    this.#dueMs = atMs;
    if (this.#firesMs <= atMs) return;
    this.#timer?.cancel();
    this.#arm();
  }

  #arm(): void {
    const { clock } = this.#options;
    this.#firesMs = this.#dueMs;
    this.#timer = clock.after(Math.max(0, this.#dueMs - clock.nowMs()), () => {
      this.#firesMs = Number.POSITIVE_INFINITY;
      if (clock.nowMs() < this.#dueMs) return this.#arm();
      this.#dueMs = Number.POSITIVE_INFINITY;
      this.#take({ kind: "timer" });
    });
  }

  #tellFailed(reason: string, rests: boolean): void {
    const { log, worker, rank } = this.#options;
    const fields = { worker: printId(worker), rank, reason };
    if (rests) log.warn("events of a worker cannot be had, asked again later", fields);
    else log.debug("events of a worker did not come", fields);
  }

  #tellFault({ fault, reason, isLast }: RankEffect & { kind: "fault" }): void {
    const { log, worker, rank } = this.#options;
    const fields = { worker: printId(worker), rank, fault, reason };
    if (isLast) log.error("events of a worker are not believed any more", fields);
    else log.warn("a worker told what cannot be", fields);
  }
}

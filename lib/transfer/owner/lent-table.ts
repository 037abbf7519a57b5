import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { TransferLimits } from "../limits.ts";
import { Lent, type LentDeps, type LentInit } from "./lent.ts";

/** How a session ends. */
export type SessionEnd = "pulled" | "released" | "expired" | "failed" | "closed";

/** What a table is made of. */
export interface LentTableOptions {
  /** Blocks and their bound. */
  readonly lent: LentDeps;
  /** Sessions and times. */
  readonly limits: TransferLimits;
  /** Of leases. */
  readonly clock: Clock;
  /** A session is over. */
  onEnd(end: SessionEnd): void;
}

/** One who waits in a room. */
interface Waiter {
  /** The prefill has begun; or why nobody comes. */
  readonly found: (lent: Lent | StatorError) => void;
  readonly timer: Timer;
}

/** All sequences that are kept for others, by the names of sessions and the numbers of rooms. */
export class LentTable {
  readonly #options: LentTableOptions;
  /** Those whose prefill is done, the one that was heard of longest ago first: the order of their leases. */
  readonly #sessions = new Map<string, { readonly lent: Lent; readonly untilMs: number }>();
  readonly #rooms = new Map<bigint, Lent>();
  readonly #waiters = new Map<bigint, Set<Waiter>>();
  /** Why the last rooms are no more, for those who come late; as many as there may be sessions. */
  readonly #gone = new Map<bigint, StatorError>();
  #running = 0;
  #waiting = 0;
  #timer: Timer | undefined;

  constructor(options: LentTableOptions) {
    this.#options = options;
  }

  /** Sessions that are kept, and rooms whose prefill runs. */
  get open(): number {
    return this.#sessions.size + this.#running;
  }

  /** Those who wait for a prefill that has not begun. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether there is no place for another session. */
  get isFull(): boolean {
    const { limits, lent } = this.#options;
    return this.open >= limits.maxSessions || lent.pins.size >= lent.maxPinned;
  }

  /** Opens a room. Throws LIMIT when there is no place, ALREADY_EXISTS for a number that is in use. */
  announce(init: LentInit & { readonly room: bigint }): void {
    const { limits } = this.#options;
    if (this.#rooms.has(init.room)) throw new StatorError("ALREADY_EXISTS", { what: "The room" });
    if (this.open >= limits.maxSessions) throw tooMany(limits.maxSessions);
    this.#running++;
    const lent = this.#begin(init);
    lent.grow();
  }

  /** More blocks were computed. */
  progressed(): void {
    if (this.#running === 0) return;
    for (const lent of this.#rooms.values()) lent.grow();
  }

  /** A prefill is done: begins its lease. Undefined when nothing of it can be kept; a room's is kept for its first tokens. */
  keep(init: LentInit, firstTokens: Uint32Array): Lent | undefined {
    const announced = init.room === undefined ? undefined : this.#rooms.get(init.room);
    const isRunning = announced !== undefined && !announced.firstTokens;
    const { maxSessions } = this.#options.limits;
    if (isRunning) this.#running--;
    else if (this.open >= maxSessions) {
      if (init.room !== undefined) this.fail(init.room, tooMany(maxSessions));
      return undefined;
    }
    const lent = isRunning ? announced : this.#begin(init);
    lent.finish(firstTokens);
    if (init.room === undefined && lent.available === 0) return undefined;
    this.#enter(lent);
    return lent;
  }

  /** The session of this name, if it is kept. */
  session(id: string): Lent | undefined {
    return this.#sessions.get(id)?.lent;
  }

  /**
   * Whoever waits in a room is told of its prefill when it begins, at once when it has or is over. Returns what ends the wait.
   * Throws LIMIT when too many wait.
   */
  enter(room: bigint, found: (lent: Lent | StatorError) => void): () => void {
    const known = this.#rooms.get(room) ?? this.#gone.get(room);
    const { limits, clock } = this.#options;
    if (known) {
      found(known);
      return () => {};
    }
    if (this.#waiting >= limits.maxSessions) throw tooMany(limits.maxSessions);
    const late = () => this.#answer(room, waiter, new StatorError("NOT_FOUND", { what: "The prefill of the room" }));
    const waiter: Waiter = { found, timer: clock.after(limits.roomMs, late) };
    const waiters = this.#waiters.get(room) ?? new Set();
    this.#waiters.set(room, waiters.add(waiter));
    this.#waiting++;
    return () => void this.#leave(room, waiter);
  }

  /** A session was heard of: its lease begins anew. */
  renew(lent: Lent): void {
    if (this.#sessions.delete(lent.id)) this.#enter(lent);
  }

  /** The prefill of a room came to nothing: who waits is told. */
  fail(room: bigint, error: StatorError): void {
    const lent = this.#rooms.get(room);
    if (lent) this.end(lent, "failed", error);
    else this.#forget(room, error);
    for (const waiter of this.#waiters.get(room) ?? []) this.#answer(room, waiter, error);
  }

  /** Lets go of a sequence. Once is enough. */
  end(lent: Lent, end: SessionEnd, error = new StatorError("NOT_FOUND", { what: "The session" })): void {
    const isRoom = lent.room !== undefined && this.#rooms.get(lent.room) === lent;
    if (!this.#sessions.delete(lent.id) && !isRoom) return;
    if (isRoom) {
      this.#rooms.delete(lent.room!);
      this.#forget(lent.room!, error);
      if (!lent.firstTokens) this.#running--;
    }
    lent.end(error);
    this.#options.onEnd(end);
  }

  /** Lets go of all, and of those who wait. */
  clear(error: StatorError): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const { lent } of [...this.#sessions.values()]) this.end(lent, "closed", error);
    for (const lent of [...this.#rooms.values()]) this.end(lent, "closed", error);
    for (const [room, waiters] of [...this.#waiters]) for (const each of waiters) this.#answer(room, each, error);
  }

  /** Whoever waits in its room has it now. */
  #begin(init: LentInit): Lent {
    const lent = new Lent(init, this.#options.lent);
    if (init.room === undefined) return lent;
    this.#gone.delete(init.room);
    this.#rooms.set(init.room, lent);
    for (const waiter of this.#waiters.get(init.room) ?? []) this.#answer(init.room, waiter, lent);
    return lent;
  }

  #forget(room: bigint, error: StatorError): void {
    this.#gone.set(room, error);
    if (this.#gone.size <= this.#options.limits.maxSessions) return;
    for (const [oldest] of this.#gone) {
      this.#gone.delete(oldest);
      return;
    }
  }

  #enter(lent: Lent): void {
    const { clock, limits } = this.#options;
    this.#sessions.set(lent.id, { lent, untilMs: clock.nowMs() + limits.leaseMs });
    this.#timer ??= clock.after(limits.leaseMs, () => this.#expire());
  }

  #expire(): void {
    const { clock } = this.#options;
    this.#timer = undefined;
    for (const { lent, untilMs } of [...this.#sessions.values()]) {
      const leftMs = untilMs - clock.nowMs();
      if (leftMs > 0) {
        this.#timer = clock.after(leftMs, () => this.#expire());
        return;
      }
      this.end(lent, "expired", new StatorError("LEASE_LOST", { lease: lent.id }));
    }
  }

  #answer(room: bigint, waiter: Waiter, found: Lent | StatorError): void {
    if (this.#leave(room, waiter)) waiter.found(found);
  }

  #leave(room: bigint, waiter: Waiter): boolean {
    const waiters = this.#waiters.get(room);
    if (!waiters?.delete(waiter)) return false;
    if (waiters.size === 0) this.#waiters.delete(room);
    this.#waiting--;
    waiter.timer.cancel();
    return true;
  }
}

function tooMany(limit: number): StatorError {
  return new StatorError("LIMIT", { what: "The number of sessions of KV blocks", limit });
}

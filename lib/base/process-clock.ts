import type { Clock, Timer } from "./clock.ts";

/** A call that a process waits for; `call` is undefined once it was made or taken back. */
interface Waiting {
  call: (() => void) | undefined;
  timer: Timer | undefined;
  /** Comes from others, and not because the process asked for it. */
  readonly isArrival: boolean;
}

const NO_TIMER: Timer = { cancel() {} };

/**
 * The clock of one process among several in a test or a simulation. All tell the time of one world, and a process can stand
 * still, as after SIGSTOP, or be gone, as after SIGKILL, and what it waits for with it.
 */
export class ProcessClock implements Clock {
  /** The same clock for what others send to the process. */
  readonly arrivals: Clock;
  readonly #world: Clock;
  readonly #waiting = new Set<Waiting>();
  /** Came due while the process stood still, in that order. */
  readonly #late: Waiting[] = [];
  #state: "running" | "still" | "gone" = "running";
  #wasStill = false;

  /** Borrows the world's clock. */
  constructor(world: Clock) {
    this.#world = world;
    this.arrivals = {
      nowMs: () => world.nowMs(),
      unixMs: () => world.unixMs(),
      after: (delayMs, call, options) => this.#after({ delayMs, call, isArrival: true }, options),
      soon: (call) => this.#soon(call, true),
    };
  }

  nowMs(): number {
    return this.#world.nowMs();
  }

  unixMs(): number {
    return this.#world.unixMs();
  }

  after(delayMs: number, call: () => void, options?: { keepAlive?: boolean }): Timer {
    return this.#after({ delayMs, call, isArrival: false }, options);
  }

  soon(call: () => void): void {
    this.#soon(call, false);
  }

  /** Calls that it asked for and waits for. */
  get pending(): number {
    let count = 0;
    for (const { isArrival } of this.#waiting) if (!isArrival) count++;
    return count;
  }

  /** Between `stop` and `resume`. */
  get isStill(): boolean {
    return this.#state === "still";
  }

  /** It stood still at some time: what was promised for a moment may have come later. */
  get wasStill(): boolean {
    return this.#wasStill;
  }

  /** Since `end`. */
  get isGone(): boolean {
    return this.#state === "gone";
  }

  /** The process makes no step until `resume`. */
  stop(): void {
    if (this.#state !== "running") return;
    this.#state = "still";
    this.#wasStill = true;
  }

  /** It goes on with what came due meanwhile, all of it in one turn. */
  resume(): void {
    if (this.#state !== "still") return;
    this.#state = "running";
    this.#world.soon(() => {
      for (const waiting of this.#late.splice(0)) this.#fire(waiting);
    });
  }

  /** The process is gone: nothing of it is ever called again. */
  end(): void {
    this.#state = "gone";
    for (const waiting of [...this.#waiting]) this.#forget(waiting);
  }

  #after(about: { delayMs: number; call: () => void; isArrival: boolean }, options?: { keepAlive?: boolean }): Timer {
    if (this.isGone) return NO_TIMER;
    const { delayMs, call, isArrival } = about;
    const waiting: Waiting = { call, timer: undefined, isArrival };
    this.#waiting.add(waiting);
    waiting.timer = this.#world.after(delayMs, () => this.#fire(waiting), options);
    return { cancel: () => this.#forget(waiting) };
  }

  #soon(call: () => void, isArrival: boolean): void {
    if (this.isGone) return;
    const waiting: Waiting = { call, timer: undefined, isArrival };
    this.#waiting.add(waiting);
    this.#world.soon(() => this.#fire(waiting));
  }

  #fire(waiting: Waiting): void {
    if (!waiting.call) return;
    if (this.#state === "still") {
      this.#late.push(waiting);
      return;
    }
    const { call } = waiting;
    this.#forget(waiting);
    call();
  }

  #forget(waiting: Waiting): void {
    waiting.call = undefined;
    waiting.timer?.cancel();
    this.#waiting.delete(waiting);
  }
}

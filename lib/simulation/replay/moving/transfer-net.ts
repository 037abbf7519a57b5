import type { Timer } from "#lib/base/clock";
import type { VirtualClock } from "../virtual-clock.ts";

/** How fast KV moves between workers. */
export interface TransferSpeed {
  /** KV of one token. */
  readonly tokenBytes: number;
  /** What a worker sends or takes in, however many transfers share it. */
  readonly bytesPerSecond: number;
}

/** Bytes on their way between two workers. */
export interface Transfer {
  /** Place of who sends them. */
  readonly from: number;
  /** Place of who takes them. */
  readonly to: number;
  /** All there are of them, by now. */
  readonly bytes: number;
  /** Bytes that have come by now. */
  arrived(): number;
  /** So many more are to come behind them. */
  add(bytes: number): void;
  /** Nothing more comes, and nobody is told of its end. */
  cancel(): void;
}

interface Moving {
  readonly from: number;
  readonly to: number;
  readonly onArrived: () => void;
  bytes: number;
  left: number;
  bytesPerMs: number;
}

/** A transfer that has no more than this to go has ended: late in a replay no moments are finer. */
const NO_TIME_MS = 1e-6;

/**
 * The network between workers: each sends and takes in so many bytes a second, and its transfers share that evenly, as the
 * fair queue of a worker has it. A transfer is as fast as the slower of its two ends lets it.
 */
export class TransferNet {
  readonly #bytesPerMs: number;
  readonly #clock: VirtualClock;
  readonly #moving = new Set<Moving>();
  #timer: Timer | undefined;
  #seenMs = 0;

  constructor({ bytesPerSecond }: TransferSpeed, clock: VirtualClock) {
    this.#bytesPerMs = bytesPerSecond / 1_000;
    this.#clock = clock;
  }

  /** Begins a transfer. `onArrived` is called when all of its bytes have come, never at once and behind all that ends then; again for those that were added later. */
  begin(about: Pick<Transfer, "from" | "to" | "bytes">, onArrived: () => void): Transfer {
    const { from, to, bytes } = about;
    const moving: Moving = { from, to, onArrived, bytes, left: bytes, bytesPerMs: 0 };
    this.#advance();
    this.#moving.add(moving);
    this.#share();
    return {
      ...{ from, to },
      get bytes() {
        return moving.bytes;
      },
      arrived: () => {
        this.#advance();
        return moving.bytes - moving.left;
      },
      add: (more) => {
        this.#advance();
        moving.bytes += more;
        moving.left += more;
        this.#moving.add(moving);
        this.#share();
      },
      cancel: () => {
        this.#advance();
        this.#moving.delete(moving);
        this.#share();
      },
    };
  }

  /** Counts what has come since anybody looked. */
  #advance(): void {
    const nowMs = this.#clock.nowMs();
    const passedMs = nowMs - this.#seenMs;
    this.#seenMs = nowMs;
    if (passedMs === 0) return;
    for (const moving of this.#moving) {
      const left = moving.left - moving.bytesPerMs * passedMs;
      moving.left = left < moving.bytesPerMs * NO_TIME_MS ? 0 : left;
    }
  }

  /** Shares out anew, and waits for whoever comes to its end first. */
  #share(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const sent = new Map<number, number>();
    const taken = new Map<number, number>();
    for (const { from, to } of this.#moving) {
      sent.set(from, (sent.get(from) ?? 0) + 1);
      taken.set(to, (taken.get(to) ?? 0) + 1);
    }
    let nextMs = Number.POSITIVE_INFINITY;
    for (const moving of this.#moving) {
      moving.bytesPerMs = this.#bytesPerMs / Math.max(sent.get(moving.from)!, taken.get(moving.to)!);
      nextMs = Math.min(nextMs, moving.left / moving.bytesPerMs);
    }
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.after(nextMs, () => {
      this.#timer = undefined;
      // Behind all that ends at this moment: who goes on with the bytes finds it told.
      this.#clock.arrive(this.#clock.nowMs(), () => this.#end());
    });
  }

  #end(): void {
    this.#advance();
    const ended = [...this.#moving].filter(({ left }) => left === 0);
    for (const moving of ended) this.#moving.delete(moving);
    this.#share();
    for (const { onArrived } of ended) onArrived();
  }
}

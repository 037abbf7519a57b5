import { randomBytes } from "node:crypto";
import type { Chance } from "#lib/base/chance";
import type { Clock, Timer } from "#lib/base/clock";

/**
 * The machine's clock. Timers do not keep the process alive unless asked. No delay is the next turn of the event loop,
 * after what has arrived meanwhile; the least delay of a timer would be a millisecond.
 */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  unixMs: () => Date.now(),
  after(delayMs, call, options): Timer {
    if (delayMs <= 0) {
      // Always referenced, which holds the process for this turn at most: without, the loop would wait for something else first.
      const turn = setImmediate(call);
      return { cancel: () => clearImmediate(turn) };
    }
    const timer = setTimeout(call, delayMs);
    if (!options?.keepAlive) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (call) => void setImmediate(call),
};

/** Chance from the operating system. */
export const systemChance: Chance = {
  next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  id() {
    for (;;) {
      const id = randomBytes(8).readBigUInt64LE();
      if (id !== 0n) return id;
    }
  },
};

import { randomBytes } from "node:crypto";
import type { Chance } from "#lib/base/chance";
import type { Clock, Timer } from "#lib/base/clock";

/** The machine's clock. Timers do not keep the process alive unless asked. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  unixMs: () => Date.now(),
  after(delayMs, call, options): Timer {
    const timer = setTimeout(call, Math.max(0, delayMs));
    if (!options?.keepAlive) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
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

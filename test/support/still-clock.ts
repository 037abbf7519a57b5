import { FakeClock } from "#lib/base/clock";

/** Time that moves only when told, in the turns of the machine: for what talks over real sockets or waits for promises. */
export class StillClock extends FakeClock {
  override soon(call: () => void): void {
    setImmediate(call);
  }
}

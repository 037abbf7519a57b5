import process from "node:process";
import { systemClock } from "#lib/host/system-clock";
import { createScreen, type Screen } from "../screen.ts";

const BAR_CELLS = 24;
/** Before so much is done nobody knows how long the rest takes. */
const LEAST_SHARE = 0.01;

/** How far replays are, in one line that changes in place on a terminal and is gone at the end; on standard error where standard output is none. */
export class ReplayProgress {
  readonly #screen: Screen;
  readonly #startMs = systemClock.nowMs();

  /** `screen`: the process's own. */
  constructor(screen: Screen) {
    const { stderr, env } = process;
    this.#screen = screen.isTerminal ? screen : createScreen({ out: stderr, err: stderr, env });
  }

  /** `ended` of `total` requests of all replays have ended. */
  show(ended: number, total: number): void {
    const line = printProgress(ended / total, systemClock.nowMs() - this.#startMs);
    this.#screen.show(() => [line]);
  }

  /** Takes the line away. */
  clear(): void {
    this.#screen.show(() => []);
    this.#screen.settle();
  }
}

/** Such as `replaying ██████░░░░░░ 50 %, 12 s left`; `share` from 0 to 1 was done in `passedMs`. */
export function printProgress(share: number, passedMs: number): string {
  const full = Math.floor(share * BAR_CELLS);
  const bar = `${"█".repeat(full)}${"░".repeat(BAR_CELLS - full)}`;
  const left = share < LEAST_SHARE ? "" : `, ${printLeft((passedMs * (1 - share)) / share)} left`;
  return `replaying ${bar} ${Math.floor(share * 100)} %${left}`;
}

function printLeft(leftMs: number): string {
  const seconds = Math.ceil(leftMs / 1_000);
  return seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}

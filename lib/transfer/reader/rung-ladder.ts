import { RUNGS, type Rung } from "../rung.ts";

/** The ways to one worker: the best that works, until it fails. The last one is left for good only by a new exchange. */
export class RungLadder {
  readonly #common: readonly Rung[];
  readonly #demoted = new Set<Rung>();

  /** Ways that both sides have; `forced` leaves one of them at most. */
  constructor(own: readonly Rung[], theirs: readonly Rung[], forced?: Rung) {
    this.#common = RUNGS.filter(
      (rung) => own.includes(rung) && theirs.includes(rung) && (forced === undefined || rung === forced),
    );
  }

  /** The best that has not failed; undefined when all have. */
  get best(): Rung | undefined {
    return this.#common.find((rung) => !this.#demoted.has(rung));
  }

  /** Whether a way has failed, so that another exchange may find more. */
  get isLowered(): boolean {
    return this.#demoted.size > 0;
  }

  /** A way has failed: the next one's turn. False when it was known. */
  demote(rung: Rung): boolean {
    if (this.#demoted.has(rung)) return false;
    this.#demoted.add(rung);
    return true;
  }
}

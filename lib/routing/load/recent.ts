/** What was added counts 1 ÷ e after so long. */
const WINDOW_MS = 4_000;

/** A rate over the last seconds: of what comes in portions, how much came for each millisecond. */
export class RecentRate {
  #sum = 0;
  #atMs = 0;

  /** A portion came; `nowMs` does not go back. */
  add(amount: number, nowMs: number): void {
    // What was fades by itself when it is read: passes without prompts are the most, and bring no prompt time.
    if (amount === 0) return;
    this.#sum = this.#keptAt(nowMs) + amount;
    this.#atMs = nowMs;
  }

  /** For each millisecond; 0 before anything came. */
  perMs(nowMs: number): number {
    return this.#keptAt(nowMs) / WINDOW_MS;
  }

  #keptAt(nowMs: number): number {
    return this.#sum * Math.exp((this.#atMs - nowMs) / WINDOW_MS);
  }
}

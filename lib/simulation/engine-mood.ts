import { type Chance, pick } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import type { MockTiming } from "#lib/engines/mock/timing";

/** How the steps of one engine go: mostly at its pace, slowly for a while, or not at all any more. */
export class EngineMood {
  readonly #chance: Chance;
  readonly #paceMs: number;
  #slowSteps = 0;
  #slowMs = 0;
  #isBroken = false;

  /** Draws its pace, and every step. */
  constructor(chance: Chance) {
    this.#chance = chance;
    this.#paceMs = 1 + pick(chance, 15);
  }

  /** What the mock's card says: its pace. */
  get timing(): MockTiming {
    return { kind: "linear", stepMs: this.#paceMs, prefillTokenMs: 0.1, decodeSequenceMs: 0.5 };
  }

  /** For the mock, which asks once a step. */
  readonly lateMs = (): number => {
    if (this.#isBroken) throw new StatorError("ENGINE_FAILED", { detail: "the world broke it" });
    const isSlow = this.#slowSteps > 0;
    if (isSlow) this.#slowSteps--;
    return this.#chance.next() + (isSlow ? this.#slowMs : 0);
  };

  /** The next steps take so much longer. */
  slow(steps: number, byMs: number): void {
    this.#slowSteps = steps;
    this.#slowMs = byMs;
  }

  /** The next step fails, and the engine with it. */
  break(): void {
    this.#isBroken = true;
  }

  /** It goes at its pace again; one that has failed stays so. */
  mend(): void {
    this.#slowSteps = 0;
    this.#isBroken = false;
  }
}

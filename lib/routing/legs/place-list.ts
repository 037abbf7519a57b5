import type { Chosen } from "../chooser.ts";
import type { Place } from "../router.ts";
import type { LegChoice, PromptLegs } from "./leg-chooser.ts";
import type { WeightWords } from "./seat-finder.ts";

/** The places of one ask: prompts that go the same way share one. */
export class PlaceList {
  readonly #words: WeightWords;
  readonly #places = new Map<string, Place & { readonly choices: number[] }>();

  constructor(words: WeightWords) {
    this.#words = words;
  }

  /** All of them, in the order in which they came. */
  get all(): readonly Place[] {
    return [...this.#places.values()];
  }

  /** Some choices go there. */
  add(choices: readonly number[], { leg, chosen, ahead }: PromptLegs): void {
    const key = [chosen, ahead?.chosen].map((each) => each && `${each.seat.worker}/${each.seat.rank}`).join(" ");
    let place = this.#places.get(`${leg} ${key}`);
    if (!place) {
      const second = ahead && { ahead: this.#targetOf(ahead.chosen) };
      place = { choices: [], ...this.#targetOf(chosen), ...(leg !== "whole" && { leg }), ...second };
      this.#places.set(`${leg} ${key}`, place);
    }
    place.choices.push(...choices);
  }

  #targetOf({ seat, kept }: Chosen): Pick<Place, "target" | "weights" | "decision"> {
    const { worker, ranks, weights } = seat.fleet;
    // A worker of one rank is asked for none.
    const target = { worker, rank: ranks > 1 ? seat.rank : undefined };
    return { target, weights: this.#words.get(worker) ?? weights, decision: kept.decision };
  }
}

/** The legs of a prompt that are placed now, the latest first. */
export function legsOf(legs: PromptLegs): readonly LegChoice[] {
  return legs.ahead ? [legs.ahead, legs] : [legs];
}

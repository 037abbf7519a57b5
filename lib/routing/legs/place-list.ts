import type { Chosen } from "../chooser.ts";
import type { Place } from "../router.ts";
import type { LegChoice, PromptLegs } from "./leg-chooser.ts";

/** The places of one ask: prompts that go the same way share one. */
export class PlaceList {
  readonly #places = new Map<string, Place & { readonly choices: number[] }>();

  /** All of them, in the order in which they came. */
  get all(): readonly Place[] {
    return [...this.#places.values()];
  }

  /** Some choices go there. */
  add(choices: readonly number[], { leg, chosen, ahead }: PromptLegs): void {
    const key = [chosen, ahead?.chosen].map((each) => each && `${each.seat.worker}/${each.seat.rank}`).join(" ");
    let place = this.#places.get(`${leg} ${key}`);
    if (!place) {
      const second = ahead && { ahead: targetOf(ahead.chosen) };
      place = { choices: [], ...targetOf(chosen), ...(leg !== "whole" && { leg }), ...second };
      this.#places.set(`${leg} ${key}`, place);
    }
    place.choices.push(...choices);
  }
}

/** The legs of a prompt that are placed now, the latest first. */
export function legsOf(legs: PromptLegs): readonly LegChoice[] {
  return legs.ahead ? [legs.ahead, legs] : [legs];
}

function targetOf({ seat, kept }: Chosen): Pick<Place, "target" | "weights" | "decision"> {
  const { worker, weights, ranks } = seat.fleet;
  // A worker of one rank is asked for none.
  return { target: { worker, rank: ranks > 1 ? seat.rank : undefined }, weights, decision: kept.decision };
}

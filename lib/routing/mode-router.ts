import type { Chance } from "#lib/base/chance";
import { assert, StatorError } from "#lib/base/errors";
import type { Place, RouteAnswer, RouteAsk, RouteNote, Router, Ticket } from "./router.ts";
import { type RouterMode, select } from "./select.ts";

/** Nobody can take an ask now. */
export type Unplaced = Extract<RouteAnswer, { kind: "unplaced" }>;

/** Workers that could take an ask now, in a stable order, with the word for their weights; at least one, or why none. */
export type Locate = (ask: RouteAsk) => ReadonlyMap<bigint, string> | Unplaced;

/** What a router by mode needs. */
export interface ModeRouterOptions {
  /** How a worker is chosen for asks that name none. */
  readonly mode: RouterMode;
  /** Borrowed; drawn from by random and power-of-two alone. */
  readonly chance: Chance;
  /** Who could take it; of a pinned ask no other worker. */
  readonly locate: Locate;
}

/**
 * Places without a look at what workers hold. Choices of one prompt stay together, for the sake of its prefix; prompts of
 * one request are placed one by one. Answers during the call.
 */
export class ModeRouter implements Router {
  readonly #options: ModeRouterOptions;
  /** Choices of this router that are open, by worker; none is 0. */
  readonly #open = new Map<bigint, number>();
  #turn = 0;

  constructor(options: ModeRouterOptions) {
    this.#options = options;
  }

  /** Choices that were placed and have not ended there. */
  get openChoices(): number {
    return [...this.#open.values()].reduce((sum, count) => sum + count, 0);
  }

  place(ask: RouteAsk, answer: (answer: RouteAnswer) => void): Ticket {
    const { mode, locate } = this.#options;
    const able = locate(ask);
    const isNameless = mode === "direct" && ask.target === undefined;
    if ("kind" in able) {
      answer(isNameless ? { ...able, final: true } : able);
      return NO_TICKET;
    }
    if (isNameless) {
      const detail = "The router mode is direct: the request must name a worker";
      answer({ kind: "unplaced", error: new StatorError("INVALID_ARGUMENT", { detail }), final: true });
      return NO_TICKET;
    }
    const places = this.#choose(ask, able);
    const ticket = new OpenTicket(places, (worker) => this.#ended(worker));
    answer({ kind: "placed", places });
    return ticket;
  }

  follow(): void {}

  observe(): void {}

  #choose(ask: RouteAsk, able: ReadonlyMap<bigint, string>): Place[] {
    const { mode, chance } = this.#options;
    const places = new Map<bigint, Place & { readonly choices: number[] }>();
    const byPrompt = Map.groupBy(ask.choices, (choice) => Math.floor(choice / ask.choicesPerPrompt));
    for (const choices of byPrompt.values()) {
      const candidates = Array.from(able.keys(), (worker) => ({ worker, openRequests: this.#openAt(worker) }));
      const found = select(candidates, { mode, turn: this.#turn++, chance, pinned: ask.target?.worker });
      assert(found, "somebody can take it");
      const { worker, decision } = found;
      const target = { worker, rank: ask.target?.rank };
      const place = places.get(worker) ?? { choices: [], target, weights: able.get(worker) ?? "", decision };
      place.choices.push(...choices);
      places.set(worker, place);
      this.#open.set(worker, this.#openAt(worker) + choices.length);
    }
    return [...places.values()];
  }

  #openAt(worker: bigint): number {
    return this.#open.get(worker) ?? 0;
  }

  #ended(worker: bigint): void {
    const left = this.#openAt(worker) - 1;
    if (left > 0) this.#open.set(worker, left);
    else this.#open.delete(worker);
  }
}

/** Of an ask that was not placed. */
const NO_TICKET: Ticket = { note() {}, cancel() {} };

/** Of an ask that was placed: knows which of its choices are open, and where. */
class OpenTicket implements Ticket {
  readonly #places: readonly Place[];
  readonly #ended: (worker: bigint) => void;
  readonly #open: Set<number>;

  constructor(places: readonly Place[], ended: (worker: bigint) => void) {
    this.#places = places;
    this.#ended = ended;
    this.#open = new Set(places.flatMap(({ choices }) => choices));
  }

  note({ kind, choice }: RouteNote): void {
    if (kind !== "ended" || !this.#open.delete(choice)) return;
    const place = this.#places.find(({ choices }) => choices.includes(choice));
    if (place) this.#ended(place.target.worker);
  }

  cancel(): void {
    for (const choice of [...this.#open]) this.note({ kind: "ended", choice });
  }
}

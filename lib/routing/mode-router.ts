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

/** Choices of this router that are open at a worker. */
interface Load {
  readonly worker: bigint;
  openRequests: number;
}

/**
 * Places without a look at what workers hold. Choices of one prompt stay together, for the sake of its prefix; prompts of
 * one request are placed one by one. Answers during the call.
 */
export class ModeRouter implements Router {
  readonly #options: ModeRouterOptions;
  /** Of workers with open choices. */
  readonly #loads = new Map<bigint, Load>();
  #turn = 0;

  constructor(options: ModeRouterOptions) {
    this.#options = options;
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

  #choose(ask: RouteAsk, able: ReadonlyMap<bigint, string>): Place[] {
    const { mode, chance } = this.#options;
    const candidates = Array.from(able.keys(), (worker) => this.#loads.get(worker) ?? { worker, openRequests: 0 });
    const places: (Place & { choices: number[] })[] = [];
    let prompt = -1;
    let place: (typeof places)[number] | undefined;
    for (const choice of ask.choices) {
      const own = Math.floor(choice / ask.choicesPerPrompt);
      if (own !== prompt) {
        const found = select(candidates, { mode, turn: this.#turn++, chance, pinned: ask.target?.worker });
        assert(found, "somebody can take it");
        const { worker, decision } = found;
        place = places.find(({ target }) => target.worker === worker);
        if (!place) {
          place = {
            choices: [],
            target: { worker, rank: ask.target?.rank },
            weights: able.get(worker) ?? "",
            decision,
          };
          places.push(place);
        }
        prompt = own;
      }
      if (!place) continue;
      place.choices.push(choice);
      const load = candidates.find(({ worker }) => worker === place?.target.worker);
      if (!load) continue;
      load.openRequests++;
      this.#loads.set(load.worker, load);
    }
    return places;
  }

  #ended(worker: bigint): void {
    const load = this.#loads.get(worker);
    if (!load) return;
    load.openRequests--;
    if (load.openRequests === 0) this.#loads.delete(worker);
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

import { StatorError } from "#lib/base/errors";
import type { FleetWorker } from "../fleet.ts";
import type { Locate, Unplaced } from "../locate.ts";
import type { RankTable } from "../rank-table.ts";
import type { RankSeat } from "../ranks.ts";
import type { Leg, RouteAsk } from "../router.ts";
import { misfit } from "./misfit.ts";

/** The word for what computes an ask at each worker that can take it: its weights, and the file of the adapter where one is named. */
export type WeightWords = ReadonlyMap<bigint, string>;

/** Who may be chosen for an ask. */
export type Seats = { readonly words: WeightWords } & (
  | /** All of it, or its prompt: at least one of the first; none of the second where the answer is not to be split. */ {
      readonly stage: "start";
      readonly whole: readonly RankSeat[];
      readonly prefill: readonly RankSeat[];
    }
  | /** What follows its prompt; at least one. */ { readonly stage: "hand-off"; readonly decode: readonly RankSeat[] }
);

/** What finding seats depends on. */
export interface SeatFinderOptions {
  /** Who could take an ask. */
  readonly locate: Locate;
  /** The ranks that are there. */
  readonly ranks: RankTable;
  /** Requests must name their workers. */
  readonly isDirect: boolean;
  /** Prompts are computed by workers for prompts alone. */
  readonly enforce: boolean;
  /** Whether a worker for prompts has room for one more that is kept until it was fetched. */
  readonly hasRoom: (seat: RankSeat) => boolean;
}

/** Finds the ranks that may be chosen for the legs of an ask: those that can take it, that it requires, and that fit together. */
export class SeatFinder {
  readonly #options: SeatFinderOptions;
  /** Workers for prompts are there. */
  #hasPrefill = false;
  /** Of the ask that is looked at. */
  #words = new Map<bigint, string>();

  constructor(options: SeatFinderOptions) {
    this.#options = options;
  }

  /** The workers that are there from now on. */
  follow(fleet: Iterable<FleetWorker>): void {
    this.#hasPrefill = [...fleet].some(({ role }) => role === "prefill");
  }

  /** At least one seat for each leg that has any, or why there is none. */
  find(ask: RouteAsk): Seats | Unplaced {
    const { enforce } = this.#options;
    const words = new Map<bigint, string>();
    this.#words = words;
    const isPrefillNamed = this.#isPrefill(ask.target?.worker);
    // Whoever names a worker for prompts says nothing of where the answer is made.
    const forAnswer = isPrefillNamed ? { ...ask, target: undefined } : ask;
    const mayBeNameless = isPrefillNamed || ask.stage === "hand-off";
    const whole = this.#seats(forAnswer, ask.stage === "hand-off" ? "decode" : "whole", mayBeNameless);
    if ("kind" in whole) return whole;
    if (ask.stage === "hand-off") return { stage: "hand-off", words, decode: whole };
    const isSplit = isSplittable(ask) && (enforce || isPrefillNamed || (this.#hasPrefill && ask.target === undefined));
    if (!isSplit) return { stage: "start", words, whole, prefill: [] };
    const isNeeded = enforce || isPrefillNamed;
    const prefill = this.#prefill({ ...ask, target: isPrefillNamed ? ask.target : undefined }, whole, isNeeded);
    if (!("kind" in prefill)) return { stage: "start", words, whole, prefill };
    return isNeeded ? prefill : { stage: "start", words, whole, prefill: [] };
  }

  #isPrefill(worker: bigint | undefined): boolean {
    return worker !== undefined && this.#options.ranks.of(worker)[0]?.fleet.role === "prefill";
  }

  /** Workers for prompts whose blocks some worker for answers can go on from. */
  #prefill(ask: RouteAsk, whole: readonly RankSeat[], isNeeded: boolean): readonly RankSeat[] | Unplaced {
    // Nobody waits for one who can do without it.
    const found = this.#seats(isNeeded ? ask : { ...ask, isNew: false }, "prefill", true);
    if ("kind" in found) return found;
    const fit = found.filter((seat) => whole.some((other) => fits(seat, other, this.#words)));
    if (fit.length === 0) {
      const field = misfit(found[0]!.fleet, whole[0]!.fleet) ?? "adapter";
      return nobody(ask, ` for prompts whose blocks become those of workers for answers: they differ in ${field}`);
    }
    const free = fit.filter((seat) => this.#options.hasRoom(seat));
    return free.length > 0 ? free : nobody(ask, " with the role prefill");
  }

  #seats(ask: RouteAsk, leg: Leg, mayBeNameless: boolean): readonly RankSeat[] | Unplaced {
    const { locate, ranks, isDirect } = this.#options;
    const able = locate(ask, leg);
    // In the mode of that name, or by the rule in the mode kv.
    const isNameless = isDirect && ask.target === undefined && !mayBeNameless;
    if ("kind" in able) return isNameless ? { ...able, final: true } : able;
    if (isNameless) return refused("The router's rule is direct: the request must name a worker");
    const seats: RankSeat[] = [];
    for (const [worker, word] of able) {
      this.#words.set(worker, word);
      for (const seat of ranks.of(worker)) seats.push(seat);
    }
    const rank = ask.target?.rank;
    const ranked = rank === undefined ? seats : seats.filter((seat) => seat.rank === rank);
    if (ranked.length === 0 && rank !== undefined && seats.length > 0) {
      return refused(`The worker that the request names has ${seats.length} ranks, and no rank ${rank}`);
    }
    const { requiredTaints } = ask;
    const fit = requiredTaints.length === 0 ? ranked : ranked.filter((seat) => hasAll(seat, requiredTaints));
    return fit.length > 0 ? fit : this.#untainted(ask);
  }

  /** Who has what the request requires may be back soon; where there is no such worker, nobody is waited for. */
  #untainted({ model, requiredTaints }: RouteAsk): Unplaced {
    const all = [...this.#options.ranks.workers.values()].map(([first]) => first);
    const lacking = requiredTaints.filter((taint) => !all.some((seat) => seat?.fleet.taints.has(taint)));
    const named = lacking.length > 0 ? lacking : requiredTaints;
    const that = named.length > 0 ? ` with the taint ${named.join(" and ")}` : "";
    const param = named.length > 0 ? { param: "stator.required_taints" } : {};
    const error = new StatorError("NO_WORKERS", { model, that }, param);
    return { kind: "unplaced", error, final: lacking.length > 0 };
  }
}

/** Whether blocks of one can be handed to the other: they are of equal weights, and in a form that can be converted. */
export function fits(from: RankSeat, to: RankSeat, words: WeightWords): boolean {
  const [left, right] = [words.get(from.worker), words.get(to.worker)];
  return misfit(from.fleet, to.fleet) === undefined && (left === undefined || right === undefined || left === right);
}

/** Only answers have two legs, and only those whose prompts are token ids. */
function isSplittable({ kind, prompts }: RouteAsk): boolean {
  return kind === "generate" && prompts.some(({ length }) => length > 0);
}

function nobody({ model }: RouteAsk, that: string): Unplaced {
  return { kind: "unplaced", error: new StatorError("NO_WORKERS", { model, that }), final: false };
}

function refused(detail: string): Unplaced {
  return { kind: "unplaced", error: new StatorError("INVALID_ARGUMENT", { detail }), final: true };
}

function hasAll({ fleet: { taints } }: RankSeat, required: readonly string[]): boolean {
  return required.every((taint) => taints.has(taint));
}

import { Chooser, type ChooserOptions, type Chosen } from "../chooser.ts";
import type { RankSeat } from "../ranks.ts";
import type { Leg, RouteAsk } from "../router.ts";
import type { RuleBook } from "../rule-book.ts";
import { nextTokenMs } from "../rules/hand-off.ts";
import { type BypassVerdict, judgeBypass } from "./bypass.ts";
import type { Disaggregation } from "./disaggregation.ts";
import { priceWays } from "./price.ts";
import { fits, type Seats, type WeightWords } from "./seat-finder.ts";
import type { TransferBook } from "./transfer-book.ts";

/** What chooses for legs lives on. */
export interface LegChooserOptions extends Omit<ChooserOptions, "rules" | "foresee"> {
  /** Which rule decides of each leg. */
  readonly rules: RuleBook;
  /** How answers are split. */
  readonly split: Disaggregation;
  /** How long blocks take between workers. */
  readonly transfers: TransferBook;
}

/** A choice for one leg; its table is good until the next choice for such a leg. */
export interface LegChoice {
  /** What is done there. */
  readonly leg: Leg;
  /** Who was chosen, and from what. */
  readonly chosen: Chosen;
  /** Who chose, and has the table and the draws. */
  readonly chooser: Chooser;
}

/** The choices for one prompt. */
export interface PromptLegs extends LegChoice {
  /** Of a prefill leg whose decode leg begins at the same time. */
  readonly ahead: LegChoice | undefined;
}

/** Chooses for one prompt after the other: whether its answer has two legs, and a rank for each that is placed now. */
export class LegChooser {
  readonly #options: LegChooserOptions;
  readonly #whole: Chooser;
  readonly #prefill: Chooser;
  readonly #decode: Chooser;

  constructor(options: LegChooserOptions) {
    this.#options = options;
    this.#whole = new Chooser(options);
    this.#prefill = new Chooser(options);
    const { handOffs } = options.rules;
    this.#decode = new Chooser({ ...options, rules: handOffs, foresee: nextTokenMs, affinity: "off" });
  }

  /** An answer had so many tokens. */
  answered(tokens: number): void {
    for (const chooser of [this.#whole, this.#prefill, this.#decode]) chooser.answered(tokens);
  }

  /** Chooses for some choices of one prompt. `from`: who keeps the blocks of a hand-off, where that is known. */
  choose(
    ask: RouteAsk,
    about: {
      readonly seats: Seats;
      readonly choices: readonly number[];
      readonly isReal: boolean;
      readonly from: RankSeat | undefined;
    },
  ): PromptLegs {
    const { seats, choices, isReal } = about;
    if (seats.stage === "hand-off") {
      return { ...this.#decodeLeg(ask, { ...about, words: seats.words, seats: seats.decode }), ahead: undefined };
    }
    const { whole, prefill } = seats;
    const chooseWhole = (): LegChoice => {
      const chosen = this.#whole.choose(ask, { choices, seats: whole, isReal });
      return { leg: "whole", chosen, chooser: this.#whole };
    };
    if (prefill.length === 0) return { ...chooseWhole(), ahead: undefined };
    const { split } = this.#options;
    const isForced = split.enforce || ask.target !== undefined;
    const chosen = this.#prefill.choose(meant(ask, prefill), { choices, seats: prefill, isReal, leg: "prefill" });
    if (isForced) return this.#prefillLeg(ask, { ...about, words: seats.words, whole, chosen, bypass: undefined });
    const alternative = chooseWhole();
    const bypass = this.#judge(alternative.chosen, chosen);
    if (!bypass.isBypassed) return this.#prefillLeg(ask, { ...about, words: seats.words, whole, chosen, bypass });
    return { ...alternative, chosen: withBypass(alternative.chosen, bypass), ahead: undefined };
  }

  #prefillLeg(
    ask: RouteAsk,
    about: {
      readonly choices: readonly number[];
      readonly isReal: boolean;
      readonly words: WeightWords;
      readonly whole: readonly RankSeat[];
      readonly chosen: Chosen;
      readonly bypass: BypassVerdict | undefined;
    },
  ): PromptLegs {
    const { whole, bypass, isReal } = about;
    const chosen = bypass ? withBypass(about.chosen, bypass) : about.chosen;
    // Who only asks sees both legs.
    const ahead =
      this.#options.split.bootstrap || !isReal
        ? this.#decodeLeg(ask, { ...about, seats: whole, from: chosen.seat })
        : undefined;
    return { leg: "prefill", chosen, chooser: this.#prefill, ahead };
  }

  #decodeLeg(
    ask: RouteAsk,
    about: {
      readonly words: WeightWords;
      readonly seats: readonly RankSeat[];
      readonly choices: readonly number[];
      readonly isReal: boolean;
      readonly from: RankSeat | undefined;
    },
  ): LegChoice {
    const { from, choices, isReal } = about;
    const promptTokens = tokensOf(ask, choices);
    // Those whose blocks fit go before those who would compute all of it again.
    const fit = from ? about.seats.filter((seat) => fits(from, seat, about.words)) : [];
    const seats = fit.length > 0 ? fit : about.seats;
    const isFit = fit.length > 0;
    const pull =
      from &&
      ((to: RankSeat, held: number) =>
        isFit ? this.#pullMs(from, to, { promptTokens, held }) : Number.POSITIVE_INFINITY);
    const chosen = this.#decode.choose(meant(ask, seats), {
      ...{ choices, seats, isReal, leg: "decode" },
      pull: pull ?? pullNothing,
    });
    return { leg: "decode", chosen, chooser: this.#decode };
  }

  /** Complete blocks are handed over; what follows them is computed anyway. */
  #pullMs(from: RankSeat, to: RankSeat, about: { readonly promptTokens: number; readonly held: number }): number {
    const pair = { from: from.worker, to: to.worker };
    return this.#options.transfers.ms(pair, keptTokens(from, about.promptTokens) - about.held, from.fleet.kv);
  }

  #judge(whole: Chosen, prefill: Chosen): BypassVerdict {
    const { split, constants } = this.#options;
    const { candidates: of, at } = whole;
    const promptTokens = whole.kept.ask.promptTokens;
    // Nothing could be handed over: all of it would be computed twice.
    if (keptTokens(prefill.seat, promptTokens) === 0) {
      return { rule: split.bypass, isBypassed: true, isVetoed: false, terms: [] };
    }
    const pullMs = this.#pullMs(prefill.seat, whole.seat, { promptTokens, held: of.deviceTokens[at]! });
    const tailTokens = promptTokens - keptTokens(prefill.seat, promptTokens);
    const prices = priceWays({ whole, prefill, pullMs, tailTokens, constants });
    const asked = {
      promptTokens,
      heldTokens: of.deviceTokens[at]!,
      prefillTokens: prefill.candidates.prefillTokens[prefill.at]!,
      passTokens: prefill.candidates.timed[prefill.at] === 1 ? prefill.seat.times.passTokens : undefined,
      activeBlocks: of.potentialBlocks[at]!,
      totalBlocks: of.totalBlocks[at]!,
      prices,
    };
    return { rule: split.bypass, ...judgeBypass(split.bypass, asked, split.constants), terms: prices.terms };
  }
}

function withBypass(chosen: Chosen, bypass: BypassVerdict): Chosen {
  return { ...chosen, kept: { ...chosen.kept, bypass } };
}

/** Tokens of the blocks that a worker keeps of a prompt: the complete ones. */
function keptTokens({ fleet }: RankSeat, promptTokens: number): number {
  return promptTokens - (promptTokens % (fleet.scope?.blockTokens ?? 1));
}

/** Who names a worker means one of its legs alone. */
function meant(ask: RouteAsk, seats: readonly RankSeat[]): RouteAsk {
  const { target } = ask;
  return !target || seats.some(({ worker }) => worker === target.worker) ? ask : { ...ask, target: undefined };
}

function pullNothing(): number {
  return 0;
}

function tokensOf({ prompts, choicesPerPrompt }: RouteAsk, choices: readonly number[]): number {
  return prompts[Math.floor(choices[0]! / choicesPerPrompt)]?.length ?? 0;
}

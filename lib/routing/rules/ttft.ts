import { alone, behindOthers, decodePassMs, type PromptPart, passesOf, putOffMs, slotMs } from "../cost/first-token.ts";
import type { Candidates } from "./candidates.ts";
import type { RuleConstants } from "./constants.ts";
import { pickLeast } from "./pick.ts";
import type { Rule, RuleAsk, RuleRow, Term } from "./rule.ts";

/**
 * What a prefill delays of those that come later is its own time, times u ÷ (1 − u), and at most so often. Who comes later
 * may go to any of the candidates, so u is the mean over them: what one of them did in the last seconds says little.
 */
export const MOST_BETA = 20;

/** And at least so often, however little is to do: what is computed a second time also takes the place of something cached. */
export const LEAST_BETA = 1;

/** Milliseconds until a prompt has its first token at a candidate, in parts. */
export interface TtftParts {
  /** Because of prompts before it. */
  readonly waitMs: number;
  /** Until a place is free that it can run in. */
  readonly slotMs: number;
  /** Its own passes. */
  readonly prefillMs: number;
  /** Bringing what lower tiers have of it. */
  readonly onboardingMs: number;
  /** By how much it delays those whose last pass it shares; no part of its own time. */
  readonly putOffMs: number;
}

/**
 * Predicted time to the first token. Onboarding has no measured times yet: a lower tier saves the share of its tokens'
 * prefill that the reference's weights say, and takes the rest.
 */
export function ttftParts(ask: RuleAsk, of: Candidates, at: number, constants: RuleConstants): TtftParts {
  const own = ownPart(ask, of, at);
  const { waitMs, ownMs } = behindOthers(of, at, own);
  const lower = of.hostTokens[at]! + of.diskTokens[at]! + of.externalTokens[at]!;
  return {
    waitMs,
    slotMs: slotMs(of, at, ask.answerTokens),
    prefillMs: ownMs,
    onboardingMs: lower > 0 ? onboardingMs(of, at, { own, ownMs, lower }, constants) : 0,
    putOffMs: putOffMs(of, at, own),
  };
}

/** β = u ÷ (1 − u), from 1 to 20: how much of later arrivals meet a prefill that runs. */
export function betaOf(utilisation: number): number {
  const free = 1 - utilisation;
  return free * MOST_BETA <= utilisation ? MOST_BETA : Math.max(LEAST_BETA, utilisation / free);
}

/** Share of the last while in which candidates computed prompts, 0 to 1. */
function meanUtilisation(tables: readonly Candidates[]): number {
  let sum = 0;
  let seats = 0;
  for (const { prefillUtilisation, count } of tables) {
    for (let at = 0; at < count; at++) sum += prefillUtilisation[at]!;
    seats += count;
  }
  return sum / seats;
}

/** Predicted milliseconds to the first token at a candidate, under any rule. */
export function firstTokenMs(ask: RuleAsk, of: Candidates, at: number, constants: RuleConstants): number {
  const parts = ttftParts(ask, of, at, constants);
  return parts.waitMs + parts.slotMs + parts.prefillMs + parts.onboardingMs;
}

/** What is left to compute of a prompt, at least one token, behind what any tier has of it. */
function ownPart({ promptTokens }: RuleAsk, of: Candidates, at: number): PromptPart {
  const contextTokens = of.deviceTokens[at]! + of.hostTokens[at]! + of.diskTokens[at]! + of.externalTokens[at]!;
  return { tokens: Math.max(1, promptTokens - contextTokens), contextTokens, chunkTokens: of.chunkTokens[at]! };
}

function onboardingMs(
  of: Candidates,
  at: number,
  about: { readonly own: PromptPart; readonly ownMs: number; readonly lower: number },
  { hostWeight, diskWeight, externalWeight }: RuleConstants,
): number {
  const { own, ownMs, lower } = about;
  const weighted =
    hostWeight * of.hostTokens[at]! + diskWeight * of.diskTokens[at]! + externalWeight * of.externalTokens[at]!;
  const without = alone(of, at, { ...own, tokens: own.tokens + lower, contextTokens: own.contextTokens - lower });
  return (without - ownMs) * (1 - weighted / lower);
}

/** By how much tokens that decode there come later for the prompt's passes: than without, or than the target allows. */
function interferenceMs(ask: RuleAsk, of: Candidates, at: number, targetMs: number | undefined): number {
  if (of.decodeSequences[at] === 0) return 0;
  const own = ownPart(ask, of, at);
  return Math.max(0, alone(of, at, own) - passesOf(of, at, own) * Math.max(targetMs ?? 0, decodePassMs(of, at)));
}

/** The default rule. */
export const ttft: RuleRow = {
  unit: "ms",
  needs: ["prefixes", "times"],
  formula: "wait + own prefill + onboarding + β · own prefill + delay of those beside, in predicted milliseconds",
  use: "The default. It needs no weights to tune: everything it adds is time.",
  origin: "this project",
  constants:
    "β = u ÷ (1 − u) from the share u of time in which the candidates compute prompts, from 1 to 20; with `router.itl-target-ms` the time by which tokens of others come later than that is added",
  create: (constants) => new TtftRule(constants),
};

/** What a prompt of so many milliseconds delays of those that come later and may go to anybody in the tables, in milliseconds. */
export function othersMs(tables: readonly Candidates[], prefillMs: number): number {
  return betaOf(meanUtilisation(tables)) * prefillMs;
}

class TtftRule implements Rule {
  readonly isDrawn = false;
  readonly #constants: RuleConstants;

  constructor(constants: RuleConstants) {
    this.#constants = constants;
  }

  score(ask: RuleAsk, of: Candidates, costs: Float64Array): void {
    const { itlTargetMs } = this.#constants;
    const beta = betaOf(meanUtilisation([of]));
    for (let at = 0; at < of.count; at++) {
      const parts = ttftParts(ask, of, at, this.#constants);
      const cost = parts.waitMs + parts.slotMs + parts.onboardingMs + (1 + beta) * parts.prefillMs + parts.putOffMs;
      costs[at] = itlTargetMs === undefined ? cost : cost + interferenceMs(ask, of, at, itlTargetMs);
    }
  }

  terms(ask: RuleAsk, of: Candidates, at: number): Term[] {
    const { itlTargetMs } = this.#constants;
    const parts = ttftParts(ask, of, at, this.#constants);
    const counts = true;
    return [
      { name: "wait", value: parts.waitMs, counts },
      { name: "free place", value: parts.slotMs, counts },
      { name: "prefill", value: parts.prefillMs, counts },
      { name: "onboarding", value: parts.onboardingMs, counts },
      { name: "delay of others", value: othersMs([of], parts.prefillMs), counts },
      { name: "delay of those beside", value: parts.putOffMs, counts },
      {
        name: "late tokens",
        value: interferenceMs(ask, of, at, itlTargetMs),
        counts: itlTargetMs !== undefined,
      },
    ];
  }

  pick(_: RuleAsk, costs: Float64Array, chance: Parameters<Rule["pick"]>[2], count: number): number {
    return pickLeast(costs, count, chance);
  }
}

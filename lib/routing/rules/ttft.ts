import { passMs, prefillMs, slotMs, waitMs } from "../cost/pass-times.ts";
import type { Candidates } from "./candidates.ts";
import type { RuleConstants } from "./constants.ts";
import { pickLeast } from "./pick.ts";
import type { Rule, RuleAsk, RuleRow, Term } from "./rule.ts";

/** What a prefill delays of those that come later is its own time, times u ÷ (1 − u), and at most so often. */
export const MOST_BETA = 3;

/** Milliseconds that a place at a candidate takes, in parts. */
export interface TtftParts {
  /** Until its prompt gets a pass: prompts before it, and a free place to run in. */
  readonly waitMs: number;
  /** Its own passes. */
  readonly prefillMs: number;
  /** Bringing what lower tiers have of it. */
  readonly onboardingMs: number;
  /** What it delays of requests that come later. */
  readonly delayMs: number;
  /** By how much each token is late that decodes there meanwhile: beyond the target, or at all where there is none. */
  readonly interferenceMs: number;
}

/**
 * Predicted time to the first token, and what the placement costs others. Onboarding has no measured times yet: a lower
 * tier saves the share of its tokens' prefill that the reference's weights say, and takes the rest.
 */
export function ttftParts(ask: RuleAsk, of: Candidates, at: number, constants: RuleConstants): TtftParts {
  const device = of.deviceTokens[at]!;
  const left = Math.max(1, ask.promptTokens - device);
  const { tokens, weighted } = lowerTiers(of, at, constants);
  const own = prefillMs(of, at, Math.max(1, left - tokens), device + tokens);
  const onboardingMs = tokens === 0 ? 0 : (prefillMs(of, at, left, device) - own) * (1 - weighted / tokens);
  return {
    waitMs: waitMs(of, at) + slotMs(of, at, ask.answerTokens),
    prefillMs: own,
    onboardingMs,
    delayMs: betaOf(of.prefillUtilisation[at]!) * own,
    interferenceMs: interferenceMs(of, at, left - tokens, constants.itlTargetMs),
  };
}

/** β = u ÷ (1 − u), at most 3: how much of the later arrivals meet a prefill that runs. */
export function betaOf(utilisation: number): number {
  const free = 1 - utilisation;
  return free * MOST_BETA <= utilisation ? MOST_BETA : utilisation / free;
}

/** Predicted milliseconds to the first token at a candidate, under any rule. */
export function firstTokenMs(ask: RuleAsk, of: Candidates, at: number, constants: RuleConstants): number {
  const { waitMs: wait, prefillMs: own, onboardingMs } = ttftParts(ask, of, at, constants);
  return wait + own + onboardingMs;
}

function lowerTiers(of: Candidates, at: number, { hostWeight, diskWeight, externalWeight }: RuleConstants) {
  const [host, disk, external] = [of.hostTokens[at]!, of.diskTokens[at]!, of.externalTokens[at]!];
  return {
    tokens: host + disk + external,
    weighted: host * hostWeight + disk * diskWeight + external * externalWeight,
  };
}

/** Over the passes of a prompt: what each takes longer than one without it, or than the target allows. */
function interferenceMs(of: Candidates, at: number, tokens: number, targetMs: number | undefined): number {
  if (of.decodeSequences[at] === 0) return 0;
  const most = of.passTokens[at]!;
  const passes = Math.ceil(tokens / most);
  const each = passMs(of, at, Math.min(tokens, most), 0);
  return passes * Math.max(0, each - Math.max(targetMs ?? 0, of.decodeMs[at]!));
}

/** The default rule. */
export const ttft: RuleRow = {
  unit: "ms",
  needs: ["prefixes", "times"],
  formula: "wait + own prefill + onboarding + β · own prefill, in predicted milliseconds",
  use: "The default. It needs no weights to tune: everything it adds is time.",
  origin: "this project",
  constants:
    "β = u ÷ (1 − u) from the share u of time in which the worker computes prompts, at most 3; with `router.itl-target-ms` the time by which tokens of others come later than that is added",
  create: (constants) => new TtftRule(constants),
};

class TtftRule implements Rule {
  readonly isDrawn = false;
  readonly #constants: RuleConstants;

  constructor(constants: RuleConstants) {
    this.#constants = constants;
  }

  score(ask: RuleAsk, of: Candidates, costs: Float64Array): void {
    const counts = this.#constants.itlTargetMs !== undefined;
    for (let at = 0; at < of.count; at++) {
      const parts = ttftParts(ask, of, at, this.#constants);
      const own = parts.waitMs + parts.prefillMs + parts.onboardingMs + parts.delayMs;
      costs[at] = counts ? own + parts.interferenceMs : own;
    }
  }

  terms(ask: RuleAsk, of: Candidates, at: number): Term[] {
    const parts = ttftParts(ask, of, at, this.#constants);
    const slot = slotMs(of, at, ask.answerTokens);
    const counts = true;
    return [
      { name: "prompts before it", value: parts.waitMs - slot, counts },
      { name: "a free place", value: slot, counts },
      { name: "own prefill", value: parts.prefillMs, counts },
      { name: "onboarding", value: parts.onboardingMs, counts },
      { name: "delay of later requests", value: parts.delayMs, counts },
      {
        name: "delay of tokens that decode there",
        value: parts.interferenceMs,
        counts: this.#constants.itlTargetMs !== undefined,
      },
    ];
  }

  pick(_: RuleAsk, costs: Float64Array, chance: Parameters<Rule["pick"]>[2], count: number): number {
    return pickLeast(costs, count, chance);
  }
}

import { alone, behindOthers, decodeSet, slotMs } from "../cost/first-token.ts";
import type { Candidates } from "./candidates.ts";
import { pickLeast } from "./pick.ts";
import type { Rule, RuleAsk, RuleRow, Term } from "./rule.ts";

/** Prompts take at most this share of a worker's time: of more an answer would never end. */
const MOST_UTILISATION = 0.95;

/** What an answer costs that goes on from a prompt computed elsewhere, in milliseconds. */
export interface HandOffParts {
  /** Because of prompts and of the pass that runs there. */
  readonly waitMs: number;
  /** Until a place is free that it can run in. */
  readonly slotMs: number;
  /** Until its pool has room. */
  readonly roomMs: number;
  /** Until what it lacks of the blocks is there, from elsewhere or computed again. */
  readonly pullMs: number;
  /** Its tokens, at the pace at which they come there with this answer among them. */
  readonly decodeMs: number;
  /** By how much it slows the answers there, all of them together. */
  readonly delayMs: number;
}

/** Works out the parts for one candidate. */
export function handOffParts(ask: RuleAsk, of: Candidates, at: number): HandOffParts {
  // What follows the complete blocks is computed here; of one that holds nothing and can be given nothing, all of it.
  const isPulled = of.pullMs[at]! < Number.POSITIVE_INFINITY;
  const contextTokens = isPulled ? Math.max(0, ask.promptTokens - 1) : of.deviceTokens[at]!;
  const own = { tokens: Math.max(1, ask.promptTokens - contextTokens), contextTokens, chunkTokens: 0 };
  const passMs = decodeMsWith(ask, of, at);
  const sequences = of.decodeSequences[at]!;
  const free = 1 - Math.min(MOST_UTILISATION, of.prefillUtilisation[at]!);
  return {
    waitMs: behindOthers(of, at, own).waitMs,
    slotMs: slotMs(of, at, ask.answerTokens),
    roomMs: roomMs(ask, of, at, passMs),
    pullMs: isPulled ? of.pullMs[at]! : alone(of, at, own),
    decodeMs: (ask.answerTokens * passMs) / free,
    delayMs: ask.answerTokens * sequences * Math.max(0, passMs - decodeMsOf(of, at)),
  };
}

/** Milliseconds until the answer has its next token there. */
export function nextTokenMs(ask: RuleAsk, of: Candidates, at: number): number {
  const { waitMs, slotMs: placeMs, roomMs: poolMs, pullMs } = handOffParts(ask, of, at);
  return waitMs + placeMs + poolMs + pullMs + decodeMsWith(ask, of, at);
}

/** A pass that decodes what is there. */
function decodeMsOf(of: Candidates, at: number): number {
  return of.times[at]!.passMs({ prefillTokens: 0, prefillContextTokens: 0, ...decodeSet(of, at) });
}

/** A pass that decodes this answer too. */
function decodeMsWith({ promptTokens }: RuleAsk, of: Candidates, at: number): number {
  const { decodeSequences, decodeContextTokens, poolTokens } = decodeSet(of, at);
  return of.times[at]!.passMs({
    ...{ prefillTokens: 0, prefillContextTokens: 0, poolTokens },
    decodeSequences: decodeSequences + 1,
    decodeContextTokens: decodeContextTokens + promptTokens,
  });
}

/** Blocks come free as answers end: as many as there are while one is made. */
function roomMs({ answerTokens }: RuleAsk, of: Candidates, at: number, passMs: number): number {
  const blocks = of.totalBlocks[at]!;
  const above = of.potentialBlocks[at]! - blocks;
  return blocks === 0 || above <= 0 ? 0 : (above / blocks) * answerTokens * passMs;
}

/** Where an answer goes on whose prompt was computed elsewhere. */
export const handOff: RuleRow = {
  unit: "ms",
  needs: ["prefixes", "times"],
  formula:
    "wait + free place + room + transfer or prefill of what it lacks + its tokens + delay of others, in predicted milliseconds",
  use: "Of decode legs in the mode kv; no option names it.",
  origin: "this project",
  constants: "none",
  create: () => new HandOffRule(),
};

class HandOffRule implements Rule {
  readonly isDrawn = false;

  score(ask: RuleAsk, of: Candidates, costs: Float64Array): void {
    for (let at = 0; at < of.count; at++) {
      const parts = handOffParts(ask, of, at);
      costs[at] = parts.waitMs + parts.slotMs + parts.roomMs + parts.pullMs + parts.decodeMs + parts.delayMs;
    }
  }

  terms(ask: RuleAsk, of: Candidates, at: number): Term[] {
    const parts = handOffParts(ask, of, at);
    const counts = true;
    return [
      { name: "wait", value: parts.waitMs, counts },
      { name: "free place", value: parts.slotMs, counts },
      { name: "room", value: parts.roomMs, counts },
      { name: "transfer", value: parts.pullMs, counts },
      { name: "tokens", value: parts.decodeMs, counts },
      { name: "delay of others", value: parts.delayMs, counts },
    ];
  }

  pick(_: RuleAsk, costs: Float64Array, chance: Parameters<Rule["pick"]>[2], count: number): number {
    return pickLeast(costs, count, chance);
  }
}

import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { hashSeed } from "#lib/tokens/block-hash";
import { type SessionTable, sessionKey } from "./affinity.ts";
import { DrawnChance } from "./capture/drawn-chance.ts";
import type { Decision, Missing } from "./decision.ts";
import { DecisionRing, type KeptDecision, type KeptTable } from "./explain/decision-ring.ts";
import { type FillFor, fillCandidates } from "./fill.ts";
import type { PromptBlocks } from "./index/prefix-index.ts";
import type { LoadBook } from "./load/load-book.ts";
import type { Affinity } from "./options.ts";
import type { RankSeat, Shelf } from "./ranks.ts";
import type { Leg, RouteAsk } from "./router.ts";
import type { RuleBook, RuleInForce } from "./rule-book.ts";
import { type Candidates, createCandidates } from "./rules/candidates.ts";
import { choose, weighedCosts } from "./rules/choose.ts";
import type { RuleConstants } from "./rules/constants.ts";
import type { RuleAsk, RuleNeed } from "./rules/rule.ts";
import { DECIDING } from "./rules/table.ts";
import { firstTokenMs } from "./rules/ttft.ts";

/** What chooses lives on. */
export interface ChooserOptions {
  /** Which rule decides. */
  readonly rules: RuleBook["handOffs"];
  /** What is foreseen of the chosen one, in ms; its first token unless given. */
  readonly foresee?: typeof firstTokenMs;
  /** Where sessions are at home. */
  readonly sessions: SessionTable;
  /** How they hold on to it. */
  readonly affinity: Affinity;
  /** The numbers of the rules. */
  readonly constants: RuleConstants;
  /** Workers tell of their caches. */
  readonly followsEvents: boolean;
  /** What everybody has to do. */
  readonly loads: LoadBook;
  /** Tells when choices are made. */
  readonly clock: Pick<Clock, "nowMs">;
  /** Drawn from where rules draw. */
  readonly chance: Chance;
}

/** One prompt of an ask. */
export interface PromptChoice {
  /** Choices of the ask that are of this prompt. */
  readonly choices: readonly number[];
  /** Who may be chosen; at least one. */
  readonly seats: readonly RankSeat[];
  /** It is placed; else somebody only wants to know. */
  readonly isReal: boolean;
  /** What is placed; all of it unless given. */
  readonly leg?: Leg;
  /** As in FillFor: where blocks come from elsewhere. */
  readonly pull?: FillFor["pull"];
}

/** Who was chosen, and from what; the table is good until the next choice. */
export interface Chosen {
  /** Who. */
  readonly seat: RankSeat;
  /** Its place in the table. */
  readonly at: number;
  /** Why. */
  readonly kept: KeptDecision;
  /** The table. */
  readonly candidates: Candidates;
  /** What each cost. */
  readonly costs: Float64Array;
  /** The prompt's blocks in the chosen one's index; undefined where prefixes are not compared. */
  readonly blocks: PromptBlocks | undefined;
  /** No candidate had anything of the prompt. */
  readonly isCold: boolean;
}

const NO_TOKENS = new Uint32Array(0);

/** Tokens of an answer before any was seen; and how much of the mean each answer is. */
const FIRST_ANSWER_TOKENS = 128;
const ANSWER_SHARE = 1 / 16;

/** Draws nothing new: who only asks changes no later choice. */
const NO_CHANCE: Chance = { next: () => 0, id: () => 1n };

/** Chooses a rank for one prompt after the other, over a table that is used again. */
export class Chooser {
  readonly #options: ChooserOptions;
  readonly #chance: DrawnChance;
  #candidates = createCandidates(16);
  #costs = new Float64Array(16);
  #turn = 0;
  #answerTokens = FIRST_ANSWER_TOKENS;

  constructor(options: ChooserOptions) {
    this.#options = options;
    this.#chance = new DrawnChance(options.chance);
  }

  /** What was drawn for the last choice that was placed. */
  get draws(): Float64Array {
    return this.#chance.drawn;
  }

  /** An answer had so many tokens. */
  answered(tokens: number): void {
    this.#answerTokens += (tokens - this.#answerTokens) * ANSWER_SHARE;
  }

  choose(ask: RouteAsk, { choices, seats, isReal, leg = "whole", pull }: PromptChoice): Chosen {
    const { rules, clock, constants, foresee = firstTokenMs } = this.#options;
    const nowMs = clock.nowMs();
    const prompt = Math.floor(choices[0]! / ask.choicesPerPrompt);
    const tokens = ask.prompts[prompt] ?? NO_TOKENS;
    const blocks = this.#blocksOf(ask, tokens);
    this.#fill(ask, seats, { tokens, choices, blocks, nowMs, pull });
    const candidates = this.#candidates;
    const inForce = rules.ruleOf(seats);
    const ruleAsk: RuleAsk = {
      promptTokens: tokens.length,
      blockTokens: seats.find(({ fleet }) => fleet.scope)?.fleet.scope?.blockTokens ?? 1,
      session: ask.session === undefined ? undefined : sessionKey(ask.model, ask.session),
      turn: this.#turn,
      answerTokens: this.#answerTokens,
    };
    const held = ask.target ? undefined : this.#held(ruleAsk, seats, nowMs);
    const at = this.#pick(inForce, ruleAsk, { held, isReal });
    const seat = seats[at]!;
    if (isReal) this.#turn++;
    const missing = this.#missing(inForce, ruleAsk);
    const isForeseen = rules.needsPrefixes;
    const kept: KeptDecision = {
      requestId: ask.requestId,
      choices,
      leg,
      bypass: undefined,
      atMs: nowMs,
      rule: inForce.name,
      why: inForce.why,
      ask: ruleAsk,
      decision: this.#decide(ask, inForce, { at, held, missing }),
      missing,
      of: seats.length,
      chosen: at,
      predictedMs: isForeseen && candidates.timed[at] === 1 ? foresee(ruleAsk, candidates, at, constants) : undefined,
      predictedTokens: isForeseen ? candidates.deviceTokens[at]! : undefined,
      seenMs: undefined,
      seenTokens: undefined,
    };
    return {
      ...{ seat, at, kept, candidates, costs: this.#costs },
      blocks: seat.shelf && blocks?.(seat.shelf),
      isCold: tokens.length > 0 && sum(candidates.deviceTokens, candidates.count) === 0,
    };
  }

  /** The table of the last choice, as arrays of the caller's own. */
  table(kept: KeptDecision): KeptTable {
    const { count } = this.#candidates;
    const ring = new DecisionRing({ decisions: 1, candidates: count, candidatesOfOne: count });
    ring.add(kept, this.#candidates, this.#costs);
    return ring.table(kept)!;
  }

  /**
   * Cuts the prompt into an index's blocks, once for each; undefined for what is computed whole, such as what is
   * scored, and under a rule that does not look at prefixes: it is to cost no hashing.
   */
  #blocksOf({ kind, salt, adapter }: RouteAsk, tokens: Uint32Array): ((shelf: Shelf) => PromptBlocks) | undefined {
    const isReused = tokens.length > 0 && (kind === "generate" || kind === "prefill");
    if (!isReused || !this.#options.rules.needsPrefixes) return undefined;
    const open = new Set<Shelf>();
    return (shelf) => {
      if (open.has(shelf)) return shelf.hashes;
      open.add(shelf);
      return shelf.hashes.open(tokens, hashSeed(salt, adapter));
    };
  }

  #fill(
    { preferredTaints: preferred }: RouteAsk,
    seats: readonly RankSeat[],
    about: Pick<FillFor, "choices" | "blocks" | "nowMs" | "pull"> & { readonly tokens: Uint32Array },
  ): void {
    const { loads, followsEvents } = this.#options;
    if (seats.length > this.#costs.length) {
      this.#candidates = createCandidates(seats.length * 2);
      this.#costs = new Float64Array(seats.length * 2);
    }
    const { tokens, ...rest } = about;
    fillCandidates(seats, { ...rest, promptTokens: tokens.length, preferred, loads, followsEvents }, this.#candidates);
  }

  /** Place of the rank that the ask's session holds on to; undefined where it holds on to none of these. */
  #held({ session }: RuleAsk, seats: readonly RankSeat[], nowMs: number): number | undefined {
    const { affinity, sessions } = this.#options;
    if (affinity === "off" || session === undefined) return undefined;
    const home = sessions.find(session, nowMs);
    if (!home) return undefined;
    const at = seats.findIndex(
      ({ fleet, rank }) => fleet.worker === home.worker && fleet.incarnation === home.incarnation && rank === home.rank,
    );
    if (at < 0) return undefined;
    const { maxRunningRequests, openRequests } = this.#candidates;
    const isFull = maxRunningRequests[at]! > 0 && openRequests[at]! >= maxRunningRequests[at]!;
    return affinity === "soft" && isFull ? undefined : at;
  }

  #pick(
    { rule }: RuleInForce,
    ask: RuleAsk,
    { held, isReal }: { readonly held: number | undefined; readonly isReal: boolean },
  ): number {
    const costs = this.#costs;
    if (isReal) this.#chance.begin();
    if (held === undefined) {
      return choose(rule, ask, this.#candidates, { costs, chance: isReal ? this.#chance : NO_CHANCE });
    }
    weighedCosts(rule, ask, this.#candidates, costs);
    return held;
  }

  /** What the rule lives on, or the configured one where another stands in, and is not known of some candidates. */
  #missing({ name, why }: RuleInForce, { session }: RuleAsk): readonly Missing[] {
    const needs: readonly RuleNeed[] = DECIDING[name].needs;
    const { count, known, timed } = this.#candidates;
    const unknown: Readonly<Record<RuleNeed, number>> = {
      prefixes: count - sum(known, count),
      times: count - sum(timed, count),
      session: session === undefined ? count : 0,
      pin: 0,
    };
    const lacking = needs.filter((need) => unknown[need] > 0).map((need) => ({ need, candidates: unknown[need] }));
    return why === "" ? lacking : [...lacking, { need: "prefixes", candidates: count }];
  }

  #decide(
    ask: RouteAsk,
    { name }: RuleInForce,
    chosen: { readonly at: number; readonly held: number | undefined; readonly missing: readonly Missing[] },
  ): Decision {
    const { at, held } = chosen;
    const { count: of, openRequests, deviceTokens } = this.#candidates;
    const { affinity } = this.#options;
    if (ask.target) return { rule: "pinned" };
    if (held !== undefined && affinity !== "off") return { rule: "affinity", held: affinity, of };
    const missing = chosen.missing.length > 0 ? { missing: chosen.missing } : {};
    switch (name) {
      case "round-robin":
      case "random":
        return { rule: name, at: at + 1, of, ...missing };
      case "power-of-two":
      case "least-request":
        return { rule: name, open: openRequests[at]!, of, ...missing };
      default: {
        const { unit } = DECIDING[name];
        return { rule: "by cost", name, cost: this.#costs[at]!, unit, cachedTokens: deviceTokens[at]!, of, ...missing };
      }
    }
  }
}

function sum(column: Float64Array, count: number): number {
  let total = 0;
  for (let at = 0; at < count; at++) total += column[at]!;
  return total;
}

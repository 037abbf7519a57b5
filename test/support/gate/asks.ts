import { type Chance, pick, SeededChance } from "#lib/base/chance";
import type { Ask } from "../../conformance/engine-rig.ts";

/** What a gate asks: all of it said, so that it can be asked elsewhere again. */
export interface GateAsk extends Ask {
  readonly prompt: Uint32Array;
  readonly cacheSalt: string;
}

/** What requests are mixed of. */
export interface GateMix {
  /** Requests, choices of one counted apart. */
  readonly count: number;
  /** Token ids are below it. */
  readonly vocabularySize: number;
  /** Longest prompt. */
  readonly promptTokens: number;
  /** Longest answer. */
  readonly answerTokens: number;
  /** Names that are loaded everywhere. */
  readonly adapters: readonly string[];
  /** Of the most likely tokens that come with each token. */
  readonly topLogprobs: number;
  /** Whether some answers are held to a grammar: engines that follow none refuse them. */
  readonly grammars: boolean;
}

/** One in so many has something special of a kind. */
const SPECIAL_EVERY = 8;
const PREFIXES = 12;
const GRAMMARS = ['root ::= [a-z ]+ "."', 'root ::= "{" [0-9]+ "}"'] as const;

/** Requests of many kinds, the same for the same seed: shared prefixes, choices, draws, penalties, salts, adapters, grammars. */
export function gateAsks(seed: number, mix: GateMix): GateAsk[] {
  const chance = new SeededChance(BigInt(seed));
  const tokens = (count: number) => Array.from({ length: count }, () => pick(chance, mix.vocabularySize));
  const prefixes = Array.from({ length: PREFIXES }, () => tokens(1 + pick(chance, Math.ceil(mix.promptTokens / 2))));
  const isSpecial = () => pick(chance, SPECIAL_EVERY) === 0;
  const asks: GateAsk[] = [];
  while (asks.length < mix.count) {
    const prefix = pick(chance, 3) === 0 ? [] : prefixes[pick(chance, PREFIXES)]!;
    const rest = tokens(1 + pick(chance, mix.promptTokens - prefix.length));
    const ask: GateAsk = {
      prompt: Uint32Array.from([...prefix, ...rest]),
      cacheSalt: isSpecial() ? `salt ${pick(chance, 3)}` : "",
      adapter: mix.adapters.length > 0 && isSpecial() ? mix.adapters[pick(chance, mix.adapters.length)] : undefined,
      topLogprobs: pick(chance, 3) === 0 ? undefined : mix.topLogprobs,
      promptLogprobs: false,
      guidance: mix.grammars && isSpecial() ? { kind: "ebnfGrammar", grammar: GRAMMARS[pick(chance, 2)]! } : undefined,
      ...drawsOf(chance, mix),
    };
    const choices = isSpecial() ? 2 + pick(chance, 3) : 1;
    for (let choice = 0; choice < choices; choice++) asks.push({ ...ask, choice });
  }
  return asks.slice(0, mix.count);
}

function drawsOf(chance: Chance, { answerTokens, vocabularySize }: GateMix): Pick<Ask, "sampling" | "stopping"> {
  const isPenalized = pick(chance, SPECIAL_EVERY) === 0;
  const stopTokens = Uint32Array.from({ length: pick(chance, 3) }, () => pick(chance, vocabularySize));
  const maxTokens = 1 + pick(chance, answerTokens);
  return {
    sampling: {
      temperature: pick(chance, 2) === 0 ? 0 : 1.2,
      topP: pick(chance, 4) === 0 ? 0.8 : 1,
      seed: BigInt(pick(chance, 1_000_000)),
      repetitionPenalty: isPenalized ? 1.3 : 1,
      presencePenalty: isPenalized ? 0.4 : 0,
    },
    stopping: {
      maxTokens,
      ignoreEos: pick(chance, 2) === 0,
      minTokens: pick(chance, 4) === 0 ? pick(chance, maxTokens) : 0,
      stopTokens,
    },
  };
}

/** Choices of one prompt, which are asked for together. */
export interface GateRequest {
  /** Place of its first choice. */
  readonly at: number;
  /** Its choices, in their order. */
  readonly asks: readonly GateAsk[];
}

/** The requests that clients would make of all that is asked. */
export function gateRequests(asks: readonly GateAsk[]): GateRequest[] {
  const starts = [...asks.keys()].filter((at) => (asks[at]!.choice ?? 0) === 0);
  return starts.map((at, index) => ({ at, asks: asks.slice(at, starts[index + 1]) }));
}

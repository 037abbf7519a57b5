import { type Chance, pick } from "#lib/base/chance";
import type { MockModel } from "#lib/engines/mock/mock-engine";
import type { RouteWishes } from "#lib/routing/router";
import type { ReadyAsk } from "#lib/serving/ask";
import { plainAsk } from "#lib/serving/plain-ask";
import { GREEDY } from "#lib/tokens/sampling";
import { MODEL } from "./weights.ts";

/** Texts that many prompts begin with, so that prefixes are found in caches. */
const DOCUMENTS = 3;
/** More than a frontend remembers. */
const SESSIONS = 6;
/** Where workers are, as their taints say. */
export const ZONES = ["a", "b"] as const;
/** Shortest prompt: from one block on other weights say something else. */
const LEAST_PROMPT = 17;
const MOST_PROMPT = 80;
const MOST_ANSWER = 40;

/** What a request is drawn from. */
export interface AskSource {
  /** Everything about a request is drawn from it. */
  readonly chance: Chance;
  /** Whose words it may stop at. */
  readonly model: MockModel;
  /** Digest of its tokenizer, in hex. */
  readonly tokenizer: string;
  /** Instances that one may be pinned to. */
  readonly workers: readonly bigint[];
}

/** A request as many kinds of clients send it. */
export function drawAsk(requestId: string, { chance, model, tokenizer, workers }: AskSource): ReadyAsk {
  const oneIn = (count: number): boolean => pick(chance, count) === 0;
  const prompts = Array.from({ length: oneIn(6) ? 2 : 1 }, () => drawPrompt(chance));
  const wishes = drawWishes(chance);
  const common = { requestId, model: MODEL, tokenizer, prompts, wishes };
  const worker = oneIn(10) ? workers[pick(chance, workers.length)] : undefined;
  const deadlineMs = oneIn(8) ? 100 + pick(chance, 8_000) : undefined;
  if (oneIn(15)) return plainAsk({ ...common, kind: "embed", worker, deadlineMs });
  const topLogprobs = oneIn(6) ? pick(chance, 4) : undefined;
  const isDrawn = oneIn(4);
  const { stop } = model.words;
  return plainAsk({
    ...common,
    worker,
    deadlineMs,
    choicesPerPrompt: oneIn(4) ? 2 + pick(chance, 2) : 1,
    maxTokens: 1 + pick(chance, oneIn(3) ? 4 : MOST_ANSWER),
    stopTokens: oneIn(8) && stop !== undefined ? Uint32Array.of(stop) : new Uint32Array(0),
    sampling: isDrawn ? { ...GREEDY, temperature: 0.9, presencePenalty: 0.5, seed: chance.id() } : GREEDY,
    topLogprobs,
    promptLogprobs: topLogprobs !== undefined && oneIn(2),
    cacheSalt: oneIn(6) ? "salt" : "",
    priority: oneIn(5) ? 1 : 0,
  });
}

/** Half of the requests belong to a session, and some would rather be in a zone. */
function drawWishes(chance: Chance): RouteWishes {
  const taint = `zone=${ZONES[pick(chance, ZONES.length)]}`;
  return {
    session: pick(chance, 2) === 0 ? `session-${pick(chance, SESSIONS)}` : undefined,
    requiredTaints: [],
    preferredTaints: pick(chance, 8) === 0 ? [{ taint, weight: pick(chance, 2) === 0 ? 1 : -1 }] : [],
  };
}

function drawPrompt(chance: Chance): Uint32Array {
  const document = pick(chance, DOCUMENTS);
  const length = LEAST_PROMPT + pick(chance, MOST_PROMPT - LEAST_PROMPT);
  const shared = pick(chance, length);
  return Uint32Array.from({ length }, (_, at) => (at < shared ? (document * 31 + at * 7) % 300 : pick(chance, 300)));
}

import { type Chance, pick } from "#lib/base/chance";
import { assert } from "#lib/base/errors";
import type { Decision } from "./decision.ts";

/** Ways to choose a worker without looking at what it holds. */
export const ROUTER_MODES = ["round-robin", "random", "power-of-two", "least-loaded", "direct"] as const;

/** One of the ways. `direct` takes the worker that the request names. */
export type RouterMode = (typeof ROUTER_MODES)[number];

/** A worker that could take the request. */
export interface Candidate {
  /** Its instance. */
  readonly worker: bigint;
  /** Choices of this router that are open there. */
  readonly openRequests: number;
}

/** A worker, and why. */
export interface Selection {
  /** One of the candidates. */
  readonly worker: bigint;
  /** Why: the mode and what it went by. */
  readonly decision: Decision;
}

/** What a choice depends on beside the candidates. */
export interface SelectOptions {
  /** How it is chosen when no worker is named. */
  readonly mode: RouterMode;
  /** Choices made so far: round-robin and ties go on from here. */
  readonly turn: number;
  /** Drawn from once for random, at most twice for power-of-two, else not at all. */
  readonly chance: Chance;
  /** The worker that the request names, in any mode. */
  readonly pinned: bigint | undefined;
}

/**
 * Chooses among candidates, which come in a stable order. undefined when there is none, when the pinned one is not among
 * them, or when the mode is direct and nothing is pinned. Ties of power-of-two go to the first that was drawn, ties of
 * least-loaded to the next in turn.
 */
export function select(candidates: readonly Candidate[], options: SelectOptions): Selection | undefined {
  const { mode, pinned } = options;
  if (pinned !== undefined) {
    const found = candidates.find((candidate) => candidate.worker === pinned);
    return found && { worker: found.worker, decision: { rule: "pinned" } };
  }
  if (candidates.length === 0 || mode === "direct") return undefined;
  const of = candidates.length;
  switch (mode) {
    case "round-robin": {
      const at = options.turn % candidates.length;
      return { worker: candidateAt(candidates, at).worker, decision: { rule: mode, at: at + 1, of } };
    }
    case "random": {
      const at = pick(options.chance, candidates.length);
      return { worker: candidateAt(candidates, at).worker, decision: { rule: mode, at: at + 1, of } };
    }
    case "power-of-two": {
      const { worker, openRequests } = betterOfTwo(candidates, options.chance);
      return { worker, decision: { rule: mode, open: openRequests, of } };
    }
    case "least-loaded": {
      const { worker, openRequests } = leastLoaded(candidates, options.turn);
      return { worker, decision: { rule: "least-request", open: openRequests, of } };
    }
  }
}

function candidateAt(candidates: readonly Candidate[], at: number): Candidate {
  const candidate = candidates[at];
  assert(candidate, "the index is below the number of candidates");
  return candidate;
}

function betterOfTwo(candidates: readonly Candidate[], chance: Chance): Candidate {
  const first = pick(chance, candidates.length);
  if (candidates.length === 1) return candidateAt(candidates, 0);
  // The second is drawn among the others, so that the two differ.
  const second = (first + 1 + pick(chance, candidates.length - 1)) % candidates.length;
  const [one, other] = [candidateAt(candidates, first), candidateAt(candidates, second)];
  return other.openRequests < one.openRequests ? other : one;
}

function leastLoaded(candidates: readonly Candidate[], turn: number): Candidate {
  let best = candidateAt(candidates, turn % candidates.length);
  for (let at = 1; at < candidates.length; at++) {
    const next = candidateAt(candidates, (turn + at) % candidates.length);
    if (next.openRequests < best.openRequests) best = next;
  }
  return best;
}

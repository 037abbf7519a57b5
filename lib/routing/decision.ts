/** Why a worker was chosen. */
export type Decision =
  /** The request named it. */
  | { readonly rule: "pinned" }
  /** It was its turn, or was drawn: the `at`-th of `of` that could take it, counted from 1. */
  | { readonly rule: "round-robin" | "random"; readonly at: number; readonly of: number }
  /** It had `open` choices of this router's, the least of two that were drawn among `of`, or of all. */
  | { readonly rule: "power-of-two" | "least-loaded"; readonly open: number; readonly of: number };

/** A decision in one short phrase, for headers, logs and people; `waitedMs`: what went by before anybody could take it. */
export function printDecision(decision: Decision, waitedMs?: number): string {
  const waited = waitedMs === undefined ? "" : `, waited ${Math.round(waitedMs)} ms`;
  return phrase(decision) + waited;
}

function phrase(decision: Decision): string {
  switch (decision.rule) {
    case "pinned":
      return "direct, pinned";
    case "round-robin":
    case "random":
      return `${decision.rule}, ${decision.at} of ${decision.of}`;
    case "power-of-two":
    case "least-loaded":
      return `${decision.rule}, ${decision.open} open, of ${decision.of}`;
  }
}

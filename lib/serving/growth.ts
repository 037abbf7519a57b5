import { GROWTH_TOKENS, type RouteNote } from "#lib/routing/router";
import { noteOf } from "./legs.ts";
import type { Choice } from "./life.ts";

/** Tells that a choice's prompt is computed, and its growth every few tokens: what a router counts are blocks. Call when `by` more came. */
export function tellGrowth(choice: Choice, by: number, tell: (note: RouteNote) => void): void {
  const { index, generated, attemptFrom } = choice;
  const tokens = generated.count;
  if (tokens - by === attemptFrom) tell(noteOf(choice, { kind: "first token", choice: index }));
  if (tokens % GROWTH_TOKENS < by) tell(noteOf(choice, { kind: "tokens", choice: index, tokens }));
}

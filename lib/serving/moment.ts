import type { StatorError } from "#lib/base/errors";
import type { ChoiceEnd } from "./dispatcher.ts";
import { isKept, noteOf } from "./legs.ts";
import type { Choice, Life } from "./life.ts";
import type { LifeEffect } from "./life-event.ts";
import { answerTokens, recordOf } from "./record.ts";

/** What surrounds one event of a life. */
export interface Moment {
  /** Whose event it is; changed in place. */
  readonly life: Life;
  /** On the clock of whoever runs it. */
  readonly nowMs: number;
  /** What is to be done, in order; grows. */
  readonly effects: LifeEffect[];
}

/** Whether some worker has it. */
export function isOut(choice: Choice): boolean {
  return choice.phase === "sent" || choice.phase === "accepted";
}

/** Asks for places of what is nowhere, unless that is being asked. */
export function place({ life, effects }: Moment, delayMs: number): void {
  if (life.placing) return;
  life.placing = true;
  effects.push({ kind: "place", delayMs });
}

/** The same after a wait. */
export function backOff(moment: Moment): void {
  const { life } = moment;
  // The last look is at the limit. Whole milliseconds: each wait moves time on.
  place(moment, Math.min(life.backoff.nextMs(), Math.ceil(searchLeftMs(moment))));
}

/** How long the search for a worker may still take; it begins here unless it has begun. */
export function searchLeftMs({ life, nowMs }: Moment): number {
  const { firstWaitMs, waitMs } = life.limits;
  life.searchingSinceMs ??= nowMs;
  return life.searchingSinceMs + (life.attempt === 0 ? firstWaitMs : waitMs) - nowMs;
}

/** A choice has nothing to do with its worker any more. */
export function leave({ effects }: Moment, choice: Choice): void {
  if (!choice.place) return;
  const note = noteOf(choice, { kind: "ended", choice: choice.index, tokens: answerTokens(choice) });
  choice.place = undefined;
  choice.isAhead = false;
  effects.push({ kind: "note", note });
}

/** The leg that began ahead comes to nothing; `mode` undefined: its worker has nothing of it. */
export function dropAhead({ effects }: Moment, choice: Choice, mode: "stop" | "kill" | undefined): void {
  const { ahead, index } = choice;
  if (!ahead) return;
  choice.ahead = undefined;
  if (mode && !ahead.finish) effects.push({ kind: "cancel", choice: index, attempt: ahead.attempt, mode });
  effects.push({ kind: "note", note: { ahead: true, kind: "ended", choice: index, tokens: answerTokens(choice) } });
}

/** Nobody goes on from what was kept of a choice's prompt: unless a leg that did has let it go already, its worker is told. */
export function dropKept({ nowMs, effects }: Moment, choice: Choice): void {
  const { kept, told, leg, generated, attemptFrom } = choice;
  choice.kept = undefined;
  if (!kept) return;
  // Whoever goes on from it has brought its blocks in before the first token of its own.
  const isFetched = told !== undefined || (leg !== "prefill" && generated.count > attemptFrom);
  if (isFetched || !isKept(kept, nowMs) || kept.session.sessionId === "") return;
  effects.push({ kind: "release", worker: kept.worker, session: kept.session });
}

/** A choice is complete. */
export function end(moment: Moment, choice: Choice, reason: ChoiceEnd["reason"], stopToken?: number): void {
  const { life, effects } = moment;
  choice.phase = "ended";
  leave(moment, choice);
  dropAhead(moment, choice, "stop");
  dropKept(moment, choice);
  life.openChoices--;
  effects.push({ kind: "end", choice: choice.index, end: { reason, stopToken } });
  if (life.openChoices === 0) over(moment, "finished", undefined);
}

/** The request fails as a whole. */
export function fail(moment: Moment, error: StatorError): void {
  over(moment, "failed", error);
}

/** The request is over: what still runs is killed, and its record is written. */
export function over(
  moment: Moment,
  outcome: "finished" | "cancelled" | "failed",
  error: StatorError | undefined,
): void {
  const { life, nowMs, effects } = moment;
  for (const choice of life.choices) {
    if (isOut(choice)) effects.push({ kind: "cancel", choice: choice.index, attempt: choice.attempt, mode: "kill" });
    choice.phase = "ended";
    leave(moment, choice);
    dropAhead(moment, choice, "kill");
    dropKept(moment, choice);
  }
  life.done = true;
  if (error) effects.push({ kind: "error", error });
  effects.push({ kind: "done", record: recordOf(life, outcome, { nowMs, error }) });
}

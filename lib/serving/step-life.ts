import { assert, StatorError } from "#lib/base/errors";
import type { StepLogprobs } from "#lib/link/link";
import { accepted, finished } from "./finish.ts";
import { holdTokens, noteOf } from "./legs.ts";
import type { Choice, Life } from "./life.ts";
import type { LifeEffect, LifeEvent } from "./life-event.ts";
import { dropAhead, end, fail, isOut, type Moment, over, place } from "./moment.ts";
import { placed, unplaced } from "./place-choices.ts";
import { retry } from "./retry.ts";

/** The life of a request: what an event makes of it, and what is to be done. Changes the life in place. After `done`, nothing. */
export function stepLife(life: Life, event: LifeEvent, nowMs: number): LifeEffect[] {
  const moment: Moment = { life, nowMs, effects: [] };
  if (!life.done) react(moment, event);
  return moment.effects;
}

/**
 * The hot path of `stepLife`: tokens[start] to tokens[end - 1] of one choice came. Returns what is to be delivered, a
 * view that stays right, or undefined when the frame is of an attempt that is over, or of a leg whose turn it is not: its
 * tokens come as an effect later. It has no event object, since there would be one for each token. Borrows the arrays.
 */
export function takeTokens(
  life: Life,
  at: { readonly choice: number; readonly attempt: number },
  frame: {
    readonly tokens: Uint32Array;
    readonly start: number;
    readonly end: number;
    readonly nowMs: number;
    readonly logprobs?: StepLogprobs | undefined;
  },
): Uint32Array | undefined {
  const choice = life.choices[at.choice] as Choice;
  if (life.done || choice.phase !== "accepted" || choice.attempt !== at.attempt) {
    if (!holdTokens(choice.ahead, at.attempt, frame)) life.droppedFrames++;
    return undefined;
  }
  life.firstTokenMs ??= frame.nowMs;
  return choice.generated.append(frame.tokens, frame.start, frame.end);
}

/**
 * Log-probabilities of `count` tokens of one choice's prompt came, from `position` on. Returns from which of them on they
 * are to be delivered, since a later attempt says again what an earlier one said; undefined when none is, and when the
 * frame is of an attempt that is over.
 */
export function takePromptLogprobs(
  life: Life,
  at: { readonly choice: number; readonly attempt: number },
  frame: { readonly position: number; readonly count: number },
): number | undefined {
  const choice = life.choices[at.choice] as Choice;
  if (life.done || choice.phase !== "accepted" || choice.attempt !== at.attempt) {
    life.droppedFrames++;
    return undefined;
  }
  const from = choice.scored - frame.position;
  if (from < 0 || from >= frame.count) return undefined;
  choice.scored = frame.position + frame.count;
  return from;
}

function react(moment: Moment, event: LifeEvent): void {
  const { life, effects } = moment;
  switch (event.kind) {
    case "start":
      assert(life.attempt === 0 && !life.placing, "a request starts once");
      place(moment, 0);
      return;
    case "placed":
      placed(moment, event);
      return;
    case "unplaced":
      unplaced(moment, event);
      return;
    case "suspect":
      suspected(moment, event);
      return;
    case "finish choice": {
      const choice = life.choices[event.choice];
      if (!choice || choice.phase === "ended") return;
      choice.counted = Math.min(event.tokens, choice.generated.count + choice.pieces);
      if (isOut(choice)) effects.push({ kind: "cancel", choice: choice.index, attempt: choice.attempt, mode: "stop" });
      end(moment, choice, "cancelled");
      return;
    }
    case "cancel":
      over(moment, "cancelled", undefined);
      return;
    case "fail":
      fail(moment, event.error);
      return;
    case "deadline":
      fail(moment, new StatorError("DEADLINE", { deadlineMs: life.request.deadlineMs }));
      return;
    default:
      frame(moment, event);
  }
}

/** Nothing that a worker has is waited for. */
function suspected(moment: Moment, { worker, error }: Extract<LifeEvent, { kind: "suspect" }>): void {
  const { life, effects } = moment;
  for (const choice of life.choices) {
    const { ahead, index } = choice;
    // One that has ended has said all.
    if (ahead?.place.target.worker === worker && !ahead.finish) {
      effects.push({ kind: "abandon", choice: index, attempt: ahead.attempt });
      forgetAhead(moment, choice);
    }
    if (choice.place?.target.worker !== worker || !isOut(choice)) continue;
    effects.push({ kind: "abandon", choice: index, attempt: choice.attempt });
    retry(moment, choice, { error, counts: true });
    if (life.done) return;
  }
}

/** What came from a worker: only for the attempt that the choice is on, and the leg that began ahead of it. */
function frame(moment: Moment, event: Extract<LifeEvent, { attempt: number }>): void {
  const { life } = moment;
  const choice = life.choices[event.choice];
  if (choice?.ahead?.attempt === event.attempt) {
    aheadFrame(moment, choice, event);
    return;
  }
  if (!choice || choice.attempt !== event.attempt || !isOut(choice)) {
    life.droppedFrames++;
    return;
  }
  switch (event.kind) {
    case "refused":
      retry(moment, choice, { error: event.error, counts: false });
      return;
    case "accepted":
      accepted(moment, choice, event.cachedTokens);
      return;
    case "text":
      texted(moment, choice, event.text);
      return;
    case "embedding":
      // A second attempt computes it again; it is delivered once.
      if (!choice.embedded) moment.effects.push({ kind: "embedding", choice: choice.index, values: event.values });
      choice.embedded = true;
      return;
    case "answered":
      moment.life.firstTokenMs ??= moment.nowMs;
      moment.effects.push({ kind: "note", note: noteOf(choice, { kind: "first token", choice: choice.index }) });
      return;
    case "finished":
      finished(moment, choice, event.finish);
      return;
    case "lost": {
      // A request may kill its worker before the word that it was accepted has left.
      const { error, accepted, died } = event;
      retry(moment, choice, { error, counts: accepted || died, died });
    }
  }
}

/** What came from a decode leg that began ahead: its answer waits for the end of the prefill leg, and where it fails it is forgotten. */
function aheadFrame(moment: Moment, choice: Choice, event: Extract<LifeEvent, { attempt: number }>): void {
  const { life, effects } = moment;
  const { ahead, index } = choice;
  if (!ahead || ahead.finish) {
    life.droppedFrames++;
    return;
  }
  switch (event.kind) {
    case "accepted": {
      const { cachedTokens } = event;
      ahead.cachedTokens = cachedTokens;
      effects.push({ kind: "note", note: { ahead: true, kind: "accepted", choice: index, cachedTokens } });
      return;
    }
    case "finished": {
      const { error, reason } = event.finish;
      if (error || reason === "cancelled" || reason === "failed") forgetAhead(moment, choice);
      else ahead.finish = event.finish;
      return;
    }
    case "refused":
    case "lost":
      forgetAhead(moment, choice);
      return;
    default:
      life.droppedFrames++;
  }
}

/** The hand-off of the prompt is to somebody else then. */
function forgetAhead(moment: Moment, choice: Choice): void {
  if (choice.ahead) moment.life.avoid.add(choice.ahead.place.target.worker);
  dropAhead(moment, choice, undefined);
}

function texted({ life, nowMs, effects }: Moment, choice: Choice, text: string): void {
  if (choice.phase !== "accepted") {
    life.droppedFrames++;
    return;
  }
  if (choice.pieces === 0) {
    effects.push({ kind: "note", note: noteOf(choice, { kind: "first token", choice: choice.index }) });
  }
  life.firstTokenMs ??= nowMs;
  choice.pieces++;
  effects.push({ kind: "text", choice: choice.index, text });
}

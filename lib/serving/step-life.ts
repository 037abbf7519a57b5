import { assert, StatorError } from "#lib/base/errors";
import type { LinkFinish } from "#lib/link/link";
import type { Place } from "#lib/routing/router";
import type { ChoiceEnd } from "./dispatcher.ts";
import type { Choice, Life, LifeEffect, LifeEvent } from "./life.ts";
import { answerTokens, recordOf } from "./record.ts";

/** What surrounds one event. */
interface Moment {
  readonly life: Life;
  readonly nowMs: number;
  readonly effects: LifeEffect[];
}

/** How an attempt failed. */
interface Failure {
  readonly error: StatorError;
  /** It may have been executed, so that it says something about the request. */
  readonly counts: boolean;
  readonly died?: boolean;
}

/** The life of a request: what an event makes of it, and what is to be done. Changes the life in place. After `done`, nothing. */
export function stepLife(life: Life, event: LifeEvent, nowMs: number): LifeEffect[] {
  const moment: Moment = { life, nowMs, effects: [] };
  if (!life.done) react(moment, event);
  return moment.effects;
}

/**
 * The hot path of `stepLife`: tokens[start] to tokens[end - 1] of one choice came. Returns what is to be delivered, a
 * view that stays right, or undefined when the frame is of an attempt that is over. It has no event object, since there
 * would be one for each token.
 */
export function takeTokens(
  life: Life,
  at: { readonly choice: number; readonly attempt: number },
  frame: { readonly tokens: Uint32Array; readonly start: number; readonly end: number; readonly nowMs: number },
): Uint32Array | undefined {
  const choice = life.choices[at.choice] as Choice;
  if (life.done || choice.phase !== "accepted" || choice.attempt !== at.attempt) {
    life.droppedFrames++;
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
      for (const choice of life.choices) {
        if (choice.place?.target.worker !== event.worker || !isOut(choice)) continue;
        effects.push({ kind: "abandon", choice: choice.index, attempt: choice.attempt });
        retry(moment, choice, { error: event.error, counts: true });
        if (life.done) return;
      }
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

/** What came from a worker: only for the attempt that the choice is on. */
function frame(moment: Moment, event: Extract<LifeEvent, { attempt: number }>): void {
  const { life } = moment;
  const choice = life.choices[event.choice];
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
      moment.effects.push({ kind: "note", note: { kind: "first token", choice: choice.index } });
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

function isOut(choice: Choice): boolean {
  return choice.phase === "sent" || choice.phase === "accepted";
}

function placed(moment: Moment, { places }: Extract<LifeEvent, { kind: "placed" }>): void {
  const { life, nowMs, effects } = moment;
  life.placing = false;
  const waiting = places.map((place) => place.choices.map((index) => life.choices[index]).filter(isUnplaced));
  for (const choice of places.flatMap(({ choices }) => choices)) {
    // It has ended while the router made up its mind.
    if (!isUnplaced(life.choices[choice])) effects.push({ kind: "note", note: { kind: "ended", choice } });
  }
  if (waiting.every(({ length }) => length === 0)) return;
  life.attempt++;
  const { searchingSinceMs } = life;
  life.waitedMs = life.backoff.waits === 0 || searchingSinceMs === undefined ? undefined : nowMs - searchingSinceMs;
  for (const [at, place] of places.entries()) for (const choice of waiting[at] ?? []) send(moment, choice, place);
  // What failed while the router made up its mind was no part of what it was asked.
  if (life.choices.some(isUnplaced)) place(moment, 0);
}

function isUnplaced(choice: Choice | undefined): choice is Choice {
  return choice?.phase === "unplaced";
}

function send({ life, nowMs, effects }: Moment, choice: Choice, place: Place): void {
  const { attempt, request, arrivedMs } = life;
  const { deadlineMs } = request;
  const leftMs = deadlineMs === undefined ? undefined : Math.max(1, deadlineMs - (nowMs - arrivedMs));
  choice.phase = "sent";
  choice.attempt = attempt;
  choice.attemptFrom = choice.generated.count;
  choice.place = place;
  choice.weights = place.weights;
  effects.push({
    kind: "submit",
    target: place.target,
    choice: choice.index,
    attempt,
    prompt: choice.prompt,
    generated: choice.generated.all(),
    deadlineMs: leftMs === undefined ? undefined : Math.ceil(leftMs),
  });
}

function unplaced(moment: Moment, { error, final }: Extract<LifeEvent, { kind: "unplaced" }>): void {
  const { life } = moment;
  life.placing = false;
  const { retry: when } = error.row;
  if (final || when === "never" || (when === "elsewhere" && life.request.target !== undefined)) {
    fail(moment, error);
    return;
  }
  // Nothing ran, and every worker is full or too old for it: the caller shall hear it now, and come back.
  const { lastError } = life;
  if (life.workers.length === 0 && (lastError?.reason === "OVERLOADED" || lastError?.reason === "WORKER_OUTDATED")) {
    fail(moment, lastError);
    return;
  }
  if (searchLeftMs(moment) <= 0) {
    fail(moment, life.lastError ? exhausted(life, life.lastError) : error);
    return;
  }
  life.avoid.clear();
  backOff(moment);
}

/** How long the search for a worker may still take; it begins here unless it has begun. */
function searchLeftMs({ life, nowMs }: Moment): number {
  const { firstWaitMs, waitMs } = life.limits;
  life.searchingSinceMs ??= nowMs;
  return life.searchingSinceMs + (life.attempt === 0 ? firstWaitMs : waitMs) - nowMs;
}

function accepted({ life, effects }: Moment, choice: Choice, cachedTokens: number): void {
  const { attempt, place } = choice;
  assert(place, "a choice that is out has a place");
  const { worker } = place.target;
  choice.phase = "accepted";
  choice.cachedTokens ??= cachedTokens;
  effects.push({ kind: "note", note: { kind: "accepted", choice: choice.index, cachedTokens } });
  life.avoid.clear();
  life.searchingSinceMs = undefined;
  life.backoff.reset();
  if (life.workers.at(-1) !== worker) life.workers.push(worker);
  if (choice.hasRun) life.migrations++;
  choice.hasRun = true;
  // Where an earlier attempt went is no news any more.
  if (life.toldAttempt >= attempt) return;
  life.toldAttempt = attempt;
  const { decision } = place;
  effects.push({
    kind: "tell placed",
    placement: { worker, attempt, cachedTokens, decision, waitedMs: life.waitedMs },
  });
}

function texted({ life, nowMs, effects }: Moment, choice: Choice, text: string): void {
  if (choice.phase !== "accepted") {
    life.droppedFrames++;
    return;
  }
  if (choice.pieces === 0) effects.push({ kind: "note", note: { kind: "first token", choice: choice.index } });
  life.firstTokenMs ??= nowMs;
  choice.pieces++;
  effects.push({ kind: "text", choice: choice.index, text });
}

function finished(moment: Moment, choice: Choice, finish: LinkFinish): void {
  const { effects } = moment;
  const counts = choice.phase === "accepted";
  if (finish.error) {
    retry(moment, choice, { error: finish.error, counts });
  } else if (finish.reason === "cancelled" || finish.reason === "failed") {
    // Nobody here asked for it: the worker gave the request back.
    retry(moment, choice, { error: new StatorError("STREAM_LOST", { detail: "the worker gave it back" }), counts });
  } else {
    choice.told = finish;
    if (endsAtOnce(choice, finish)) effects.push({ kind: "note", note: { kind: "first token", choice: choice.index } });
    end(moment, choice, finish.reason, finish.stopToken);
  }
}

/** The first token of its attempt was the one that ended it: that came, and nobody is told of it but by the end. */
function endsAtOnce({ phase, generated, attemptFrom, pieces }: Choice, { reason }: LinkFinish): boolean {
  const isByToken = reason === "end" || reason === "stop_token";
  return isByToken && phase === "accepted" && generated.count === attemptFrom && pieces === 0;
}

/** A choice failed where it was. The row of the error says whether and where it is tried again; ended choices stay ended. */
function retry(moment: Moment, choice: Choice, failure: Failure): void {
  const { life } = moment;
  const { error, counts, died = false } = failure;
  const worker = choice.place?.target.worker;
  const wasAccepted = choice.phase === "accepted";
  choice.phase = "unplaced";
  leave(moment, choice);
  if (error.row.retry === "never") {
    fail(moment, error);
    return;
  }
  life.lastError = error;
  if (endsHere(moment, choice)) return;
  // Nobody can go on behind a text: what it was made of is known where it was made.
  if (choice.pieces > 0) {
    fail(moment, error);
    return;
  }
  if (counts) count(choice, died);
  const isLast = counts && choice.fruitless >= life.limits.fruitless;
  if (isLast || searchLeftMs(moment) <= 0) {
    fail(moment, exhausted(life, error, choice));
    return;
  }
  // Nobody else may have it, and who died does not come back.
  if (died && life.request.target !== undefined) {
    fail(moment, error);
    return;
  }
  if (worker !== undefined) life.avoid.add(worker);
  // Where one is gone others may be, with links that are not known to be broken yet: a moment shows it.
  const atOnce = error.row.retry === "elsewhere" && (wasAccepted || !died);
  if (atOnce) place(moment, 0);
  else backOff(moment);
}

/** A choice has nothing to do with its worker any more. */
function leave({ effects }: Moment, choice: Choice): void {
  if (!choice.place) return;
  choice.place = undefined;
  effects.push({ kind: "note", note: { kind: "ended", choice: choice.index, tokens: answerTokens(choice) } });
}

/** Ends a choice of which everything was delivered, so that only its terminal frame was lost. */
function endsHere(moment: Moment, choice: Choice): boolean {
  const { request } = moment.life;
  const isWhole = request.kind === "generate" && choice.generated.count >= request.stopping.maxTokens;
  if (isWhole) end(moment, choice, "length");
  else if (choice.embedded) end(moment, choice, "done");
  return isWhole || choice.embedded;
}

/** An attempt without a token counts, until one has one. */
function count(choice: Choice, died: boolean): void {
  if (choice.generated.count > choice.attemptFrom) {
    choice.fruitless = 0;
    choice.deaths = 0;
  } else {
    choice.fruitless++;
    choice.deaths = died ? choice.deaths + 1 : 0;
  }
}

/** Why a request is not tried any more. Once may be chance; a request under which several died, one after the other, is poison. */
function exhausted(life: Life, last: StatorError, choice?: Choice): StatorError {
  const { requestId } = life.request;
  const isPoison = choice && choice.deaths > 1 && choice.deaths >= life.limits.fruitless;
  if (isPoison) return new StatorError("POISONED", { request: requestId, workers: choice.deaths }, { cause: last });
  return new StatorError("ATTEMPTS_EXHAUSTED", { attempts: life.attempt, detail: last.message }, { cause: last });
}

function place({ life, effects }: Moment, delayMs: number): void {
  if (life.placing) return;
  life.placing = true;
  effects.push({ kind: "place", delayMs });
}

function backOff(moment: Moment): void {
  const { life } = moment;
  // The last look is at the limit. Whole milliseconds: each wait moves time on.
  place(moment, Math.min(life.backoff.nextMs(), Math.ceil(searchLeftMs(moment))));
}

function end(moment: Moment, choice: Choice, reason: ChoiceEnd["reason"], stopToken?: number): void {
  const { life, effects } = moment;
  choice.phase = "ended";
  leave(moment, choice);
  life.openChoices--;
  effects.push({ kind: "end", choice: choice.index, end: { reason, stopToken } });
  if (life.openChoices === 0) over(moment, "finished", undefined);
}

function fail(moment: Moment, error: StatorError): void {
  over(moment, "failed", error);
}

/** The request is over: what still runs is killed, and its record is written. */
function over(moment: Moment, outcome: "finished" | "cancelled" | "failed", error: StatorError | undefined): void {
  const { life, nowMs, effects } = moment;
  for (const choice of life.choices) {
    if (isOut(choice)) effects.push({ kind: "cancel", choice: choice.index, attempt: choice.attempt, mode: "kill" });
    choice.phase = "ended";
    leave(moment, choice);
  }
  life.done = true;
  if (error) effects.push({ kind: "error", error });
  effects.push({ kind: "done", record: recordOf(life, outcome, { nowMs, error }) });
}

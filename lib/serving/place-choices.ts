import type { Place } from "#lib/routing/router";
import { isKept } from "./legs.ts";
import type { Choice, Life } from "./life.ts";
import type { LifeEvent } from "./life-event.ts";
import { backOff, dropKept, fail, type Moment, place, searchLeftMs } from "./moment.ts";
import { exhausted } from "./retry.ts";

/** The router found places. */
export function placed(moment: Moment, { places }: Extract<LifeEvent, { kind: "placed" }>): void {
  const { life, nowMs, effects } = moment;
  life.placing = false;
  const waiting = places.map((place) => place.choices.map((index) => life.choices[index]).filter(isUnplaced));
  for (const { choices, ahead } of places) {
    for (const choice of choices) {
      // It has ended while the router made up its mind.
      if (isUnplaced(life.choices[choice])) continue;
      effects.push({ kind: "note", note: { kind: "ended", choice } });
      if (ahead) effects.push({ kind: "note", note: { ahead: true, kind: "ended", choice } });
    }
  }
  if (waiting.every(({ length }) => length === 0)) return;
  life.attempt++;
  const { searchingSinceMs } = life;
  life.waitedMs = life.backoff.waits === 0 || searchingSinceMs === undefined ? undefined : nowMs - searchingSinceMs;
  for (const [at, place] of places.entries()) for (const choice of waiting[at] ?? []) send(moment, choice, place);
  sendAhead(moment, places, waiting);
  // What failed while the router made up its mind was no part of what it was asked.
  if (life.choices.some(isUnplaced)) place(moment, 0);
}

function isUnplaced(choice: Choice | undefined): choice is Choice {
  return choice?.phase === "unplaced";
}

function send(moment: Moment, choice: Choice, place: Place): void {
  const { life, nowMs, effects } = moment;
  const { attempt } = life;
  const { leg = "whole", target, ahead } = place;
  if (leg === "prefill" || !isKept(choice.kept, nowMs)) dropKept(moment, choice);
  choice.phase = "sent";
  choice.attempt = attempt;
  choice.attemptFrom = choice.generated.count;
  choice.place = place;
  choice.leg = leg;
  choice.weights = place.weights;
  if (choice.kept && life.handedOff?.choice === choice.index) life.handedOff.sentMs = nowMs;
  effects.push({
    kind: "submit",
    target,
    choice: choice.index,
    attempt,
    prompt: choice.prompt,
    generated: choice.generated.all(),
    deadlineMs: leftMs(life, nowMs),
    leg,
    session: choice.kept?.session,
    room: leg === "prefill" && ahead ? { attempt, worker: target.worker } : undefined,
  });
}

/** The decode legs of what was sent for its prompt alone, where they begin at once. Frames of theirs are of an attempt of their own. */
function sendAhead({ life, nowMs, effects }: Moment, places: readonly Place[], sent: readonly Choice[][]): void {
  const prefill = life.attempt;
  for (const [at, { leg, ahead, target }] of places.entries()) {
    if (!ahead || leg !== "prefill") continue;
    for (const choice of sent[at] ?? []) {
      life.attempt = prefill + 1;
      const { attempt } = life;
      choice.ahead = { attempt, place: ahead, sentMs: nowMs, cachedTokens: undefined, held: [], finish: undefined };
      effects.push({
        kind: "submit",
        target: ahead.target,
        choice: choice.index,
        attempt,
        prompt: choice.prompt,
        generated: choice.generated.all(),
        deadlineMs: leftMs(life, nowMs),
        leg: "decode",
        session: undefined,
        room: { attempt: prefill, worker: target.worker },
      });
    }
  }
}

/** What the deadline leaves, in whole milliseconds, for a submit of now; at least 1. */
function leftMs({ request: { deadlineMs }, arrivedMs }: Life, nowMs: number): number | undefined {
  if (deadlineMs === undefined) return undefined;
  return Math.ceil(Math.max(1, deadlineMs - (nowMs - arrivedMs)));
}

/** The router found none. */
export function unplaced(moment: Moment, { error, final }: Extract<LifeEvent, { kind: "unplaced" }>): void {
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
  // What nobody keeps any more is computed again.
  for (const choice of life.choices) if (!isKept(choice.kept, moment.nowMs)) choice.kept = undefined;
  backOff(moment);
}

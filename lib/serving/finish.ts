import type { TransferReport } from "#gen/stator/worker/v1/link_pb";
import { assert, StatorError } from "#lib/base/errors";
import type { LinkFinish } from "#lib/link/link";
import { tellGrowth } from "./growth.ts";
import { type AheadLeg, noteOf } from "./legs.ts";
import type { Choice } from "./life.ts";
import { end, leave, type Moment, place } from "./moment.ts";
import { hasAll, retry } from "./retry.ts";

/** A worker took a choice. */
export function accepted(moment: Moment, choice: Choice, cachedTokens: number): void {
  const note = noteOf(choice, { kind: "accepted", choice: choice.index, cachedTokens });
  moment.effects.push({ kind: "note", note });
  begin(moment, choice, cachedTokens);
}

function begin({ life, effects }: Moment, choice: Choice, foundTokens: number): void {
  const { attempt, place, leg, index } = choice;
  assert(place, "a choice that is out has a place");
  const { worker } = place.target;
  choice.phase = "accepted";
  choice.cachedTokens ??= foundTokens;
  life.avoid.clear();
  life.searchingSinceMs = undefined;
  life.backoff.reset();
  // Choices with two legs go to the same workers at different times.
  const isListed = leg === "whole" ? life.workers.at(-1) === worker : life.workers.includes(worker);
  if (!isListed) life.workers.push(worker);
  if (choice.hasRun) life.migrations++;
  choice.hasRun = true;
  if (leg !== "prefill" && life.handedOff?.choice === index) life.handedOff.decodeWorker = worker;
  // Where an earlier attempt went is no news any more.
  if (life.toldAttempt >= attempt) return;
  life.toldAttempt = attempt;
  const { decision } = place;
  // What another worker computed is not found in a cache: the prompt's worker said what was.
  const cachedTokens = leg === "decode" ? choice.cachedTokens : foundTokens;
  effects.push({
    kind: "tell placed",
    placement: { worker, attempt, cachedTokens, decision, waitedMs: life.waitedMs, ...(leg !== "whole" && { leg }) },
  });
}

/** The terminal frame of the attempt that a choice is on. */
export function finished(moment: Moment, choice: Choice, finish: LinkFinish): void {
  const { life, effects } = moment;
  const counts = choice.phase === "accepted";
  if (finish.transfer) transferred(moment, choice, finish.transfer);
  if (finish.error) {
    retry(moment, choice, { error: finish.error, counts });
  } else if (finish.reason === "cancelled" || finish.reason === "failed") {
    // Nobody here asked for it: the worker gave the request back.
    retry(moment, choice, { error: new StatorError("STREAM_LOST", { detail: "the worker gave it back" }), counts });
  } else if (choice.leg === "prefill" && finish.session && !hasAll(life, choice)) {
    handOff(moment, choice, finish.session);
  } else {
    choice.told = finish;
    // A worker whose engine is asked first knows only now what was found; of an answer's later attempts nobody asks.
    if (choice.leg === "whole" && choice.attemptFrom === 0) {
      choice.cachedTokens = Math.max(choice.cachedTokens ?? 0, finish.cachedTokens);
    }
    if (endsAtOnce(choice, finish)) {
      effects.push({ kind: "note", note: noteOf(choice, { kind: "first token", choice: choice.index }) });
    }
    end(moment, choice, finish.reason, finish.stopToken);
  }
}

/** Its worker told how blocks came: that goes into the record, and to the router, which learns how long it takes. */
function transferred({ life, effects }: Moment, choice: Choice, report: TransferReport): void {
  const { index, isAhead } = choice;
  if (life.handedOff?.choice === index) life.handedOff.report = report;
  // Blocks that came as they were computed took as long as that.
  if (report.bytes === 0n || isAhead) return;
  const transfer = { bytes: Number(report.bytes), ms: report.durationUs / 1_000 };
  effects.push({ kind: "note", note: { kind: "transferred", choice: index, transfer } });
}

/** The first token of its attempt was the one that ended it: that came, and nobody is told of it but by the end. */
function endsAtOnce({ phase, generated, attemptFrom, pieces }: Choice, { reason }: LinkFinish): boolean {
  const isByToken = reason === "end" || reason === "stop_token";
  return isByToken && phase === "accepted" && generated.count === attemptFrom && pieces === 0;
}

/** The prompt is computed, and kept where it was: the answer goes on where the router says, or where it began to ahead of it. */
function handOff(moment: Moment, choice: Choice, session: NonNullable<LinkFinish["session"]>): void {
  const { life, nowMs } = moment;
  const { ahead, index } = choice;
  assert(choice.place, "a choice that is out has a place");
  const { worker } = choice.place.target;
  choice.kept = { session, worker, untilMs: session.leaseMs > 0 ? nowMs + session.leaseMs : Number.POSITIVE_INFINITY };
  // Another worker has to take it: that is no migration.
  choice.hasRun = false;
  if ((life.handedOff?.choice ?? index) === index) {
    const times = { computedMs: nowMs, sentMs: ahead?.sentMs ?? nowMs };
    life.handedOff = { choice: index, prefillWorker: worker, ...times, decodeWorker: undefined, report: undefined };
  }
  leave(moment, choice);
  if (ahead) {
    follow(moment, choice, ahead);
    return;
  }
  choice.phase = "unplaced";
  place(moment, 0);
}

/** From now on the leg that began ahead is the one that a choice is on: what it said meanwhile is told. */
function follow(moment: Moment, choice: Choice, ahead: AheadLeg): void {
  const { effects } = moment;
  choice.ahead = undefined;
  choice.attempt = ahead.attempt;
  choice.attemptFrom = choice.generated.count;
  choice.phase = "sent";
  choice.place = ahead.place;
  choice.leg = "decode";
  choice.isAhead = true;
  if (ahead.cachedTokens !== undefined) begin(moment, choice, ahead.cachedTokens);
  for (const { tokens, logprobs } of ahead.held) {
    const view = choice.generated.append(tokens, 0, tokens.length);
    tellGrowth(choice, view.length, (note) => effects.push({ kind: "note", note }));
    effects.push({ kind: "tokens", choice: choice.index, tokens: view, logprobs });
  }
  if (ahead.finish) finished(moment, choice, ahead.finish);
}

import { StatorError } from "#lib/base/errors";
import { isKept } from "./legs.ts";
import type { Choice, Life } from "./life.ts";
import { backOff, dropAhead, dropKept, end, fail, leave, type Moment, place, searchLeftMs } from "./moment.ts";

/** How an attempt failed. */
export interface Failure {
  /** What its worker, or the link to it, said. */
  readonly error: StatorError;
  /** It may have been executed, so that it says something about the request. */
  readonly counts: boolean;
  /** Its worker is gone. */
  readonly died?: boolean;
}

/** A choice failed where it was. The row of the error says whether and where it is tried again; ended choices stay ended. */
export function retry(moment: Moment, choice: Choice, failure: Failure): void {
  const { life } = moment;
  const { error, counts, died = false } = failure;
  const worker = choice.place?.target.worker;
  const wasAccepted = choice.phase === "accepted";
  choice.phase = "unplaced";
  leave(moment, choice);
  // A decode leg that began ahead of a prompt has nothing to go on from.
  dropAhead(moment, choice, "kill");
  if (!goesOnFromKept(moment, choice)) dropKept(moment, choice);
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
  if (died && worker !== undefined && life.request.target?.worker === worker) {
    fail(moment, error);
    return;
  }
  if (worker !== undefined) life.avoid.add(worker);
  // Where one is gone others may be, with links that are not known to be broken yet: a moment shows it.
  const atOnce = error.row.retry === "elsewhere" && (wasAccepted || !died);
  if (atOnce) place(moment, 0);
  else backOff(moment);
}

/** What is kept has the prompt and the first tokens: behind further ones another prefill is as good. */
function goesOnFromKept({ nowMs }: Moment, choice: Choice): boolean {
  return choice.generated.count === choice.attemptFrom && isKept(choice.kept, nowMs);
}

/** Ends a choice of which everything was delivered, so that only its terminal frame was lost. */
function endsHere(moment: Moment, choice: Choice): boolean {
  const isWhole = hasAll(moment.life, choice);
  if (isWhole) end(moment, choice, "length");
  else if (choice.embedded) end(moment, choice, "done");
  return isWhole || choice.embedded;
}

/** Whether it has as many tokens as it may have. */
export function hasAll({ request }: Life, { generated }: Choice): boolean {
  return request.kind === "generate" && generated.count >= request.stopping.maxTokens;
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
export function exhausted(life: Life, last: StatorError, choice?: Choice): StatorError {
  const { requestId } = life.request;
  const isPoison = choice && choice.deaths > 1 && choice.deaths >= life.limits.fruitless;
  if (isPoison) return new StatorError("POISONED", { request: requestId, workers: choice.deaths }, { cause: last });
  return new StatorError("ATTEMPTS_EXHAUSTED", { attempts: life.attempt, detail: last.message }, { cause: last });
}

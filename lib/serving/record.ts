import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import type { StatorError } from "#lib/base/errors";
import type { Choice, Life } from "./life.ts";
import type { ChoiceEnd } from "./request.ts";

/** The numbers of one choice, whatever way it ended: completion counts what was delivered, over all attempts. */
export function choiceEnd(choice: Choice, reason: ChoiceEnd["reason"], stopToken: number | undefined): ChoiceEnd {
  return {
    reason,
    stopToken,
    promptTokens: choice.prompt.length,
    cachedTokens: choice.cachedTokens ?? 0,
    completionTokens: choice.generated.count,
  };
}

/** The one record of a request. A prompt that several choices share counts once. */
export function recordOf(
  life: Life,
  outcome: "finished" | "cancelled" | "failed",
  about: { readonly nowMs: number; readonly error: StatorError | undefined },
): RequestRecord {
  const { request } = life;
  const perPrompt = life.choices.filter((choice) => choice.index % request.choicesPerPrompt === 0);
  const sum = (of: (choice: Choice) => number, choices = life.choices) =>
    choices.reduce((total, choice) => total + of(choice), 0);
  return {
    $typeName: "stator.frontend.v1.RequestRecord",
    requestId: request.requestId,
    route: request.route,
    model: request.model,
    workers: life.workers,
    promptTokens: sum((choice) => choice.prompt.length, perPrompt),
    cachedTokens: sum((choice) => choice.cachedTokens ?? 0, perPrompt),
    completionTokens: sum((choice) => choice.generated.count),
    outcome,
    reason: about.error?.reason ?? "",
    arrivedUnixMs: BigInt(Math.round(life.arrivedUnixMs)),
    firstTokenMs: life.firstTokenMs === undefined ? undefined : life.firstTokenMs - life.arrivedMs,
    totalMs: about.nowMs - life.arrivedMs,
    migrations: life.migrations,
  };
}

import type { HandOff, RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import type { StatorError } from "#lib/base/errors";
import { sumUsage, type Usage } from "./answer.ts";
import type { Choice, Life } from "./life.ts";

/** What a request used so far; completion counts what was delivered over all attempts, and is the answer. */
export function usageOf({ choices, request }: Life): Usage {
  const each = choices.map((choice) => {
    const { prompt, cachedTokens = 0 } = choice;
    if (typeof prompt === "string") return usageOfText(choice);
    return { promptTokens: prompt.length, cachedTokens, completionTokens: answerTokens(choice) };
  });
  return sumUsage(each, request.choicesPerPrompt);
}

/** Tokens of a choice's answer so far, over all attempts. */
export function answerTokens(choice: Choice): number {
  const { prompt, counted, generated } = choice;
  return typeof prompt === "string" ? usageOfText(choice).completionTokens : (counted ?? generated.count);
}

/** A worker of text counts tokens when it ends; until then, and where it was ended, a piece is the nearest to one. */
function usageOfText({ told, cachedTokens, counted, pieces }: Choice): Usage {
  return {
    promptTokens: told?.promptTokens ?? 0,
    cachedTokens: told?.cachedTokens ?? cachedTokens ?? 0,
    completionTokens: counted ?? told?.completionTokens ?? pieces,
  };
}

/** The one record of a request. A prompt that several choices share counts once. */
export function recordOf(
  life: Life,
  outcome: "finished" | "cancelled" | "failed",
  about: { readonly nowMs: number; readonly error: StatorError | undefined },
): RequestRecord {
  const { request } = life;
  return {
    $typeName: "stator.frontend.v1.RequestRecord",
    requestId: request.requestId,
    route: request.route,
    model: request.model,
    workers: life.workers,
    ...usageOf(life),
    outcome,
    reason: about.error?.reason ?? "",
    arrivedUnixMs: BigInt(Math.round(life.arrivedUnixMs)),
    firstTokenMs: life.firstTokenMs === undefined ? undefined : life.firstTokenMs - life.arrivedMs,
    totalMs: about.nowMs - life.arrivedMs,
    migrations: life.migrations,
    handOff: recordHandOff(life),
  };
}

/** What is written of the two legs; undefined where there were none. */
function recordHandOff({ handedOff, arrivedMs }: Life): HandOff | undefined {
  if (!handedOff) return undefined;
  const { prefillWorker, decodeWorker, computedMs, sentMs, report } = handedOff;
  const pulledMs = report && (report.queueUs + report.durationUs) / 1_000;
  return {
    $typeName: "stator.frontend.v1.HandOff",
    prefillWorker,
    decodeWorker: decodeWorker ?? 0n,
    prefillMs: computedMs - arrivedMs,
    // A leg that began before the prompt was computed had its blocks as soon as they were there.
    transferMs: pulledMs === undefined ? undefined : Math.max(0, sentMs + pulledMs - computedMs),
    rung: report?.rung ?? "",
    blocks: report?.blocks ?? 0,
    bytes: report?.bytes ?? 0n,
    reason: report?.reason ?? "",
  };
}

import type { HandOff, RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import type { Log } from "#lib/host/log";

/** Writes the one line of a request that ran: what it was, where, how much and how it ended. Never its text. */
export function logRequest(log: Log, record: RequestRecord): void {
  if (!log.enabled("info")) return;
  const { requestId, route, model, workers, migrations, outcome, reason, firstTokenMs, totalMs, handOff } = record;
  log.info("request ended", {
    request: requestId,
    route,
    model,
    worker: handOff?.decodeWorker || workers.at(-1),
    ...(handOff && printHandOff(handOff)),
    ...(migrations > 0 && { migrations }),
    promptTokens: record.promptTokens,
    cachedTokens: record.cachedTokens,
    tokens: record.completionTokens,
    ...(firstTokenMs !== undefined && { firstTokenMs: Math.round(firstTokenMs) }),
    ms: Math.round(totalMs),
    outcome,
    ...(reason !== "" && { reason }),
  });
}

/** Who computed its prompt, and how that came to whoever answered. */
function printHandOff({ prefillWorker, transferMs, rung, blocks, reason }: HandOff) {
  return {
    prefillWorker,
    ...(transferMs !== undefined && { transferMs: Math.round(transferMs), blocks }),
    ...(rung !== "" && { rung }),
    ...(reason !== "" && { recomputed: reason }),
  };
}

import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import type { Log } from "#lib/host/log";

/** Writes the one line of a request that ran: what it was, where, how much and how it ended. Never its text. */
export function logRequest(log: Log, record: RequestRecord): void {
  if (!log.enabled("info")) return;
  const { requestId, route, model, workers, migrations, outcome, reason, firstTokenMs, totalMs } = record;
  log.info("request ended", {
    request: requestId,
    route,
    model,
    worker: workers.at(-1),
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

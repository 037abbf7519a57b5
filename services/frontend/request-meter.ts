import type { Clock } from "#lib/base/clock";
import type { StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import type { Counts, Outcome } from "./counts.ts";
import type { Reply } from "./doors/reply.ts";

/** A request as it is noted, whatever carried it. */
export interface MeteredRequest extends Pick<Reply<never>, "requestId" | "route" | "arrivedMs" | "firstTokenMs"> {
  /** How it ended. */
  readonly outcome: Outcome;
  /** What its caller was told in place of an answer, or at its end. */
  readonly error: StatorError | undefined;
  /** Of its body, as far as it was taken. */
  readonly bytesIn: number;
  /** Of its answer. */
  readonly bytesOut: number;
}

/** Notes what became of requests, the same for all ports. */
export class RequestMeter {
  readonly #to: { readonly clock: Clock; readonly log: Log; readonly metrics: Metrics; readonly counts: Counts };

  /** Borrows all of it. */
  constructor(to: { readonly clock: Clock; readonly log: Log; readonly metrics: Metrics; readonly counts: Counts }) {
    this.#to = to;
  }

  /** A request is over. */
  ended({ route, outcome, error, arrivedMs, firstTokenMs, bytesIn, bytesOut }: MeteredRequest): void {
    const { clock, metrics, counts } = this.#to;
    counts.request(route, outcome);
    counts.bytes(route, bytesIn, bytesOut);
    if (error) metrics.add("stator_frontend_errors_total", 1, { route, reason: error.reason });
    const seconds = (toMs: number) => (toMs - arrivedMs) / 1000;
    metrics.observe("stator_frontend_request_duration_seconds", seconds(clock.nowMs()), { route });
    if (firstTokenMs === undefined) return;
    metrics.observe("stator_frontend_first_token_seconds", seconds(firstTokenMs), { route });
  }

  /** The line of a request that did not run, at this level; a bug of ours is an error. */
  refused(
    { requestId, route, arrivedMs }: Pick<MeteredRequest, "requestId" | "route" | "arrivedMs">,
    error: StatorError,
    level: "info" | "debug",
  ): void {
    const { clock, log } = this.#to;
    const { reason, row } = error;
    if (reason === "INTERNAL") {
      log.error("request failed", { requestId, route, error });
      return;
    }
    const ms = Math.round(clock.nowMs() - arrivedMs);
    log[level]("request refused", { request: requestId, route, ms, outcome: "refused", reason, status: row.http });
  }
}

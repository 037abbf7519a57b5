import type { CallerRequest, CallerState } from "./caller-state.ts";

/** Why a link is under suspicion, and for how long nothing was seen. */
export interface Suspicion {
  /** Since the oldest thing that was expected and did not come. */
  readonly stalledMs: number;
  /** What did not come. */
  readonly why: "no pong" | "no progress" | "not accepted";
}

/** How long a request may wait to be accepted, or make no progress: the larger of the floor and some median steps. */
export function stallBoundMs(state: CallerState): number {
  const count = Math.min(state.durationCount, state.durationsUs.length);
  if (count === 0) return state.limits.stallFloorMs;
  const sorted = state.durationsUs.slice(0, count).sort();
  const medianMs = (sorted[count >> 1] as number) / 1000;
  return Math.max(state.limits.stallFloorMs, state.limits.stallSteps * medianMs);
}

/**
 * The rule: no Pong for 2 s, a request that is not accepted, or no progress on one that is. A request that has no output
 * yet, or that may be set aside while others wait, moves when the engine moves; one that is decoding moves when it gets
 * output. Accepting is the event loop's work, as the Pong is, and waits for no engine.
 */
export function suspicion(state: CallerState, nowMs: number): Suspicion | undefined {
  const oldest = state.unanswered[0];
  if (oldest && nowMs - oldest.sentMs >= state.limits.pongTimeoutMs) {
    return { stalledMs: nowMs - oldest.sentMs, why: "no pong" };
  }
  let stalest = nowMs;
  let why: Suspicion["why"] = "no progress";
  for (const request of state.requests.values()) {
    const movedMs = lastMovedMs(state, request);
    if (movedMs >= stalest) continue;
    stalest = movedMs;
    why = request.phase === "sent" ? "not accepted" : "no progress";
  }
  if (nowMs - stalest < state.limits.stallFloorMs) return undefined;
  return nowMs - stalest >= stallBoundMs(state) ? { stalledMs: nowMs - stalest, why } : undefined;
}

/** When a request last moved; never too long ago for one that nothing is expected of. */
function lastMovedMs(state: CallerState, request: CallerRequest): number {
  if (request.phase === "sent") return request.progressMs;
  if (request.phase !== "accepted") return Number.POSITIVE_INFINITY;
  return movesWithEngine(state, request) ? Math.max(request.progressMs, state.workedMs) : request.progressMs;
}

function movesWithEngine(state: CallerState, request: CallerRequest): boolean {
  return request.outputs === 0 || state.waitingRequests > 0;
}

/**
 * A tick that comes late says that this process stood still, not the worker: what the worker sent meanwhile is not read
 * yet. The time lost is given to everything that is being watched.
 */
export function forgiveOwnPause(state: CallerState, nowMs: number): void {
  const lateMs = nowMs - state.tickMs - state.limits.tickEveryMs;
  state.tickMs = nowMs;
  if (lateMs < state.limits.tickEveryMs) return;
  for (const ping of state.unanswered) ping.sentMs += lateMs;
  for (const request of state.requests.values()) request.progressMs += lateMs;
  state.workedMs += lateMs;
}

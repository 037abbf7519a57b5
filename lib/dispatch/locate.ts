import { printId } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { ModelView } from "#lib/discovery/model-view";
import { type NamedModel, noWorkers } from "#lib/discovery/models";
import { readWorkerRole, takesPromptsAlone, takesWholeRequests, type WorkerRole } from "#lib/discovery/worker-role";
import type { Locate, Unplaced } from "#lib/routing/locate";
import type { Leg, RouteAsk } from "#lib/routing/router";
import type { Seat } from "./seat.ts";

/** What finding workers depends on. */
export interface LocateOptions {
  /** Who serves which names. */
  readonly view: ModelView;
  /** Our end of a worker; undefined when there is none. */
  readonly seat: (worker: bigint) => Seat | undefined;
  /** Tells how long ago a worker took requests. */
  readonly clock: Clock;
  /** Whether a new request may wait for a worker at all; asked only when one is expected. */
  readonly mayWait: () => boolean;
  /** Nothing new is taken. */
  readonly isDraining: () => boolean;
}

/** A worker that took requests, or said that it would, so short a time ago is waited for. */
const SOON_BACK_MS = 10_000;

/** Finds the workers that can be reached and serve an ask's model with its tokenizer and weights, but those that it avoids. */
export function createLocate(options: LocateOptions): Locate {
  return (ask, leg = "whole") => {
    if (ask.isNew && options.isDraining()) {
      return { kind: "unplaced", error: new StatorError("DRAINING", { what: "This frontend" }), final: true };
    }
    try {
      return locate(ask, leg, options);
    } catch (error) {
      if (!(error instanceof StatorError)) throw error;
      return ask.isNew ? atFirst(ask, leg, { error, options }) : later(ask, error);
    }
  };
}

/** Throws why there is none. */
function locate(ask: RouteAsk, leg: Leg, { view, seat }: LocateOptions): ReadonlyMap<bigint, string> {
  const { model, weights, avoid } = ask;
  const pinned = ask.target?.worker;
  const isPrefill = leg === "prefill";
  const kind = isPrefill ? "prefill" : ask.kind;
  const { ready, tokenizer, missing } = readyFor(view, model, isPrefill);
  // Another model came under the name: to it these token ids would mean something else.
  if (ask.tokenizer !== tokenizer) throw noWorkers(model);
  if (pinned !== undefined && !ready.has(pinned)) {
    throw new StatorError("WORKER_NOT_FOUND", { worker: printId(pinned), model }, { param: "stator.worker" });
  }
  const able = new Map<bigint, string>();
  for (const [worker, own] of ready) {
    const isMeant = (pinned ?? worker) === worker && (weights ?? own) === own;
    if (!isMeant || avoid.has(worker)) continue;
    const found = seat(worker);
    if (found?.phase === "ready" && found.carries(kind)) able.set(worker, own);
  }
  if (able.size === 0) throw noWorkers(model, missing);
  return able;
}

/** Those that take the leg, and the role that is missing where none of them can. Throws that the model is away. */
function readyFor(
  view: ModelView,
  model: string,
  isPrefill: boolean,
): Pick<NamedModel, "ready" | "tokenizer"> & { readonly missing: WorkerRole | undefined } {
  if (isPrefill) {
    const { prefill, tokenizer } = view.known(model);
    return { ready: prefill, tokenizer, missing: "prefill" };
  }
  const { ready, tokenizer, prefill } = view.ready(model);
  return { ready, tokenizer, missing: prefill.size > 0 ? "decode" : undefined };
}

/** A new request waits where a worker that it could run on loads, or was here a moment ago, and few wait already. */
function atFirst(
  ask: RouteAsk,
  leg: Leg,
  about: { readonly error: StatorError; readonly options: LocateOptions },
): Unplaced {
  const { error, options } = about;
  const named = options.view.models.names.get(ask.model);
  const waits = named !== undefined && isExpected(ask, named, { ...about, leg }) && options.mayWait();
  return { kind: "unplaced", error, final: !waits };
}

function isExpected(
  ask: RouteAsk,
  named: NamedModel,
  about: { readonly leg: Leg; readonly error: StatorError; readonly options: LocateOptions },
): boolean {
  const { options, leg } = about;
  const { reason } = about.error;
  if (reason !== "NO_WORKERS" && reason !== "MODEL_LOADING") return false;
  // The model came under the name anew while the prompt was encoded: the one that was meant is not waited for.
  if (named.facts && named.tokenizer !== ask.tokenizer) return false;
  const sinceMs = options.clock.nowMs() - SOON_BACK_MS;
  const isSoonBack = (worker: bigint) =>
    reason === "MODEL_LOADING" || (options.seat(worker)?.expectedMs ?? Number.NEGATIVE_INFINITY) > sinceMs;
  const takes = leg === "prefill" ? takesPromptsAlone : takesWholeRequests;
  return [...named.workers].some(
    ([worker, record]) =>
      (ask.target?.worker ?? worker) === worker && takes(readWorkerRole(record)) && isSoonBack(worker),
  );
}

/** What it named was good when it started. A model that has left discovery since may register again. */
function later({ model }: RouteAsk, error: StatorError): Unplaced {
  if (error.reason === "MODEL_NOT_FOUND") return { kind: "unplaced", error: noWorkers(model), final: false };
  if (error.reason !== "WORKER_NOT_FOUND") return { kind: "unplaced", error, final: false };
  const detail = "the worker that the request names has left";
  return { kind: "unplaced", error: new StatorError("STREAM_LOST", { detail }), final: false };
}

import { CancelMode } from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { CallerLink, RequestListener } from "#lib/link/link";
import { plainAsk } from "#lib/serving/plain-ask";
import { submitTemplate } from "./submit.ts";

/** A worker that does not answer one token in this time has not come back. */
const CANARY_TIMEOUT_MS = 5_000;

/**
 * Asks a worker for one token. Calls `done` once: undefined when it answered, with tokens or with a refusal of the
 * request itself, which both prove that it is alive; the error when its engine failed, or nothing came.
 */
export function sendCanary(
  link: CallerLink,
  options: { readonly model: string; readonly clock: Clock },
  done: (error: StatorError | undefined) => void,
): void {
  let handle = 0;
  let over = false;
  const finish = (error: StatorError | undefined) => {
    if (over) return;
    over = true;
    timer.cancel();
    done(error);
  };
  const timer = options.clock.after(CANARY_TIMEOUT_MS, () => {
    link.abandon(handle);
    finish(new StatorError("WORKER_STALLED", { stalledMs: CANARY_TIMEOUT_MS }));
  });
  const listener: RequestListener = {
    onAccepted() {},
    onTokens: () => link.cancel(handle, CancelMode.STOP),
    onText() {},
    onEmbedding() {},
    onFinish: ({ error }) => finish(error?.reason === "ENGINE_FAILED" ? error : undefined),
    onLost: (error) => finish(error),
  };
  const request = plainAsk({ requestId: "canary", route: "canary", model: options.model, maxTokens: 1 });
  try {
    const template = submitTemplate(request, options.model);
    handle = link.submit({ ...template, promptTokenIds: writeU32([1]) }, listener);
  } catch (error) {
    finish(asStatorError(error));
  }
}

import { parseId } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { SESSION_LENGTH } from "#lib/base/taint";
import type { RouteWishes } from "#lib/routing/router";
import type { Ask } from "#lib/serving/ask";

/** The worker that a header or metadata pins, or what else is called `field`. Throws INVALID_FIELD. */
export function readTarget(id: string | undefined, field = "The header x-stator-worker"): Ask["target"] {
  if (id === undefined) return undefined;
  const worker = parseId(id);
  if (worker !== undefined) return { worker, rank: undefined };
  throw new StatorError("INVALID_FIELD", { field, detail: "is not an instance id" });
}

/** The session that a header or metadata names, or what else is called `field`, in the place of one that was asked for. Throws INVALID_FIELD. */
export function readSession(
  session: string | undefined,
  wishes: RouteWishes,
  field = "The header x-stator-session",
): RouteWishes {
  if (session === undefined || session === "") return wishes;
  if (session.length <= SESSION_LENGTH) return { ...wishes, session };
  const detail = `has ${session.length} characters, and at most ${SESSION_LENGTH} are taken`;
  throw new StatorError("INVALID_FIELD", { field, detail });
}

/** The trace that a header or metadata goes on: what is no trace context begins one. */
export function readTrace(text: string | undefined): string | undefined {
  return text && /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(text) ? text : undefined;
}

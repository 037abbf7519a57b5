import { RequestKind, type Submit } from "#gen/stator/worker/v1/link_pb";
import { StatorError } from "#lib/base/errors";

/** Optional features that are the link's own: Hello names those that the caller can use, Welcome those of them that the worker has. */
export const LINK_FEATURES = {
  /** Everything of a request that can be long goes on in parts, and not its prompt alone. */
  parts: "parts",
  /** Guidance travels as it was asked: the worker takes every form, and its engine says by name which it cannot hold. With `parts`. */
  guidance: "guidance",
} as const;

/** Those of the ways in which an answer is computed in parts: a worker has them where the blocks of its engine can move. */
export const HAND_OFF_FEATURES = {
  /** Requests for a prompt alone. */
  prefill: "prefill",
  /** Requests that go on from a session. */
  session: "session",
  /** Requests of both kinds that meet in a room. */
  room: "room",
} as const;

/** Kinds and fields of a request that an engine may have, by the names of their features. */
const ENGINE_FEATURES: Readonly<Record<string, (submit: Submit) => boolean>> = {
  prefill: ({ kind }) => kind === RequestKind.PREFILL,
  encode: ({ kind }) => kind === RequestKind.ENCODE,
  score: ({ kind }) => kind === RequestKind.SCORE,
  session: ({ session }) => session !== undefined,
  room: ({ room }) => room !== undefined,
  media: ({ media }) => media.length > 0,
  engine_extras: ({ engineExtras }) => engineExtras.length > 0,
};

/** Refuses a request by the name of the first feature that it needs and the worker does not have. Throws UNSUPPORTED_FEATURE. */
export function checkFeatures(submit: Submit, has: readonly string[]): void {
  for (const feature in ENGINE_FEATURES) {
    if (!ENGINE_FEATURES[feature]?.(submit) || has.includes(feature)) continue;
    throw new StatorError("UNSUPPORTED_FEATURE", { feature, detail: "the engine of this worker does not have it" });
  }
}

import { StatorError } from "#lib/base/errors";

/**
 * Whether a request was lost because its worker is gone, as far as a caller can tell: the stream broke without a word of the
 * worker. One that drains, or ends a link for a reason, says so.
 */
export function isDeath(lost: StatorError): boolean {
  return lost.cause instanceof StatorError && lost.cause.reason === "UNAVAILABLE";
}

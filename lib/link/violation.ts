import { StatorError } from "#lib/base/errors";

/** The error that ends a link whose peer broke the protocol. */
export function violation(detail: string): StatorError {
  return new StatorError("CONTRACT_MISMATCH", { what: "The worker link", detail });
}

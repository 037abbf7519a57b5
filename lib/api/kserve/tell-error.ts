import { StatorError } from "#lib/base/errors";
import { errorText } from "./error-text.ts";

/** The same error with the sentence that clients of the protocol know, for a status. */
export function tellError(error: StatorError): StatorError {
  const text = errorText(error);
  if (text === error.message) return error;
  const { reason, facts, param, retryAfterMs, cause } = error;
  const told = new StatorError(reason, facts, { cause, ...(param !== undefined && { param }), ...{ retryAfterMs } });
  told.message = text;
  return told;
}

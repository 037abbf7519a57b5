import type { StatorError } from "#lib/base/errors";

/** The only form in which an error leaves the HTTP port: OpenAI's nested one. `status` is for the response line. */
export function printErrorBody(error: StatorError): string {
  const { type, code } = error.row;
  return JSON.stringify({ error: { message: error.message, type, param: error.param ?? null, code } });
}

/** Headers that tell OpenAI's clients whether and when to try again. */
export function retryHeaders(error: StatorError): Record<string, string> {
  const { retry, http } = error.row;
  // Its clients repeat 408, 409, 429 and every 5xx by themselves.
  const repeated = http === 408 || http === 409 || http === 429 || http >= 500;
  if (retry === "never") return repeated ? { "x-should-retry": "false" } : {};
  const waitMs = error.retryAfterMs ?? 1000;
  return { "retry-after": String(Math.ceil(waitMs / 1000)), "retry-after-ms": String(waitMs) };
}

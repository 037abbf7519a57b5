import type { StatorError } from "#lib/base/errors";

/** What clients of the protocol read: their own examples look for the words of a model that is not there. */
export function errorText({ reason, message, facts }: StatorError): string {
  if (reason !== "MODEL_NOT_FOUND") return message;
  return `Request for unknown model: '${facts.model}' is not found.${facts.hint ?? ""}`;
}

/** The same on a stream of several requests, whose clients are told no id beside it. */
export function streamErrorText(error: StatorError, id: string): string {
  const text = errorText(error);
  return id === "" ? text : `[request id: ${id}] ${text}`;
}

import { errorText } from "#lib/api/kserve/error-text";
import { retryHeaders } from "#lib/api/openai/error-body";
import type { StatorError } from "#lib/base/errors";
import type { PrintError } from "../reply.ts";

/** The body of an error in the form of this protocol over HTTP: one sentence. */
export function printErrorSentence(error: StatorError): string {
  return JSON.stringify({ error: errorText(error) });
}

/** Errors of the routes below /v2. */
export const printKserveError: PrintError = (error) => {
  return { status: error.row.http, headers: retryHeaders(error), body: printErrorSentence(error) };
};

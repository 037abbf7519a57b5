import { retryHeaders } from "#lib/api/openai/error-body";
import type { StatorError } from "#lib/base/errors";
import type { PrintError } from "../reply.ts";

/** The body of an error of OpenAI's API as KServe's runtimes write it: the status is a text, and no field is told. */
export function printHostedBody({ message, row: { type, http } }: StatorError): string {
  return JSON.stringify({ error: { message, type, param: "", code: String(http) } });
}

/** Errors of the routes below /openai. */
export const printHostedError: PrintError = (error) => {
  return { status: error.row.http, headers: retryHeaders(error), body: printHostedBody(error) };
};

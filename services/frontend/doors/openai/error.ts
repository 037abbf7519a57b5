import { printErrorBody, retryHeaders } from "#lib/api/openai/error-body";
import type { PrintError } from "../reply.ts";

/** Errors in the form of OpenAI's API, which is that of the whole port where a door has no other. */
export const printOpenAiError: PrintError = (error) => {
  return { status: error.row.http, headers: retryHeaders(error), body: printErrorBody(error) };
};

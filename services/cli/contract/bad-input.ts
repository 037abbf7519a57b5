import { StatorError } from "#lib/base/errors";

/** What is wrong with what was asked for, as a sentence without its full stop. */
export function badInput(detail: string, cause?: unknown): StatorError {
  return new StatorError("BAD_CONFIG", { detail: `${detail}.` }, { cause });
}

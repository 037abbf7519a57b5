import { asStatorError, StatorError } from "#lib/base/errors";
import { nativeErrorCode } from "#lib/native/addon";
import { badModelFile } from "#lib/text/gguf";

/** The addon's message as part of a sentence: without its full stop. */
function phrase(caught: unknown): string {
  const message = caught instanceof Error ? caught.message : String(caught);
  return message.replace(/\.$/, "").replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase());
}

/** What the library has against a file, out of the lines of its log. */
function refusal(detail: string): string {
  return /error loading model: ([^;]+)/.exec(detail)?.[1]?.trim() ?? detail;
}

/** The single converter from what the addon throws or rejects with. `path` is the file that the call was about. */
export function fromNativeError(caught: unknown, path: string): StatorError {
  const code = nativeErrorCode(caught);
  const detail = phrase(caught);
  switch (code) {
    case undefined:
      return asStatorError(caught);
    case "FILE_MISSING":
      return new StatorError("FILE_NOT_FOUND", { path, hint: "Give the path of a GGUF file." }, { cause: caught });
    case "FILE_CORRUPT":
      return badModelFile(path, refusal(detail), { cause: caught });
    case "OUT_OF_MEMORY":
      return badModelFile(path, detail, { hint: "Choose a smaller model or context.", cause: caught });
    case "LIBRARY_MISSING":
    case "LIBRARY_MISMATCH":
    case "LIBRARY_CANARY":
      return new StatorError("NATIVE_UNAVAILABLE", { detail, hint: "Run `npm ci`." }, { cause: caught });
    case "INVALID_ARGUMENT":
      return new StatorError("INVALID_ARGUMENT", { detail }, { cause: caught });
    case "UNSUPPORTED":
      return new StatorError("UNSUPPORTED_FEATURE", { feature: "This of the model", detail }, { cause: caught });
    case "CLOSED":
    case "ABORTED":
    case "NO_SPACE":
    case "INTERNAL":
      return new StatorError("ENGINE_FAILED", { detail }, { cause: caught });
  }
}

import { expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { errorText, streamErrorText } from "./error-text.ts";

it("says of a model that is not there what clients look for, and of everything else what it is", () => {
  const absent = new StatorError("MODEL_NOT_FOUND", { model: "m", hint: " Did you mean n?" });
  expect(errorText(absent)).toBe("Request for unknown model: 'm' is not found. Did you mean n?");
  expect(errorText(new StatorError("MODEL_NOT_FOUND", { model: "m" }))).toBe(
    "Request for unknown model: 'm' is not found.",
  );
  expect(errorText(new StatorError("NO_WORKERS", { model: "m" }))).toMatch(/^No worker can take/);
});

it("names the request on a stream, where it has a name", () => {
  const error = new StatorError("INVALID_ARGUMENT", { detail: "It is wrong" });
  expect([streamErrorText(error, "r1"), streamErrorText(error, "")]).toEqual([
    "[request id: r1] It is wrong.",
    "It is wrong.",
  ]);
});

import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { isDeath } from "./death.ts";

const lostBy = (cause: unknown) => isDeath(new StatorError("STREAM_LOST", { detail: "test" }, { cause }));

test("a worker died when its stream broke without a word of it, and not when it said why, or ended in order", () => {
  expect(lostBy(new StatorError("UNAVAILABLE", { what: "The worker", detail: "reset" }))).toBe(true);
  expect(lostBy(new StatorError("DRAINING", { what: "The worker" }))).toBe(false);
  expect(lostBy(new Error("UNAVAILABLE"))).toBe(false);
  expect(lostBy({ reason: "UNAVAILABLE" })).toBe(false);
  expect(lostBy(undefined)).toBe(false);
});

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { StatusSchema } from "#gen/google/rpc/status_pb";
import { Blame, ErrorDetailSchema, Retry } from "#gen/stator/common/v1/common_pb";
import { REASONS, type Reason, StatorError } from "#lib/base/errors";
import { asPeerSaid, errorDetail, fromErrorDetail, fromStatus, RemoteError, statusOf } from "./error-detail.ts";

const at = { details: "said so", trailer: undefined, target: "10.0.0.1:9", method: "/a.B/C" };

describe("a detail", () => {
  test.each(Object.keys(REASONS) as Reason[])("%s survives the wire", (reason) => {
    const facts = { detail: "x", model: "m", limit: 3, absent: undefined };
    const sent = new StatorError(reason, facts, { param: "p", retryAfterMs: 20, cause: new Error("kept") });
    const bytes = toBinary(ErrorDetailSchema, errorDetail(sent));
    const got = fromErrorDetail(fromBinary(ErrorDetailSchema, bytes));
    expect(got).not.toBeInstanceOf(RemoteError);
    expect(got).toMatchObject({ reason, message: sent.message, param: "p", retryAfterMs: 20, row: sent.row });
    expect(got.facts).toEqual({ detail: "x", model: "m", limit: "3" });
    expect(got.cause).toBeUndefined();
  });

  test("of a newer process keeps its consequences, also when it is sent on", () => {
    const detail = create(ErrorDetailSchema, {
      reason: "TELEPORT_FAILED",
      grpcCode: 14,
      httpStatus: 507,
      retry: Retry.ELSEWHERE,
      blame: Blame.DEPENDENCY,
      message: "The teleporter is cold.",
      facts: { degrees: "3" },
      retryAfterMs: 9,
    });
    const first = fromErrorDetail(detail);
    expect(first).toBeInstanceOf(RemoteError);
    expect(first.message).toBe("The teleporter is cold.");
    expect(first.row).toMatchObject({ grpc: 14, http: 507, retry: "elsewhere", blame: "dependency" });
    const second = errorDetail(first);
    expect(second).toMatchObject({
      reason: "TELEPORT_FAILED",
      httpStatus: 507,
      retry: Retry.ELSEWHERE,
      retryAfterMs: 9,
    });
  });

  test("with nonsense in it is still an error one can answer with", () => {
    const error = fromErrorDetail(create(ErrorDetailSchema, { reason: "toString", grpcCode: 99, httpStatus: 7 }));
    expect(error.row).toMatchObject({ grpc: 13, http: 500, retry: "never" });
  });

  test("is cut to a length that fits into a header", () => {
    const detail = errorDetail(new StatorError("INTERNAL", { detail: "x".repeat(100_000) }));
    expect(toBinary(ErrorDetailSchema, detail).byteLength).toBeLessThan(8_000);
  });
});

describe("a status", () => {
  test("carries the detail in its trailer", () => {
    const { code, details, trailer } = statusOf(new StatorError("NO_WORKERS", { model: "m" }));
    expect([code, details]).toEqual([14, "No worker can take a request for m now."]);
    expect(fromStatus({ ...at, code, details, trailer })).toMatchObject({
      reason: "NO_WORKERS",
      facts: { model: "m" },
    });
  });

  test("of a stranger becomes the nearest reason", () => {
    const reasons = Array.from({ length: 18 }, (_, code) => fromStatus({ ...at, code }).reason);
    expect(reasons).toEqual([
      "INTERNAL",
      "UNAVAILABLE",
      "INTERNAL",
      "INVALID_ARGUMENT",
      "DEADLINE",
      "NOT_FOUND",
      "ALREADY_EXISTS",
      "ACCESS_DENIED",
      "OVERLOADED",
      "CONTRACT_MISMATCH",
      "UNAVAILABLE",
      "INVALID_ARGUMENT",
      "UNSUPPORTED_FEATURE",
      "INTERNAL",
      "UNAVAILABLE",
      "CORRUPT",
      "ACCESS_DENIED",
      "INTERNAL",
    ]);
    expect(fromStatus({ ...at, code: 14, details: "No route." }).message).toBe(
      "10.0.0.1:9 cannot be reached: No route.",
    );
  });

  test("with a broken or foreign trailer falls back to its code", () => {
    expect(fromStatus({ ...at, code: 5, trailer: Buffer.from([255, 255]) }).reason).toBe("NOT_FOUND");
    const empty = toBinary(StatusSchema, create(StatusSchema, { code: 5 }));
    expect(fromStatus({ ...at, code: 5, trailer: empty }).reason).toBe("NOT_FOUND");
  });

  test("of a stranger goes on in its own words where it said it, and in none where our side found it gone", () => {
    const said = { ...at, code: 9, details: "Request for unknown model: 'x' is not found" };
    const passed = asPeerSaid(fromStatus({ ...said, heard: true }));
    expect(passed && statusOf(passed)).toMatchObject({ code: 9, details: said.details });
    expect(passed?.row).toMatchObject({ grpc: 9, http: 503, retry: "never" });
    const again = passed && statusOf(passed);
    expect(again && fromStatus({ ...at, ...again })).toMatchObject({ message: said.details, row: { grpc: 9 } });
    expect(asPeerSaid(fromStatus(said))).toBeUndefined();
    const ours = new StatorError("NO_WORKERS", { model: "m" });
    expect(asPeerSaid(ours)).toBe(ours);
    const sent = fromStatus({ ...at, ...statusOf(ours) });
    expect(asPeerSaid(sent)).toBe(sent);
  });
});

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { StatusSchema } from "#gen/google/rpc/status_pb";
import { Blame, type ErrorDetail, ErrorDetailSchema, Retry } from "#gen/stator/common/v1/common_pb";
import { type Facts, REASONS, type Reason, StatorError } from "#lib/base/errors";

/** The trailer that carries a google.rpc.Status, in every gRPC library. */
export const STATUS_TRAILER = "grpc-status-details-bin";

/** The reason of an error in a stranger's words. It is none of our table: whoever hears it keeps the words. */
const FOREIGN = "FOREIGN";

/** A longer message or fact is cut: trailers travel in a header frame. */
const TEXT_LIMIT = 2_048;
/** The fact that carries `param` of the error. */
const PARAM_FACT = "param";

const RETRIES = { never: Retry.NEVER, backoff: Retry.BACKOFF, elsewhere: Retry.ELSEWHERE } as const;
const BLAMES = { caller: Blame.CALLER, server: Blame.SERVER, dependency: Blame.DEPENDENCY } as const;

/**
 * An error whose reason is not in our table: it came from a newer process. It acts by the consequences that came with it;
 * its own `reason` is the nearest of ours.
 */
export class RemoteError extends StatorError {
  /** The reason in the sender's word. */
  readonly remoteReason: string;
  readonly #row: StatorError["row"];

  constructor(reason: Reason, detail: ErrorDetail) {
    super(reason, { ...detail.facts, detail: detail.message }, { retryAfterMs: detail.retryAfterMs });
    this.message = detail.message;
    this.remoteReason = detail.reason;
    this.#row = {
      ...REASONS[reason],
      code: detail.reason.toLowerCase(),
      grpc: inRange(detail.grpcCode, 1, 16) ?? REASONS[reason].grpc,
      http: inRange(detail.httpStatus, 400, 599) ?? REASONS[reason].http,
      retry: nameOf(RETRIES, detail.retry) ?? "never",
      blame: nameOf(BLAMES, detail.blame) ?? REASONS[reason].blame,
    };
  }

  override get row(): StatorError["row"] {
    return this.#row;
  }
}

/** An error as it travels. `cause` stays here. */
export function errorDetail(error: StatorError): ErrorDetail {
  const { row } = error;
  const facts: Record<string, string> = {};
  for (const [name, value] of Object.entries(error.facts)) if (value !== undefined) facts[name] = cut(String(value));
  if (error.param !== undefined) facts[PARAM_FACT] = error.param;
  return create(ErrorDetailSchema, {
    reason: error instanceof RemoteError ? error.remoteReason : error.reason,
    grpcCode: row.grpc,
    httpStatus: row.http,
    retry: RETRIES[row.retry],
    blame: BLAMES[row.blame],
    message: cut(error.message),
    facts,
    retryAfterMs: error.retryAfterMs,
  });
}

/** The error that a detail tells of; a reason that we do not know keeps its consequences as a RemoteError. */
export function fromErrorDetail(detail: ErrorDetail): StatorError {
  if (!Object.hasOwn(REASONS, detail.reason)) return new RemoteError(nearest(detail.grpcCode), detail);
  const { [PARAM_FACT]: param, ...facts } = detail.facts;
  return new StatorError(detail.reason as Reason, facts, { param, retryAfterMs: detail.retryAfterMs });
}

/** An error as a gRPC status: code, sentence and the bytes of the status trailer. */
export function statusOf(error: StatorError): { code: number; details: string; trailer: Uint8Array } {
  const detail = errorDetail(error);
  const status = create(StatusSchema, {
    code: detail.grpcCode,
    message: detail.message,
    details: [anyPack(ErrorDetailSchema, detail)],
  });
  return { code: status.code, details: status.message, trailer: toBinary(StatusSchema, status) };
}

/** What a foreign or broken peer said when its call ended. */
export interface ForeignStatus {
  /** gRPC status code, 1 to 16. */
  readonly code: number;
  /** What the peer wrote; empty when it wrote nothing. */
  readonly details: string;
  /** Bytes of the status trailer, when there was one. */
  readonly trailer: Uint8Array | undefined;
  /** Whom we called, for the sentence. */
  readonly target: string;
  /** Full path of the method. */
  readonly method: string;
  /** The peer said it; else our side found that it is gone, and the words are those of a library. */
  readonly heard?: boolean;
}

/** The error behind a gRPC status: the peer's own ErrorDetail when it sent one, else the nearest reason for the code. */
export function fromStatus(status: ForeignStatus): StatorError {
  const detail = status.trailer && detailIn(status.trailer);
  if (detail) return fromErrorDetail(detail);
  const reason = nearest(status.code);
  return new StatorError(reason, foreignFacts(reason, status), { cause: new StatusCause(status) });
}

/** The status that an error stands for, as it came. */
class StatusCause extends Error {
  readonly code: number;
  readonly heard: boolean;

  constructor({ code, details, heard = false }: ForeignStatus) {
    super(cut(details));
    this.code = code;
    this.heard = heard;
  }
}

/**
 * An error for whoever asked through us: what a peer that does not know our reasons said of its call, with its own code
 * and words; undefined where our side found the peer gone, which is told in other words. Other errors stay as they are.
 */
export function asPeerSaid(error: StatorError): StatorError | undefined {
  const { cause, reason } = error;
  if (!(cause instanceof StatusCause)) return error;
  if (!cause.heard) return undefined;
  const { http, retry, blame } = REASONS[reason];
  const about = {
    reason: FOREIGN,
    grpcCode: cause.code,
    httpStatus: http,
    retry: RETRIES[retry],
    blame: BLAMES[blame],
  };
  return new RemoteError(reason, create(ErrorDetailSchema, { ...about, message: cause.message }));
}

function detailIn(trailer: Uint8Array): ErrorDetail | undefined {
  try {
    for (const any of fromBinary(StatusSchema, trailer).details) {
      const detail = anyUnpack(any, ErrorDetailSchema);
      if (detail) return detail;
    }
  } catch {
    // A trailer that is not a google.rpc.Status says nothing; code and sentence are still there.
  }
  return undefined;
}

/** Our nearest reason for each gRPC code. A cancel that we did not ask for is a peer that went away. */
const NEAREST: readonly (Reason | undefined)[] = [
  undefined, // 0 OK
  "UNAVAILABLE", // CANCELLED
  "INTERNAL", // UNKNOWN
  "INVALID_ARGUMENT",
  "DEADLINE", // DEADLINE_EXCEEDED
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "ACCESS_DENIED", // PERMISSION_DENIED
  "OVERLOADED", // RESOURCE_EXHAUSTED
  "CONTRACT_MISMATCH", // FAILED_PRECONDITION
  "UNAVAILABLE", // ABORTED
  "INVALID_ARGUMENT", // OUT_OF_RANGE
  "UNSUPPORTED_FEATURE", // UNIMPLEMENTED
  "INTERNAL",
  "UNAVAILABLE",
  "CORRUPT", // DATA_LOSS
  "ACCESS_DENIED", // UNAUTHENTICATED
];

function nearest(code: number): Reason {
  return NEAREST[code] ?? "INTERNAL";
}

/** Facts for the sentence of each reason that NEAREST names. */
function foreignFacts(reason: Reason, { details, target, method }: ForeignStatus): Facts {
  const detail = cut(details.replace(/\.$/, "")) || "no reason given";
  if (reason === "ACCESS_DENIED") return { method };
  if (reason === "UNSUPPORTED_FEATURE") return { feature: method, detail };
  if (reason === "NOT_FOUND" || reason === "ALREADY_EXISTS") return { what: detail };
  return { what: target, detail };
}

function nameOf<Name extends string>(table: Readonly<Record<Name, number>>, value: number): Name | undefined {
  return (Object.keys(table) as Name[]).find((name) => table[name] === value);
}

function inRange(value: number, least: number, most: number): number | undefined {
  return value >= least && value <= most ? value : undefined;
}

function cut(text: string): string {
  return text.length <= TEXT_LIMIT ? text : `${text.slice(0, TEXT_LIMIT)}…`;
}

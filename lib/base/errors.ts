/** When the same call may be tried again: never, later at the same place, or at once somewhere else. */
export type Retry = "never" | "backoff" | "elsewhere";

/** Whose fault an error is. `caller` is never logged above debug. */
export type Blame = "caller" | "server" | "dependency";

interface Row {
  /** gRPC status code, 1 to 16. */
  readonly grpc: number;
  readonly http: number;
  /** `error.type` of OpenAI's error body. */
  readonly type: string;
  /** `error.code` of OpenAI's error body. */
  readonly code: string | null;
  readonly retry: Retry;
  readonly blame: Blame;
  /** One sentence for people; `{fact}` is replaced by the fact of that name. */
  readonly text: string;
}

const invalid = { grpc: 3, http: 400, type: "invalid_request_error", retry: "never", blame: "caller" } as const;
const gone = { grpc: 14, http: 503, type: "server_error", retry: "elsewhere", blame: "server" } as const;
const setup = { grpc: 9, http: 500, type: "server_error", code: null, retry: "never", blame: "caller" } as const;

/** Every reason for which something can fail. The table is closed: a new reason is a new row here. */
export const REASONS = {
  INVALID_JSON: { ...invalid, code: "invalid_json", text: "The request body is not valid JSON: {detail}." },
  INVALID_UTF8: { ...invalid, code: "invalid_utf8", text: "The request body is not valid UTF-8." },
  INVALID_REQUEST: { ...invalid, code: "invalid_request", text: "The request has several mistakes: {problems}." },
  INVALID_FIELD: { ...invalid, code: "invalid_value", text: "{field}: {detail}." },
  UNKNOWN_FIELD: { ...invalid, code: "unknown_field", text: "Unknown field {fields}.{hint}" },
  UNSUPPORTED_FIELD: { ...invalid, code: "unsupported_value", text: "{field} is not supported: {detail}." },
  UNSUPPORTED_SCHEMA: {
    ...invalid,
    code: "unsupported_schema",
    text: "The JSON schema uses {keyword} at {path}, which is not supported.",
  },
  INVALID_GRAMMAR: { ...invalid, code: "invalid_grammar", text: "The grammar cannot be used: {detail}." },
  INVALID_TEMPLATE: { ...invalid, code: "invalid_messages", text: "The chat template refused the messages: {detail}." },
  INVALID_ARGUMENT: { ...invalid, code: "invalid_argument", text: "{detail}." },
  CONTEXT_LENGTH: {
    ...invalid,
    code: "context_length_exceeded",
    text: "The input has {promptTokens} tokens; {model}'s maximum context length is {contextTokens} tokens, with at least one token of answer where it generates.",
  },
  BODY_TOO_LARGE: {
    ...invalid,
    http: 413,
    code: "body_too_large",
    text: "The body is longer than {limitBytes} bytes.",
  },
  UNSUPPORTED_MEDIA_TYPE: {
    ...invalid,
    http: 415,
    code: "unsupported_media_type",
    text: "The body must be {expected}, and the header {header} says otherwise.",
  },
  TRANSFER_ENCODING: {
    ...invalid,
    grpc: 12,
    http: 501,
    code: "unsupported_transfer_encoding",
    text: "A body is taken as it is or chunked; the header transfer-encoding says otherwise.",
  },
  EXPECTATION: {
    ...invalid,
    grpc: 9,
    http: 417,
    code: "expectation_failed",
    text: "The header expect asks for something that is not known here; 100-continue is.",
  },
  MODEL_NOT_FOUND: {
    ...invalid,
    grpc: 5,
    http: 404,
    code: "model_not_found",
    text: "The model {model} does not exist here.{hint}",
  },
  ROUTE_NOT_FOUND: { ...invalid, grpc: 12, http: 404, code: "not_found", text: "There is no {method} {path} here." },
  METHOD_NOT_ALLOWED: {
    ...invalid,
    grpc: 12,
    http: 405,
    code: "method_not_allowed",
    text: "{path} answers {allow} only.",
  },
  NOT_FOUND: { ...invalid, grpc: 5, http: 404, code: "not_found", text: "{what} was not found." },
  ALREADY_EXISTS: { ...invalid, grpc: 6, http: 409, code: "already_exists", text: "{what} exists already." },
  UNSUPPORTED_FEATURE: {
    ...invalid,
    grpc: 12,
    code: "unsupported_feature",
    text: "{feature} is not available: {detail}.",
  },
  FEATURE_DISABLED: {
    ...invalid,
    grpc: 9,
    code: "feature_disabled",
    text: "{feature} is switched off here: {detail}.",
  },
  WORKER_NOT_FOUND: {
    ...invalid,
    grpc: 5,
    http: 404,
    code: "worker_not_found",
    text: "There is no worker {worker} for {model}.",
  },
  DECISION_NOT_KEPT: {
    ...invalid,
    grpc: 5,
    http: 404,
    code: "decision_not_kept",
    text: "No decision about {request} is kept; {reach}.",
  },
  ACCESS_DENIED: {
    ...invalid,
    grpc: 7,
    http: 403,
    code: "access_denied",
    text: "{method} is not open on this port{to}.",
  },
  LOAD_REFUSED: { ...invalid, code: "load_refused", text: "failed to {verb} '{model}', {detail}." },
  CANCELLED: { ...invalid, grpc: 1, http: 499, code: "cancelled", text: "The caller cancelled the request." },

  MODEL_LOADING: {
    ...gone,
    code: "model_loading",
    retry: "backoff",
    text: "The model {model} is loading; try again in a moment.",
  },
  NO_WORKERS: {
    ...gone,
    code: "no_workers",
    retry: "backoff",
    text: "No worker{that} can take a request for {model} now.",
  },
  OVERLOADED: {
    ...gone,
    grpc: 8,
    http: 429,
    type: "rate_limit_error",
    code: "overloaded",
    text: "Every place for {what} is taken; try again in a moment.",
  },
  DRAINING: { ...gone, code: "draining", text: "{what} is shutting down and takes nothing new." },
  STREAM_LOST: { ...gone, code: "stream_lost", text: "The connection to the worker was lost: {detail}." },
  WORKER_STALLED: { ...gone, code: "worker_stalled", text: "The worker stopped making progress for {stalledMs} ms." },
  WORKER_OUTDATED: {
    ...gone,
    code: "worker_outdated",
    text: "The worker is of an older build, which cannot take {what}.",
  },
  ENGINE_FAILED: { ...gone, grpc: 13, http: 500, code: "engine_failed", text: "The engine failed: {detail}." },
  ATTEMPTS_EXHAUSTED: {
    ...gone,
    code: "attempts_exhausted",
    retry: "backoff",
    text: "The request failed on {attempts} workers; the last one said: {detail}",
  },
  POISONED: {
    ...gone,
    grpc: 13,
    http: 500,
    code: "poisoned",
    retry: "never",
    text: "The request {request} is not tried again: {workers} workers died under it, one after the other, without a token.",
  },
  DEADLINE: {
    ...gone,
    grpc: 4,
    http: 504,
    code: "timeout",
    retry: "backoff",
    text: "The request was not done after {deadlineMs} ms.",
  },
  SLOW_CLIENT: {
    ...gone,
    grpc: 8,
    http: 408,
    code: "slow_client",
    retry: "never",
    blame: "caller",
    text: "The client did not read its answer for {stalledMs} ms.",
  },
  UNAVAILABLE: {
    ...gone,
    code: "unavailable",
    retry: "backoff",
    blame: "dependency",
    text: "{what} cannot be reached: {detail}.",
  },
  CONTRACT_MISMATCH: {
    ...gone,
    grpc: 9,
    code: "contract_mismatch",
    retry: "never",
    text: "{what} does not fit: {detail}.",
  },
  CORRUPT: { ...gone, grpc: 15, http: 500, code: "corrupt", text: "{what} is damaged: {detail}." },
  LEASE_LOST: { ...gone, grpc: 5, code: "lease_lost", retry: "backoff", text: "The lease {lease} has lapsed." },
  LIMIT: {
    ...gone,
    grpc: 8,
    http: 429,
    code: "limit",
    retry: "backoff",
    text: "{what} has reached its limit of {limit}.",
  },
  INTERNAL: {
    ...gone,
    grpc: 13,
    http: 500,
    code: "internal_error",
    retry: "never",
    text: "Something went wrong inside: {detail}.",
  },

  BAD_CONFIG: { ...setup, text: "{detail}" },
  PORT_IN_USE: {
    ...setup,
    text: "Port {port} on {host} is in use. Choose another with {flag}, or end the program that has it.",
  },
  FILE_NOT_FOUND: { ...setup, text: "There is no file {path}. {hint}" },
  BAD_MODEL_FILE: { ...setup, text: "{path} cannot be used as a model: {detail}. {hint}" },
  NATIVE_UNAVAILABLE: { ...setup, text: "The llama engine is not available: {detail}. {hint}" },
  TOOL_UNUSABLE: { ...setup, text: "{tool} {detail}. {hint}" },
  UNSAFE_LISTEN: {
    ...setup,
    text: "Listening on {host} without TLS would let anyone on the network in. Give {flag} a certificate, or say --insecure-listen.",
  },
  UNSAFE_HTTP: {
    ...setup,
    text: "{what} on {host} would be open to anyone on the network: it speaks HTTP without TLS. Listen on loopback behind a proxy that ends TLS, or say --insecure-listen.",
  },
} as const satisfies Record<string, Row>;

/** Name of a row of the table. */
export type Reason = keyof typeof REASONS;

/** What a sentence is built from. Never a prompt, never a secret. */
export type Facts = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

/** The row of a reason, with the wide types. */
export function reasonRow(reason: Reason): Row {
  return REASONS[reason];
}

/** The sentence of a reason with its facts filled in; a missing fact leaves nothing behind. */
export function sentence(reason: Reason, facts: Facts): string {
  return REASONS[reason].text.replaceAll(/\{(\w+)\}/g, (_, name: string) => String(facts[name] ?? "")).trim();
}

/** The one error class. Its text is built from the row of its reason; `cause` is kept for logs and never sent. */
export class StatorError extends Error {
  override readonly name = "StatorError";
  readonly reason: Reason;
  readonly facts: Facts;
  /** The field of the request that is to blame, for `error.param`. */
  readonly param: string | undefined;
  /** Wait at least this long before a retry. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: Reason,
    facts: Facts = {},
    options: { cause?: unknown; param?: string; retryAfterMs?: number } = {},
  ) {
    super(sentence(reason, facts), options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.facts = facts;
    this.param = options.param;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** The row of its reason. */
  get row(): Row {
    return REASONS[this.reason];
  }
}

/** The single converter from what was caught: a StatorError stays itself, everything else is a bug and becomes INTERNAL. */
export function asStatorError(caught: unknown): StatorError {
  if (caught instanceof StatorError) return caught;
  return new StatorError("INTERNAL", { detail: caught instanceof Error ? caught.name : "unknown" }, { cause: caught });
}

/** Holds an invariant: a failure is a bug of ours, told in a sentence. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Assertion failed: ${message}`);
}

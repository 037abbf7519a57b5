import type { Checked } from "#lib/api/check";
import type { Fields, Shape } from "#lib/api/field";
import { parseBody } from "#lib/api/json-body";
import { deadlineOf } from "#lib/api/kserve/deadline";
import {
  checkEmbedParameters,
  checkInferParameters,
  checkSamplingParameters,
  EMBED_PARAMETERS,
  INFER_PARAMETERS,
  type InferParameters,
  SAMPLING_PARAMETERS,
} from "#lib/api/kserve/infer-fields";
import { type Parameters, parameterValue } from "#lib/api/kserve/parameters";
import { tensorError } from "#lib/api/kserve/tensor";
import { StatorError } from "#lib/base/errors";
import type { DoorAsk } from "../door.ts";
import { readPlacement } from "../openai/ask.ts";

/** What the parameters of a request and its `sampling_parameters` say together. */
export interface SaidParameters {
  /** From the request. */
  readonly parameters: Parameters;
  /** JSON; undefined where there is none. */
  readonly sampling: Uint8Array | undefined;
  /** Most bytes of a JSON text. */
  readonly mostBytes: number;
}

/**
 * The parameters of a request for text or tokens. Numbers and truths may be written as text, as vLLM's clients do; what is
 * no scalar is JSON in a text. Throws what is wrong with them, an unknown one with the nearest known name.
 */
export function readInferParameters({
  parameters,
  sampling,
  mostBytes,
}: SaidParameters): Checked<typeof INFER_PARAMETERS> {
  const said = plainParameters(parameters, INFER_PARAMETERS, mostBytes);
  if (!sampling) return checkInferParameters(said);
  const field = "sampling_parameters";
  const drawing = plainMembers(field, parseJson(field, sampling, mostBytes));
  checkSamplingParameters(drawing);
  return checkInferParameters({ ...drawing, ...said });
}

/** The parameters of a request for embeddings. Throws as for text. */
export function readEmbedParameters(parameters: Parameters, mostBytes: number): Checked<typeof EMBED_PARAMETERS> {
  return checkEmbedParameters(plainParameters(parameters, EMBED_PARAMETERS, mostBytes));
}

/** When and where a request runs. */
export type RunParameters = Pick<
  InferParameters,
  "cache_salt" | "priority" | "timeout" | "stator_worker" | "stator_session"
>;

/** Of Triton's priorities the smaller number runs first, of an ask's the larger one; 0 is the least of both. */
const PRIORITIES = INFER_PARAMETERS.priority.shape.most;

/** When and where an ask runs. */
export function readRun(
  said: RunParameters,
): Pick<DoorAsk, "cacheSalt" | "priority" | "deadlineMs" | "target" | "wishes"> {
  const { cache_salt: cacheSalt, priority, timeout, stator_worker: worker, stator_session: session } = said;
  return {
    cacheSalt: cacheSalt ?? "",
    priority: priority ? PRIORITIES + 1 - priority : 0,
    deadlineMs: deadlineOf(timeout ?? 0),
    ...readPlacement({ stator: { worker, session } }),
  };
}

/** Parameters as the check of their table takes them. Names are somebody else's: `__proto__` is one like any other. */
function plainParameters(parameters: Parameters, fields: Fields, mostBytes: number): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, parameter]) => {
      const value = parameterValue(parameter);
      const shape = Object.hasOwn(fields, name) ? fields[name]?.shape : undefined;
      if (typeof value === "bigint") return [name, narrow(value)];
      if (typeof value !== "string" || !shape) return [name, value];
      return [name, isNested(shape) ? parseJson(name, Buffer.from(value), mostBytes) : readText(shape, value)];
    }),
  );
}

/** Members of JSON likewise. */
function plainMembers(field: string, body: unknown): Record<string, unknown> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw tensorError(field, "must be an object");
  const fields: Fields = SAMPLING_PARAMETERS;
  return Object.fromEntries(
    Object.entries(body).map(([name, value]: [string, unknown]) => {
      const shape = Object.hasOwn(fields, name) ? fields[name]?.shape : undefined;
      return [name, typeof value === "string" && shape ? readText(shape, value) : value];
    }),
  );
}

function isNested({ is }: Shape): boolean {
  return is === "list" || is === "map" || is === "object" || is === "tagged";
}

/** A number or a truth that is written as text; every other text is itself. */
function readText(shape: Shape, text: string): unknown {
  switch (shape.is) {
    case "boolean":
      return text === "true" ? true : text === "false" ? false : text;
    case "number":
    case "integer":
      return /^-?\d{1,20}(\.\d{1,20})?(e[-+]?\d{1,3})?$/i.test(text) ? Number(text) : text;
    case "int64":
      return /^-?\d{1,20}$/.test(text) ? narrow(BigInt(text)) : text;
    default:
      return text;
  }
}

/** A whole number as JSON would have it, where that is exact. */
function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Throws INVALID_FIELD by the name of what has it. */
function parseJson(field: string, bytes: Uint8Array, mostBytes: number): unknown {
  const options = { param: field };
  if (bytes.length > mostBytes) {
    const detail = `has ${bytes.length} bytes of JSON, and at most ${mostBytes} are taken`;
    throw new StatorError("INVALID_FIELD", { field, detail }, options);
  }
  try {
    return parseBody(bytes);
  } catch (cause) {
    if (!(cause instanceof StatorError)) throw cause;
    const { reason, facts } = cause;
    const what = { INVALID_UTF8: "is not valid UTF-8", INVALID_JSON: `is not valid JSON: ${facts.detail}` };
    const detail = reason === "INVALID_UTF8" || reason === "INVALID_JSON" ? what[reason] : String(facts.detail);
    throw new StatorError("INVALID_FIELD", { field, detail }, { ...options, cause });
  }
}

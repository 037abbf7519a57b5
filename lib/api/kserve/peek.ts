import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { CODECS } from "#gen/codecs";
import { type InferParameter, InferParameterSchema } from "#gen/inference/infer_pb";
import { assert, StatorError } from "#lib/base/errors";

/** What a parameter says; undefined where it has a type that this version does not know. */
export type ParameterValue = boolean | bigint | string | number | undefined;

/** What a request says of itself outside of its tensors. */
export interface InferHead {
  /** Empty when it names none. */
  readonly modelName: string;
  /** Empty for any. */
  readonly modelVersion: string;
  /** What answers carry; empty when the caller needs none. */
  readonly id: string;
  /** By name. */
  readonly parameters: ReadonlyMap<string, ParameterValue>;
}

/** Bounds of what is looked at. */
export interface PeekLimits {
  /** Fields of the message itself, each tensor being one or two: a message of millions of empty ones would hold the loop. */
  readonly fields: number;
  /** Parameters of the request. */
  readonly parameters: number;
  /** Bytes of a name, a version, an id or a parameter. */
  readonly textBytes: number;
}

/** What requests of real clients are far below. */
export const PEEK_LIMITS: PeekLimits = { fields: 16_384, parameters: 256, textBytes: 64 * 1024 };

/** A message that is walked: its name, and its last field, each of which is a length and bytes. */
interface Walked {
  readonly what: string;
  readonly fields: number;
}

const INFER_REQUEST: Walked = { what: "ModelInferRequest", fields: 7 };
const PARAMETER: Walked = { what: "ModelInferRequest", fields: 2 };
const STREAM_RESPONSE: Walked = { what: "ModelStreamInferResponse", fields: 2 };

/** Field numbers of `ModelInferRequest`. */
const REQUEST = { modelName: 1, modelVersion: 2, id: 3, parameters: 4 } as const;
/** Field numbers of an entry of a map. */
const ENTRY = { key: 1, value: 2 } as const;
/** Field number in `ModelStreamInferResponse`. */
const ERROR_MESSAGE = 1;

/**
 * Reads the head of a `ModelInferRequest` and steps over its tensors: nothing of them is copied, and nobody has looked
 * whether they are right. Throws INVALID_ARGUMENT for bytes that are no such message, and beyond the limits.
 */
export function peekInferRequest(bytes: Uint8Array, limits: PeekLimits = PEEK_LIMITS): InferHead {
  const head = { modelName: "", modelVersion: "", id: "" };
  const parameters = new Map<string, ParameterValue>();
  walk(bytes, { ...INFER_REQUEST, most: limits.fields }, (field, reader) => {
    switch (field) {
      case REQUEST.modelName:
        head.modelName = readText(reader, limits);
        return true;
      case REQUEST.modelVersion:
        head.modelVersion = readText(reader, limits);
        return true;
      case REQUEST.id:
        head.id = readText(reader, limits);
        return true;
      case REQUEST.parameters: {
        const { key, value } = readParameter(readBytes(reader, limits), limits);
        parameters.set(key, value);
        if (parameters.size > limits.parameters) throw tooMany("parameters", limits.parameters);
        return true;
      }
      default:
        return false;
    }
  });
  return { ...head, parameters };
}

/** Whether a `ModelStreamInferResponse` tells of an error; of bytes that are none, nobody knows, and that is false. */
export function tellsStreamError(bytes: Uint8Array): boolean {
  let tells = false;
  try {
    walk(bytes, { ...STREAM_RESPONSE, most: PEEK_LIMITS.fields }, (field, reader) => {
      if (field !== ERROR_MESSAGE) return false;
      tells = reader.bytes().length > 0;
      return true;
    });
  } catch {
    return false;
  }
  return tells;
}

/** Reads a field, or returns false: then it is stepped over. */
type TakeField = (field: number, reader: BinaryReader) => boolean;

function walk(bytes: Uint8Array, { what, fields, most }: Walked & { readonly most: number }, take: TakeField): void {
  try {
    const reader = new BinaryReader(bytes);
    for (let count = 1; reader.pos < reader.len; count++) {
      if (count > most) throw tooMany("fields", most);
      const [field, wire] = reader.tag();
      // Parsers disagree what a field of another type is: nobody behind this one shall read another name than it did.
      if (field <= fields && wire !== WireType.LengthDelimited) throw notSuch(what);
      if (take(field, reader)) continue;
      // A group's end is found only by reading all of it, and no message here has one.
      if (wire === WireType.StartGroup || wire === WireType.EndGroup) throw notSuch(what);
      reader.skip(wire, field);
    }
  } catch (cause) {
    if (cause instanceof StatorError) throw cause;
    throw notSuch(what, cause);
  }
}

function notSuch(what: string, cause?: unknown): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: `The bytes are not an inference.${what}` }, { cause });
}

function readParameter(bytes: Uint8Array, limits: PeekLimits): { key: string; value: ParameterValue } {
  let key = "";
  let value: ParameterValue;
  walk(bytes, { ...PARAMETER, most: limits.fields }, (field, reader) => {
    if (field === ENTRY.key) key = readText(reader, limits);
    else if (field === ENTRY.value) value = readValue(reader);
    else return false;
    return true;
  });
  return { key, value };
}

const PARAMETER_CODEC = CODECS.get(InferParameterSchema);

function readValue(reader: BinaryReader): ParameterValue {
  assert(PARAMETER_CODEC, "parameters have a reader of their own");
  const parameter = PARAMETER_CODEC.read(reader, reader.uint32()) as InferParameter;
  return parameter.parameterChoice.value;
}

function readBytes(reader: BinaryReader, { textBytes }: PeekLimits): Uint8Array {
  const bytes = reader.bytes();
  if (bytes.length <= textBytes) return bytes;
  const detail = `A name, id or parameter of a request has at most ${textBytes} bytes, and one has ${bytes.length}`;
  throw new StatorError("INVALID_ARGUMENT", { detail });
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function readText(reader: BinaryReader, limits: PeekLimits): string {
  return UTF8.decode(readBytes(reader, limits));
}

function tooMany(what: string, most: number): StatorError {
  return new StatorError("INVALID_ARGUMENT", {
    detail: `A request has at most ${most} ${what}, and this one has more`,
  });
}

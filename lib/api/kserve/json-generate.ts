import { create } from "@bufbuild/protobuf";
import { type ModelInferRequest, ModelInferRequestSchema, type ModelInferResponse } from "#gen/inference/infer_pb";
import { StatorError } from "#lib/base/errors";
import { compileCheck } from "../check.ts";
import type { JsonBounds } from "../json-bounds.ts";
import { type PrintedElements, printElements, printHead } from "./json-answer.ts";
import { GENERATE_FIELDS } from "./json-fields.ts";
import { type JsonParameter, parseWithSeed, readJsonParameters } from "./json-parameters.ts";
import type { InferAddress } from "./json-request.ts";
import { createBytesTensor } from "./tensor.ts";

const checkGenerate = compileCheck(GENERATE_FIELDS);

/**
 * Reads the body of POST /v2/models/{model}/generate, or of generate_stream: a text, or several, and what the parameters of
 * a request may say, as parameters or beside them. Throws INVALID_JSON, INVALID_UTF8, INVALID_FIELD; what the parameters
 * mean is for others to see.
 */
export function readGenerateBody(
  bytes: Uint8Array,
  { model, version }: Pick<InferAddress, "model" | "version">,
  bounds?: JsonBounds,
): ModelInferRequest {
  const { body } = checkGenerate(gatherParameters(parseWithSeed(bytes, bounds)));
  const { id, text_input: text } = body;
  const { parameters, sampling } = splitParameters(body.parameters ?? {});
  const inputs = [createBytesTensor("text_input", typeof text === "string" ? [text] : text)];
  if (sampling !== undefined) inputs.push(createBytesTensor("sampling_parameters", [sampling]));
  return create(ModelInferRequestSchema, {
    modelName: model,
    modelVersion: version,
    id: id ?? "",
    parameters: readJsonParameters(parameters),
    inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(BigInt) })),
    rawInputContents: inputs.map(({ data }) => data),
  });
}

const SAMPLING = "sampling_parameters";

/** Those that messages have, and the JSON of the others: lists, objects, and what stands in `sampling_parameters`. */
function splitParameters(said: Readonly<Record<string, unknown>>) {
  const { [SAMPLING]: given, ...named } = said;
  const entries = Object.entries(named);
  const isNested = ([, value]: readonly [string, unknown]) => typeof value === "object";
  const nested = entries.filter(isNested);
  const parameters = Object.fromEntries(entries.filter((entry) => !isNested(entry))) as Record<string, JsonParameter>;
  if (nested.length === 0 && (given === undefined || typeof given === "string")) return { parameters, sampling: given };
  const object = typeof given === "string" ? parseSampling(given) : given;
  if (object !== undefined && (typeof object !== "object" || object === null || Array.isArray(object))) {
    throw new StatorError("INVALID_FIELD", { field: SAMPLING, detail: "must be an object" }, { param: SAMPLING });
  }
  return { parameters, sampling: JSON.stringify({ ...object, ...Object.fromEntries(nested) }) };
}

function parseSampling(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new StatorError(
      "INVALID_FIELD",
      { field: SAMPLING, detail: "is not valid JSON" },
      { param: SAMPLING, cause },
    );
  }
}

/** Members that are no field are parameters; those that stand among the parameters count before them. */
function gatherParameters(body: unknown): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const entries: [string, unknown][] = Object.entries(body);
  const beside = entries.filter(([name, value]) => !Object.hasOwn(GENERATE_FIELDS, name) && value !== null);
  if (beside.length === 0) return body;
  const known = entries.filter(([name]) => Object.hasOwn(GENERATE_FIELDS, name));
  const { parameters } = body as { readonly parameters?: unknown };
  if (parameters !== undefined && (typeof parameters !== "object" || Array.isArray(parameters))) return body;
  return Object.fromEntries([
    ...known,
    ["parameters", Object.fromEntries([...beside, ...Object.entries(parameters ?? {})])],
  ]);
}

/** Prints an answer: each output under its name, by itself where it has one element. Throws what `printElements` does. */
export function printGenerateAnswer(response: ModelInferResponse, printed?: PrintedElements): string {
  const outputs = response.outputs.map((output, at) => {
    const elements = printElements(output, response.rawOutputContents[at], printed) ?? "[]";
    const isSingle = output.shape.every((length) => length === 1n);
    return `,${JSON.stringify(output.name)}:${isSingle ? elements.slice(1, -1) : elements}`;
  });
  return `{${printHead(response)}${outputs.join("")}}`;
}

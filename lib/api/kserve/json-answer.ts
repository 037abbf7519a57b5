import type { ModelInferResponse } from "#gen/inference/infer_pb";
import { StatorError } from "#lib/base/errors";
import { datatypeRow, isDatatype } from "./datatypes.ts";
import type { BinaryOutputs } from "./json-request.ts";
import { type Parameters, parameterValue, SHARED_MEMORY } from "./parameters.ts";
import { printData } from "./print-data.ts";
import { countBytesElements, elementsOf, printName, type Tensor } from "./tensor.ts";
import { writeContents } from "./typed-contents.ts";

type Output = ModelInferResponse["outputs"][number];

/** Elements of outputs that are a list of JSON already, by name of the output. */
export type PrintedElements = ReadonlyMap<string, string>;

/** An answer as HTTP has it. */
export interface InferAnswer {
  /** All of it, or what comes before the contents. */
  readonly json: string;
  /** Raw tensors in the order of the outputs that have `binary_data_size`; views of the response. */
  readonly contents: readonly Uint8Array[];
}

/** Prints an answer: JSON, with those tensors behind it that were asked for so. Throws what `printElements` does. */
export function printInferAnswer(
  response: ModelInferResponse,
  binary: BinaryOutputs,
  printed?: PrintedElements,
): InferAnswer {
  const contents: Uint8Array[] = [];
  const outputs = response.outputs.map((output, at) => {
    const raw = response.rawOutputContents[at];
    if (raw && !isShared(output) && isBinary(binary, output.name)) {
      contents.push(raw);
      return printOutput(output, `"binary_data_size":${raw.length}`, undefined);
    }
    return printOutput(output, undefined, printElements(output, raw, printed));
  });
  return { json: `{${printHead(response)},"outputs":[${outputs.join(",")}]}`, contents };
}

/** The members with which every answer begins, without braces. */
export function printHead({ modelName, modelVersion, id, parameters }: ModelInferResponse): string {
  const said = printParameters(parameters);
  return (
    `"model_name":${JSON.stringify(modelName)},"model_version":${JSON.stringify(modelVersion)}` +
    `${id ? `,"id":${JSON.stringify(id)}` : ""}${said ? `,"parameters":{${said}}` : ""}`
  );
}

/**
 * The elements of an output as a list of JSON; undefined for one that lies in shared memory. Throws CORRUPT where they are
 * not what the output says, and what `printData` does.
 */
export function printElements(
  output: Output,
  raw: Uint8Array | undefined,
  printed?: PrintedElements,
): string | undefined {
  return isShared(output) ? undefined : (printed?.get(output.name) ?? printData(readOutput(output, raw)));
}

/** Whether an output comes behind the JSON. */
export function isBinary({ named, others }: BinaryOutputs, name: string): boolean {
  return named.get(name) ?? others;
}

/** An output as a tensor, wherever its elements are. It may come from a stranger. */
function readOutput({ name, datatype, shape: dimensions, contents }: Output, raw: Uint8Array | undefined): Tensor {
  if (!isDatatype(datatype)) throw damaged(name, "its datatype is not known");
  const shape = dimensions.map(Number);
  const data = raw ?? (contents ? writeContents(name, datatype, contents) : new Uint8Array(0));
  const { bytes } = datatypeRow(datatype);
  const count = bytes === 0 ? countBytesElements(data) : data.length / bytes;
  if (count !== elementsOf({ shape }))
    throw damaged(name, `its shape is [${shape.join()}], and its elements are others`);
  return { name, datatype, shape, data };
}

function damaged(name: string, detail: string): StatorError {
  return new StatorError("CORRUPT", { what: `The output ${printName(name)}`, detail });
}

function isShared({ parameters }: Output): boolean {
  return Object.hasOwn(parameters, SHARED_MEMORY.region);
}

function printOutput(output: Output, binary: string | undefined, data: string | undefined): string {
  const said = [printParameters(output.parameters), binary].filter((part) => part).join(",");
  return (
    `{"name":${JSON.stringify(output.name)},"datatype":${JSON.stringify(output.datatype)},"shape":[${output.shape.join(",")}]` +
    `${said ? `,"parameters":{${said}}` : ""}${data ? `,"data":${data}` : ""}}`
  );
}

/** The members of an object of parameters, without braces. */
function printParameters(parameters: Parameters): string {
  const entries = Object.entries(parameters).flatMap(([name, parameter]) => {
    const value = parameterValue(parameter);
    if (value === undefined) return [];
    return `${JSON.stringify(name)}:${typeof value === "bigint" ? value : JSON.stringify(value)}`;
  });
  return entries.join(",");
}

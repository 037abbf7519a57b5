import type { ModelInferResponse, ModelInferResponse_InferOutputTensor } from "#gen/inference/infer_pb";
import { datatypeRow } from "./datatypes.ts";
import type { ContentsForm } from "./read-tensors.ts";
import type { Tensor } from "./tensor.ts";
import { readContents } from "./typed-contents.ts";

/** Tensors as an answer has them. */
export type PrintedTensors = Pick<ModelInferResponse, "outputs" | "rawOutputContents">;

/**
 * Tensors for an answer. Raw: their data as it is, not copied. Typed: their elements one by one; where one of them is of a
 * datatype without typed contents all are raw, since an answer has one form.
 */
export function printTensors(tensors: readonly Tensor[], form: ContentsForm): PrintedTensors {
  const isTyped = form === "typed" && tensors.every(({ datatype }) => datatypeRow(datatype).field !== undefined);
  return {
    outputs: tensors.map((tensor) => printTensor(tensor, isTyped)),
    rawOutputContents: isTyped ? [] : tensors.map(({ data }) => data),
  };
}

function printTensor(tensor: Tensor, isTyped: boolean): ModelInferResponse_InferOutputTensor {
  const { name, datatype, shape } = tensor;
  return {
    $typeName: "inference.ModelInferResponse.InferOutputTensor",
    name,
    datatype,
    shape: shape.map(BigInt),
    parameters: {},
    contents: isTyped ? readContents(tensor) : undefined,
  };
}

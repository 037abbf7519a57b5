import { elementsOf, type Tensor, tensorError } from "#lib/api/kserve/tensor";
import { StatorError } from "#lib/base/errors";
import { GivenBytes } from "./given.ts";
import type { GivenTensor, MadeTensor, TensorModel, TensorSpec } from "./model.ts";
import { makeBytes, measureBytes } from "./values.ts";

/**
 * Gives a model the tensors of a request, by their names; they were measured, and none comes twice. Throws INVALID_FIELD for
 * one that the model does not take, that is missing, or whose datatype, shape or number of rows is another.
 */
export function giveInputs(model: TensorModel, tensors: readonly Tensor[]): Readonly<Record<string, GivenTensor>> {
  const given: Record<string, GivenTensor> = {};
  let rows: number | undefined;
  for (const { name, datatype, shape, data } of tensors) {
    const spec = Object.hasOwn(model.inputs, name) ? model.inputs[name] : undefined;
    if (!spec) throw tensorError(name, `is no input of the model, which takes ${Object.keys(model.inputs).join(", ")}`);
    if (datatype !== spec.datatype) throw tensorError(name, `is ${datatype}, and the model takes ${spec.datatype}`);
    if (!fits(shape, spec)) {
      throw tensorError(name, `has the shape ${told(shape)}, and the model takes ${told(spec.shape)}`);
    }
    if (model.maxBatch) {
      const own = shape[0] ?? 0;
      if (own < 1 || own > model.maxBatch) {
        throw tensorError(name, `has ${own} rows, and the model takes 1 to ${model.maxBatch}`);
      }
      if (rows !== undefined && own !== rows) throw tensorError(name, `has ${own} rows, and another input ${rows}`);
      rows = own;
    }
    given[name] = new GivenBytes(spec.datatype, shape, data);
  }
  for (const [name, { optional = false }] of Object.entries(model.inputs)) {
    if (!optional && !Object.hasOwn(given, name)) throw tensorError(name, "is missing");
  }
  return given;
}

/** Names of the outputs that a request wants: all where it names none. Throws INVALID_FIELD for one that there is not. */
export function wantOutputs(model: TensorModel, names: readonly string[]): readonly string[] {
  const all = Object.keys(model.outputs);
  for (const name of names) {
    if (!Object.hasOwn(model.outputs, name)) {
      throw tensorError(name, `is no output of the model, which gives ${all.join(", ")}`);
    }
  }
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw tensorError(twice, "is wanted twice");
  return names.length === 0 ? all : names;
}

/** The wanted tensors of what a model made, in their order. Throws ENGINE_FAILED for what is not as the model says itself. */
export function takeOutputs(
  model: TensorModel,
  made: Readonly<Record<string, MadeTensor>>,
  wanted: readonly string[],
): Tensor[] {
  return wanted.map((name) => {
    const spec = model.outputs[name];
    const tensor = made[name];
    if (!spec || !tensor) throw broken(model, `made no ${name}`);
    const { shape } = tensor;
    if (!Array.isArray(shape) || !fits(shape, spec)) {
      throw broken(model, `made ${name} with another shape than ${told(spec.shape)}`);
    }
    const { datatype } = spec;
    const data = tensor.data ?? makeBytes(datatype, tensor.values);
    const elements = elementsOf(tensor);
    if (data === undefined || measureBytes(datatype, data) !== elements) {
      throw broken(model, `made ${name} with another number of ${datatype} elements than its shape ${told(shape)} has`);
    }
    return { name, datatype, shape, data };
  });
}

/** Whether a shape is one that a spec allows. */
function fits(shape: readonly number[], spec: TensorSpec): boolean {
  return (
    shape.length === spec.shape.length &&
    shape.every(
      (size, at) => Number.isSafeInteger(size) && size >= 0 && (spec.shape[at] === -1 || spec.shape[at] === size),
    )
  );
}

function told(shape: readonly number[]): string {
  return `[${shape.join(",")}]`;
}

function broken({ name }: TensorModel, what: string): StatorError {
  return new StatorError("ENGINE_FAILED", { detail: `the model ${name} ${what}` });
}

import { DATATYPES } from "#lib/api/kserve/datatypes";
import type { TensorModel, TensorSpec } from "./model.ts";

/** Dimensions of a tensor at most. */
const MOST_DIMENSIONS = 16;

/** The models of tensors among what a module of a user exports, each once, by the name of its first export. */
export function tensorModelsOf(
  exported: Readonly<Record<string, unknown>>,
): readonly (readonly [string, TensorModel])[] {
  const models = Object.entries(exported).filter(([, value]) => isModel(value)) as [string, TensorModel][];
  // A model may be exported under its own name and as the default.
  return [...new Map(models.map(([name, model]) => [model, name]))].map(([model, name]) => [name, model] as const);
}

/** What is wrong with the models of a module, in words; undefined when nothing is. */
export function mistakeInModels(models: ReturnType<typeof tensorModelsOf>): string | undefined {
  for (const [name, model] of models) {
    const mistake = mistakeIn(model);
    if (mistake !== undefined) return `${name}: ${mistake}`;
  }
  const names = models.map(([, { name }]) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  return twice === undefined ? undefined : `two of its models are called ${twice}`;
}

function isModel(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { inputs, outputs, infer, stream } = value as Readonly<Record<string, unknown>>;
  return isRecord(inputs) && isRecord(outputs) && (typeof infer === "function" || typeof stream === "function");
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What is wrong with a model that a user wrote, in words; undefined when nothing is. */
export function mistakeIn(model: TensorModel): string | undefined {
  const { name, version = 1, maxBatch = 0, inputs, outputs, infer, stream } = model;
  if (typeof name !== "string" || !/^[\w.-]{1,128}$/.test(name)) {
    return "its name is not 1 to 128 letters, digits and ._-";
  }
  if (!isCount(version) || version === 0) return "its version is not a whole number from 1";
  if (!isCount(maxBatch)) return "its maxBatch is not a whole number from 0";
  if (infer && stream) return "it has both infer and stream";
  for (const side of [inputs, outputs]) {
    if (Object.keys(side).length === 0) return "it has no tensor on one of its sides";
    for (const [tensor, spec] of Object.entries(side)) {
      const mistake = mistakeInSpec(spec, maxBatch > 0);
      if (mistake !== undefined) return `the tensor ${tensor} ${mistake}`;
    }
  }
  return undefined;
}

function mistakeInSpec(spec: TensorSpec, isBatched: boolean): string | undefined {
  if (!isRecord(spec)) return "is not a mapping with datatype and shape";
  const { datatype, shape } = spec;
  if (!Object.hasOwn(DATATYPES, datatype)) return `has none of the datatypes ${Object.keys(DATATYPES).join(", ")}`;
  const isShape =
    Array.isArray(shape) && shape.length <= MOST_DIMENSIONS && shape.every((size) => size === -1 || isCount(size));
  if (!isShape) return `has no shape of at most ${MOST_DIMENSIONS} whole numbers, -1 for those that vary`;
  if (isBatched && shape[0] !== -1) return "has no -1 as its first dimension, which is that of the batch";
  return undefined;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

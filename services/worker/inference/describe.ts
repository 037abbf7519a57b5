import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ModelMetadataResponseSchema } from "#gen/inference/metadata_pb";
import { type ModelConfigResponseSchema, ModelInstanceGroup_Kind } from "#gen/inference/model_config_pb";
import { DATATYPES } from "#lib/api/kserve/datatypes";
import type { TensorSpecs } from "#lib/engines/tensor/model";
import type { ServedModel } from "./models.ts";

/** What tensors a model takes and gives. */
export function describeModel({
  name,
  version,
  model,
  facts,
}: ServedModel): MessageInitShape<typeof ModelMetadataResponseSchema> {
  return {
    name,
    versions: [version],
    platform: facts.platform,
    inputs: describeTensors(model.inputs),
    outputs: describeTensors(model.outputs),
  };
}

/** How a model is set up. */
export function configureModel({
  name,
  model,
  facts,
}: ServedModel): MessageInitShape<typeof ModelConfigResponseSchema> {
  const { maxBatch = 0, inputs, outputs } = model;
  const isBatched = maxBatch > 0;
  return {
    config: {
      name,
      platform: facts.platform,
      backend: facts.platform,
      maxBatchSize: maxBatch,
      input: configureTensors(inputs, isBatched),
      output: configureTensors(outputs, isBatched).map(({ optional: _, ...output }) => output),
      instanceGroup: [{ name: `${name}_0`, count: 1, kind: ModelInstanceGroup_Kind.CPU }],
      modelTransactionPolicy: { decoupled: facts.decoupled },
    },
  };
}

function describeTensors(specs: TensorSpecs) {
  return Object.entries(specs).map(([name, { datatype, shape }]) => ({ name, datatype, shape: shape.map(BigInt) }));
}

/** The dimension of the batch goes without saying here. */
function configureTensors(specs: TensorSpecs, isBatched: boolean) {
  return Object.entries(specs).map(([name, { datatype, shape, optional = false }]) => {
    const dims = (isBatched ? shape.slice(1) : shape).map(BigInt);
    return { name, dataType: DATATYPES[datatype].wire, dims, optional };
  });
}

import { StatorError } from "#lib/base/errors";

/** Who asks a model of tensors with text is told where tensors are taken. */
export function takesTensors(name: string): StatorError {
  const detail = `it takes tensors, by inference.GRPCInferenceService and POST /v2/models/${name}/infer`;
  return new StatorError("UNSUPPORTED_FEATURE", { feature: `Text for the model ${name}`, detail }, { param: "model" });
}

import type { ModelInferRequest } from "#gen/inference/infer_pb";
import { SHARED_MEMORY } from "#lib/api/kserve/parameters";
import { printName, tensorError } from "#lib/api/kserve/tensor";
import { StatorError } from "#lib/base/errors";
import { unknownTensor } from "./inputs.ts";
import { type InferKind, type InferOutput, isOutput, OUTPUTS, SCORE_OUTPUTS, USUAL_OUTPUTS } from "./tensors.ts";

/** Parameters that an output may have: who answers over HTTP, or has shared memory, reads them. */
const OUTPUT_PARAMETERS: ReadonlySet<string> = new Set([...Object.values(SHARED_MEMORY), "binary_data"]);

/** The outputs that a request names, at most so many. Throws for a name that is none. */
export function readOutputs({ outputs, modelName: model }: ModelInferRequest, most: number): readonly InferOutput[] {
  if (outputs.length > most) {
    const detail = `The request wants ${outputs.length} outputs, and at most ${most} are taken`;
    throw new StatorError("INVALID_ARGUMENT", { detail });
  }
  const names = new Set<InferOutput>();
  for (const { name, parameters } of outputs) {
    if (!isOutput(name)) throw unknownTensor("output", { name, model, known: Object.keys(OUTPUTS) });
    if (names.has(name)) throw tensorError(name, "is wanted twice");
    const other = Object.keys(parameters).find((key) => !OUTPUT_PARAMETERS.has(key) && !isHarmless(key, parameters));
    if (other !== undefined) {
      const detail = `the output ${name} is given as it is`;
      throw new StatorError("UNSUPPORTED_FIELD", { field: printName(other), detail }, { param: printName(other) });
    }
    names.add(name);
  }
  return [...names];
}

/** Clients that classify nothing say so. */
function isHarmless(key: string, parameters: ModelInferRequest["outputs"][number]["parameters"]): boolean {
  return key === "classification" && parameters[key]?.parameterChoice.value === 0n;
}

/** What a request for text or tokens wants. */
interface Wanted {
  readonly kind: "text" | "tokens";
  /** Outputs that it names. */
  readonly wanted: readonly InferOutput[];
  readonly model: string;
}

/** The outputs of an answer: those that are named, or what is usual and what its parameters ask for. */
export function answerOutputs({ kind, wanted, model }: Wanted, logprobs: number | undefined): readonly InferOutput[] {
  if (wanted.length === 0) return [...USUAL_OUTPUTS[kind], ...(logprobs === undefined ? [] : SCORE_OUTPUTS)];
  checkOutputs(wanted, kind, model);
  if (logprobs !== undefined && !wanted.some((name) => SCORE_OUTPUTS.includes(name))) {
    throw tensorError("logprobs", `is taken with the outputs ${SCORE_OUTPUTS.join(" and ")} alone`);
  }
  return wanted;
}

/** Text has no vectors, and vectors have no text. */
export function checkOutputs(outputs: readonly InferOutput[], kind: InferKind, model: string): void {
  const other = outputs.find((name) => (name === "embedding") !== (kind === "embedding"));
  if (other === undefined) return;
  throw tensorError(
    other,
    kind === "embedding" ? "is no output beside embedding" : `is no output of ${printName(model)}`,
  );
}

import type { InferParameter, ModelInferResponse } from "#gen/inference/infer_pb";
import { createNumberTensor } from "#lib/api/kserve/numbers";
import { createParameter } from "#lib/api/kserve/parameters";
import { printTensors } from "#lib/api/kserve/print-tensors";
import type { Tensor } from "#lib/api/kserve/tensor";
import { assert } from "#lib/base/errors";
import type { AnswerFinish, AnswerPrinter, BodyPrinter, SaidChoice, ScoredText, Usage } from "#lib/serving/answer";
import type { AnswerPlan, DoorPrinters } from "../door.ts";
import { MODEL_VERSION } from "./describe.ts";
import type { InferForm } from "./read.ts";
import { type AnswerRow, printRows } from "./rows.ts";

/** Parameters of an answer. */
type AnswerParameters = Record<string, InferParameter>;

/**
 * Prints the answers of the door: one message for an answer as a whole, and one for each event of a stream. Usage stands in
 * the parameters of the last one. An error is no message of theirs: whatever carries the answer tells it.
 */
export const INFER_PRINTERS: DoorPrinters<InferForm, ModelInferResponse> = {
  events: (plan, form) => new InferEvents(plan, form),
  body: (plan, form) => new InferBody(plan, form),
  embeddings(plan, form) {
    const vectors = new Array<Float32Array>(plan.choices);
    return {
      embedding(choice, values) {
        vectors[choice] = values.slice();
      },
      body: (usage) => printAnswer(form, [printVectors(vectors)], { ...printUsage(usage), ...printFinal(form, true) }),
    };
  },
};

/** Where an answer has several choices: which one a message is of. */
const INDEX = "index";

/** Whether a message is the last one of its request. */
const FINAL = "triton_final_response";

/** A message of an answer. Tensors and parameters are kept. */
function printAnswer(form: InferForm, tensors: readonly Tensor[], parameters: AnswerParameters): ModelInferResponse {
  return {
    $typeName: "inference.ModelInferResponse",
    modelName: form.model,
    modelVersion: MODEL_VERSION,
    id: form.id,
    parameters,
    ...printTensors(tensors, form.contents),
  };
}

/** Only who asked is told. */
function printFinal({ finalResponse }: InferForm, isFinal: boolean): AnswerParameters {
  return finalResponse ? { [FINAL]: createParameter(isFinal) } : {};
}

function printUsage({ promptTokens, cachedTokens, completionTokens }: Usage): AnswerParameters {
  return {
    prompt_tokens: createParameter(BigInt(promptTokens)),
    completion_tokens: createParameter(BigInt(completionTokens)),
    total_tokens: createParameter(BigInt(promptTokens + completionTokens)),
    cached_tokens: createParameter(BigInt(cachedTokens)),
  };
}

function printVectors(vectors: readonly Float32Array[]): Tensor {
  const width = vectors[0]?.length ?? 0;
  const numbers = new Float32Array(vectors.length * width);
  for (const [row, values] of vectors.entries()) {
    assert(values.length === width, "the vectors of one model are equally long");
    numbers.set(values, row * width);
  }
  return createNumberTensor("embedding", "FP32", { shape: [vectors.length, width], numbers });
}

/** Prints an answer that is told as a whole: a row for each choice. */
class InferBody implements BodyPrinter<ModelInferResponse> {
  readonly #form: InferForm;
  readonly #rows: AnswerRow[];

  constructor({ choices }: AnswerPlan, form: InferForm) {
    this.#form = form;
    this.#rows = new Array<AnswerRow>(choices);
  }

  begin(): void {}

  prompt(): void {}

  choice(choice: number, said: SaidChoice): void {
    this.#rows[choice] = said;
  }

  body(usage: Usage): ModelInferResponse {
    const parameters = { ...printUsage(usage), ...printFinal(this.#form, true) };
    return printAnswer(this.#form, printRows(this.#form.outputs, this.#rows), parameters);
  }
}

/**
 * Prints an answer as it goes: a message for each event, with what one choice says next. Who asked for it gets an empty
 * message last; for all others the end of the last choice is that, so it waits until the usage is known.
 */
class InferEvents implements AnswerPrinter<ModelInferResponse> {
  readonly #form: InferForm;
  readonly #choices: number;
  /** Choices that have not ended. */
  #open: number;
  /** Parameters of messages behind which others come, by choice. */
  readonly #goesOn: AnswerParameters[];
  /** The end of the last choice. */
  #held: { readonly choice: number; readonly tensors: readonly Tensor[] } | undefined;

  constructor({ choices }: AnswerPlan, form: InferForm) {
    this.#form = form;
    this.#choices = choices;
    this.#open = choices;
    this.#goesOn = Array.from({ length: choices }, (_, choice) => ({
      ...this.#index(choice),
      ...printFinal(form, false),
    }));
  }

  begin(): void {}

  prompt(): void {}

  text(choice: number, text: string): ModelInferResponse | undefined {
    return this.#print(choice, this.#rowOf({ text, tokens: [], finish: undefined }));
  }

  token(choice: number, { text, token }: ScoredText): ModelInferResponse | undefined {
    return this.#print(choice, this.#rowOf({ text, tokens: token ? [token] : [], finish: undefined }));
  }

  end(choice: number, finish: AnswerFinish): ModelInferResponse | undefined {
    const tensors = this.#rowOf({ text: "", tokens: [], finish });
    this.#open--;
    if (this.#open > 0 || this.#form.finalResponse) return this.#print(choice, tensors);
    this.#held = { choice, tensors };
    return undefined;
  }

  done(usage: Usage): ModelInferResponse {
    const { choice, tensors } = this.#held ?? { choice: undefined, tensors: [] };
    const parameters = { ...this.#index(choice), ...printUsage(usage), ...printFinal(this.#form, true) };
    return printAnswer(this.#form, tensors, parameters);
  }

  failed(): undefined {}

  #rowOf(row: AnswerRow): readonly Tensor[] {
    return printRows(this.#form.outputs, [row]);
  }

  /** A message without outputs would be taken for the last one. */
  #print(choice: number, tensors: readonly Tensor[]): ModelInferResponse | undefined {
    if (tensors.length === 0) return undefined;
    return printAnswer(this.#form, tensors, this.#goesOn[choice]!);
  }

  #index(choice: number | undefined): AnswerParameters {
    return choice === undefined || this.#choices === 1 ? {} : { [INDEX]: createParameter(BigInt(choice)) };
  }
}

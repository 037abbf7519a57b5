import type { ModelInferRequest } from "#gen/inference/infer_pb";
import {
  type ContentsForm,
  contentsForm,
  type ReadTensorsOptions,
  readTensors,
  TENSOR_LIMITS,
  type TensorLimits,
} from "#lib/api/kserve/read-tensors";
import { tensorError } from "#lib/api/kserve/tensor";
import { StatorError } from "#lib/base/errors";
import { ANSWER_RANGES } from "#lib/base/sampling";
import { GREEDY } from "#lib/tokens/sampling";
import type { Asked, DoorAsk, DoorWords } from "../door.ts";
import { readGeneration } from "../openai/ask.ts";
import { PLAIN_ASK, PLAIN_ASKED, PLAIN_WORDS } from "../plain.ts";
import { type Inputs, readPrompts, readSingle, readTruth, sortInputs } from "./inputs.ts";
import { answerOutputs, checkOutputs, readOutputs } from "./outputs.ts";
import { readEmbedParameters, readInferParameters, readRun } from "./parameters.ts";
import { type InferKind, type InferOutput, SCORE_OUTPUTS, TOKEN_OUTPUTS, USUAL_OUTPUTS } from "./tensors.ts";

/** What an ask that does not fit its model is told by. */
export const KSERVE_WORDS: DoorWords = {
  ...PLAIN_WORDS,
  input: "text_input or input_ids",
  stopTokens: "stop_token_ids",
  biasTokens: "logit_bias",
  logprobs: "logprobs",
  tokens: "token_ids",
  guidance: { jsonObject: "response_format json_object", jsonSchema: "response_format json_schema" },
};

/** What a request for text or vectors may have at most. */
export interface InferLimits extends TensorLimits {
  /** UTF-16 units of its id, which every answer repeats. */
  readonly idUnits: number;
  /** Prompts of a request for text or tokens, times answers for each. */
  readonly choices: number;
  /** Prompts of a request for embeddings. */
  readonly inputs: number;
  /** Bytes of each JSON text in it. */
  readonly jsonBytes: number;
}

/** What requests may have by default. */
export const INFER_LIMITS: InferLimits = {
  ...TENSOR_LIMITS,
  idUnits: 1024,
  choices: ANSWER_RANGES.choices.most,
  inputs: 2048,
  jsonBytes: 65_536,
};

/** What is known of a request before it is read. */
export interface InferAbout {
  /** Its model answers prompts. */
  readonly generate: boolean;
  /** Its model makes vectors. */
  readonly embed: boolean;
  /** Whether it came where an answer may be several messages. */
  readonly stream: "allowed" | "refused";
  /** The bytes of an input that is in shared memory; where it is left out such an input is refused. */
  readonly region?: ReadTensorsOptions["region"];
  /** `INFER_LIMITS` where it is left out. */
  readonly limits?: InferLimits;
}

/** What the answers of a request are printed by, beside the plan. */
export interface InferForm {
  /** The client's own, which comes back with every answer; may be empty. */
  readonly id: string;
  /** As the request named it. */
  readonly model: string;
  /** What is asked for. */
  readonly kind: InferKind;
  /** Where the elements of its outputs are: as those of its inputs were. */
  readonly contents: ContentsForm;
  /** Outputs that it gets, in this order; each once. */
  readonly outputs: readonly InferOutput[];
  /** Each answer says whether it is the last, and a streamed one ends with an answer without outputs. */
  readonly finalResponse: boolean;
}

/**
 * Reads a request for text, tokens or embeddings. Throws what is wrong with it. The message is borrowed by nothing: what is
 * kept of it is copied.
 */
export function readInfer(request: ModelInferRequest, about: InferAbout): Asked<InferForm> {
  const { limits = INFER_LIMITS, region } = about;
  checkId(request.id, limits.idUnits);
  const inputs = sortInputs(readTensors(request, { limits, region }), request.modelName);
  const wanted = readOutputs(request, limits.tensors);
  const isEmbedding = about.embed && (!about.generate || wanted.includes("embedding"));
  const more = { request, wanted, limits, stream: about.stream };
  return isEmbedding ? readEmbedding(inputs, more) : readAnswer(inputs, more);
}

/** What both kinds of requests are read from, beside their inputs. */
interface Reading {
  readonly request: ModelInferRequest;
  /** Outputs that it names. */
  readonly wanted: readonly InferOutput[];
  readonly limits: InferLimits;
  readonly stream: InferAbout["stream"];
}

function readAnswer(inputs: Inputs, { request, wanted, limits, stream }: Reading): Asked<InferForm> {
  const { parameters, modelName: model } = request;
  const sampling = readSingle(inputs.sampling_parameters);
  const { body, ignored } = readInferParameters({ parameters, sampling, mostBytes: limits.jsonBytes });
  const input = readPrompts(inputs, limits.choices);
  checkChoices(input.kind === "text" ? input.texts.length : input.prompts.length, body.n ?? 1, limits.choices);
  const kind = input.kind === "text" ? "text" : "tokens";
  const outputs = answerOutputs({ kind, wanted, model }, body.logprobs ?? undefined);
  const scored = outputs.some((name) => SCORE_OUTPUTS.includes(name));
  const drawing = { ...body, model, priority: undefined, stator: undefined };
  const ask: DoorAsk = {
    ...readGeneration(drawing, {
      input,
      topLogprobs: scored ? (body.logprobs ?? 0) : undefined,
      promptLogprobs: false,
      maxTokens: body.max_tokens ?? 16,
    }),
    ...readRun(body),
  };
  const streams = readStream(inputs, body);
  if (streams && stream === "refused") {
    throw unsupported("stream", "this call has one answer; ModelStreamInfer and generate_stream have several");
  }
  return {
    ...PLAIN_ASKED,
    ask,
    ignored,
    stream: streams,
    echo: readEcho(inputs, body),
    byToken: outputs.some((name) => TOKEN_OUTPUTS.includes(name)),
    form: {
      ...formOf(request, kind, outputs),
      finalResponse: stream === "allowed" && (body.triton_enable_empty_final_response ?? false),
    },
  };
}

function readEmbedding(inputs: Inputs, { request, wanted, limits, stream }: Reading): Asked<InferForm> {
  if (readTruth(inputs.stream) || readTruth(inputs.streaming)) {
    throw unsupported("stream", "embeddings come as a whole");
  }
  const drawing = inputs.sampling_parameters ?? inputs.exclude_input_in_output;
  if (drawing) throw unsupported(drawing.name, "nothing is drawn for an embedding");
  const { body, ignored } = readEmbedParameters(request.parameters, limits.jsonBytes);
  const outputs = wanted.length > 0 ? wanted : USUAL_OUTPUTS.embedding;
  checkOutputs(outputs, "embedding", request.modelName);
  const ask: DoorAsk = {
    ...PLAIN_ASK,
    kind: "embed",
    model: request.modelName,
    input: readPrompts(inputs, limits.inputs),
    sampling: GREEDY,
    ...readRun(body),
  };
  const form = {
    ...formOf(request, "embedding", outputs),
    finalResponse: stream === "allowed" && (body.triton_enable_empty_final_response ?? false),
  };
  return { ...PLAIN_ASKED, ask, ignored, form, dimensions: body.dimensions ?? undefined };
}

function formOf(
  request: ModelInferRequest,
  kind: InferKind,
  outputs: readonly InferOutput[],
): Omit<InferForm, "finalResponse"> {
  return { id: request.id, model: request.modelName, kind, contents: contentsForm(request), outputs };
}

function checkId(id: string, most: number): void {
  if (id.length <= most) return;
  const detail = `has ${id.length} characters, and at most ${most} are taken`;
  throw new StatorError("INVALID_FIELD", { field: "id", detail }, { param: "id" });
}

function unsupported(field: string, detail: string): StatorError {
  return new StatorError("UNSUPPORTED_FIELD", { field, detail }, { param: field });
}

function checkChoices(prompts: number, each: number, most: number): void {
  if (prompts * each <= most) return;
  throw tensorError("n", `times ${prompts} prompts is above ${most}`);
}

/** Whether an answer comes as it goes, as inputs or parameters say. */
function readStream(
  { stream, streaming }: Inputs,
  said: { readonly stream?: boolean | null; readonly streaming?: boolean | null },
): boolean {
  return agree("stream", [
    readTruth(stream),
    readTruth(streaming),
    said.stream ?? undefined,
    said.streaming ?? undefined,
  ]);
}

function readEcho(
  { exclude_input_in_output: excluded }: Inputs,
  said: { readonly echo?: boolean | null; readonly exclude_input_in_output?: boolean | null },
): boolean {
  const excludes = readTruth(excluded);
  const excludesToo = said.exclude_input_in_output ?? undefined;
  return agree("echo", [
    excludes === undefined ? undefined : !excludes,
    excludesToo === undefined ? undefined : !excludesToo,
    said.echo ?? undefined,
  ]);
}

/** What is said in several places, false where it is said nowhere. */
function agree(field: string, said: readonly (boolean | undefined)[]): boolean {
  if (said.includes(true) && said.includes(false)) throw tensorError(field, "is said twice, and not the same");
  return said.includes(true);
}

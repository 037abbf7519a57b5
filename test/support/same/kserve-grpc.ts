import { create } from "@bufbuild/protobuf";
import { type ModelInferRequest, ModelInferRequestSchema, type ModelInferResponse } from "#gen/inference/infer_pb";
import { createParameter } from "#lib/api/kserve/parameters";
import { InferStream } from "../infer-client.ts";
import type { TestObject } from "../shared-object.ts";
import type { SameAnswer, SameAsk, ServedModel } from "./served.ts";
import { firstText, idsTensor, integersOf, rawOf, textTensor, type Written } from "./tensors.ts";

/** Where the elements of a request and of its answer are. */
export type Contents = "raw" | "typed" | "shared";

/** Most bytes of an output in shared memory; the places of several are one behind the other. */
export const OUTPUT_BYTES = 4096;

let regions = 0;

/** Memory that a test registered at a frontend. */
export interface SharedRegion {
  readonly name: string;
  readonly object: TestObject;
}

/** Registers memory with such bytes. */
export async function shareRegion(served: ServedModel, content: Uint8Array | number): Promise<SharedRegion> {
  const object = served.objects.create(content);
  const name = `same-${++regions}`;
  const byteSize = BigInt(object.read().length);
  await served.client.systemSharedMemoryRegister({ name, key: object.key, byteSize });
  return { name, object };
}

/** The parameters of a tensor that lies in a region. */
export function regionParameters({ name }: SharedRegion, offset: number, bytes: number) {
  return { shared_memory_region: name, shared_memory_offset: offset, shared_memory_byte_size: bytes };
}

/** Parameters as messages have them. */
function parametersOf(values: Readonly<Record<string, string | number | boolean>>) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, createParameter(value)]));
}

/** Inputs, in any of the places where the protocol has their elements. */
export async function writeInputs(served: ServedModel, tensors: readonly Written[], contents: Contents) {
  const heads = tensors.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(BigInt) }));
  if (contents === "raw") return { inputs: heads, rawInputContents: tensors.map(rawOf) };
  if (contents === "typed") {
    return { inputs: heads.map((head, at) => ({ ...head, contents: typedOf(tensors[at]?.elements ?? []) })) };
  }
  const parts = tensors.map(rawOf);
  const region = await shareRegion(served, Buffer.concat(parts));
  let end = 0;
  return {
    inputs: heads.map((head, at) => {
      const { length = 0 } = parts[at] ?? {};
      end += length;
      return { ...head, parameters: parametersOf(regionParameters(region, end - length, length)) };
    }),
  };
}

function typedOf(elements: Written["elements"]) {
  return typeof elements[0] === "string"
    ? { bytesContents: elements.map((each) => Buffer.from(String(each))) }
    : { intContents: elements.map(Number) };
}

/** The outputs that every request here names. */
export const SAME_OUTPUTS = ["text_output", "token_ids", "finish_reason"] as const;

/** How the gRPC service is asked: where elements are, in how many answers, and by text or by tokens. */
export function askKserve(about: { readonly contents: Contents; readonly stream: boolean; readonly tokens?: boolean }) {
  return async (served: ServedModel, ask: SameAsk): Promise<SameAnswer> => {
    const input = about.tokens ? idsTensor("input_ids", ask.tokens) : textTensor("text_input", ask.text);
    const sampling = textTensor("sampling_parameters", JSON.stringify({ stop: ask.stop }));
    // What one event says is over when the next one comes: only an answer as a whole can be left in memory.
    const region = about.contents === "shared" && !about.stream && (await shareRegion(served, 3 * OUTPUT_BYTES));
    const request = create(ModelInferRequestSchema, {
      modelName: served.name,
      id: "same",
      parameters: parametersOf({ max_tokens: ask.maxTokens, temperature: 0, ...(about.stream && { stream: true }) }),
      ...(await writeInputs(served, [input, sampling], about.contents)),
      outputs: SAME_OUTPUTS.map((name, at) => ({
        name,
        parameters: region ? parametersOf(regionParameters(region, at * OUTPUT_BYTES, OUTPUT_BYTES)) : {},
      })),
    });
    const answers = about.stream ? await streamed(served, request) : [await served.client.modelInfer(request)];
    return join(answers, region || undefined);
  };
}

async function streamed(served: ServedModel, request: ModelInferRequest): Promise<ModelInferResponse[]> {
  const stream = new InferStream(served.channel);
  stream.sendMessage(request);
  stream.halfClose();
  const error = await stream.ended;
  const [told = error?.message] = stream.errors;
  if (told !== undefined) throw new Error(told);
  return stream.answers.flatMap(({ inferResponse }) => inferResponse ?? []);
}

/** What all answers to one request say together. */
function join(answers: readonly ModelInferResponse[], region: SharedRegion | undefined): SameAnswer {
  const said = answers.map((answer) => readAnswer(answer, region));
  const parameters = answers.at(-1)?.parameters ?? {};
  return {
    text: said.map(({ text }) => text).join(""),
    ids: said.flatMap(({ ids }) => ids),
    finish: said.map(({ finish }) => finish).join(""),
    usage: [
      Number(parameters.prompt_tokens?.parameterChoice.value),
      Number(parameters.completion_tokens?.parameterChoice.value),
    ],
  };
}

function readAnswer({ outputs, rawOutputContents }: ModelInferResponse, region: SharedRegion | undefined) {
  const said = { text: "", ids: [] as number[], finish: "" };
  for (const [at, { name, shape, contents }] of outputs.entries()) {
    const from = SAME_OUTPUTS.indexOf(name as (typeof SAME_OUTPUTS)[number]) * OUTPUT_BYTES;
    const raw = region ? region.object.read().subarray(from, from + OUTPUT_BYTES) : rawOutputContents[at];
    const typed = contents?.bytesContents[0];
    const text = () => (typed ? Buffer.from(typed).toString() : firstText(raw ?? new Uint8Array(4)));
    if (name === "text_output") said.text = text();
    else if (name === "finish_reason") said.finish = text();
    else {
      const bytes = 4 * Number(shape.reduce((product, dimension) => product * dimension, 1n));
      said.ids = contents ? [...contents.intContents] : integersOf((raw ?? new Uint8Array(0)).subarray(0, bytes));
    }
  }
  return said;
}

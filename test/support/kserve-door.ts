import { create } from "@bufbuild/protobuf";
import {
  type InferParameter,
  type ModelInferRequest,
  ModelInferRequestSchema,
  type ModelInferResponse,
} from "#gen/inference/infer_pb";
import { StatorError } from "#lib/base/errors";
import type { DoorAnswer } from "./doors.ts";
import { InferStream } from "./infer-client.ts";
import type { InferenceRehearsal } from "./rehearsal/inference.ts";

/** The ways in which KServe's door answers over gRPC. */
export const KSERVE_DOORS = ["kserve", "kserve stream"] as const;
/** One of {@link KSERVE_DOORS}. */
export type KserveDoor = (typeof KSERVE_DOORS)[number];

/** What was told of each choice so far. */
interface Told {
  readonly texts: string[];
  readonly finishes: (string | undefined)[];
  tokens: number | undefined;
}

/** Asks with fields of JSON, as `sampling_parameters` has them; where a request runs is said by its own parameters. */
function kserveRequest({ cache_salt: salt, ...fields }: { cache_salt?: string }, stream: boolean): ModelInferRequest {
  const parameters =
    salt === undefined ? {} : { cache_salt: { parameterChoice: { case: "stringParam", value: salt } } };
  const texts = { text_input: "hi", sampling_parameters: JSON.stringify(fields) };
  return create(ModelInferRequestSchema, {
    modelName: "fake-model",
    parameters: parameters as Record<string, InferParameter>,
    inputs: [
      ...Object.keys(texts).map((name) => ({ name, datatype: "BYTES", shape: [1n] })),
      { name: "stream", datatype: "BOOL", shape: [1n] },
    ],
    rawInputContents: [...Object.values(texts).map(element), Uint8Array.of(Number(stream))],
  });
}

/** The answer to such a request. */
export async function askKserve(rig: InferenceRehearsal, door: KserveDoor, fields: object): Promise<DoorAnswer> {
  const told: Told = { texts: [], finishes: [], tokens: undefined };
  const request = kserveRequest(fields, door === "kserve stream");
  if (door === "kserve") {
    try {
      tell(told, await rig.client.modelInfer(request));
    } catch {
      return { ...told, error: "failed" };
    }
    return { ...told, error: undefined };
  }
  const stream = new InferStream(rig.channel);
  stream.sendMessage(request);
  stream.halfClose();
  await stream.ended;
  for (const { inferResponse, errorMessage } of stream.answers) {
    if (errorMessage === "" && inferResponse) tell(told, inferResponse);
  }
  return { ...told, error: stream.errors.length > 0 ? "failed" : undefined };
}

/** How such a request is refused: status and words. */
export async function refusedByKserve(
  rig: InferenceRehearsal,
  door: KserveDoor,
  fields: object,
): Promise<readonly [number | undefined, string | undefined]> {
  const request = kserveRequest(fields, door === "kserve stream");
  const error = door === "kserve" ? await refusal(rig, request) : await refusalOnStream(rig, request);
  return error instanceof StatorError ? [error.row.http, error.message] : [undefined, undefined];
}

function refusal(rig: InferenceRehearsal, request: ModelInferRequest): Promise<unknown> {
  return rig.client.modelInfer(request).then(
    () => undefined,
    (error: unknown) => error,
  );
}

function refusalOnStream(rig: InferenceRehearsal, request: ModelInferRequest): Promise<unknown> {
  const stream = new InferStream(rig.channel, { metadata: { triton_grpc_error: "true" } });
  stream.sendMessage(request);
  stream.halfClose();
  return stream.ended;
}

/** Adds what a message says. One of a stream tells of one choice, which it names where there are several. */
function tell(told: Told, { outputs, rawOutputContents, parameters }: ModelInferResponse): void {
  const first = Number(parameters.index?.parameterChoice.value ?? 0);
  for (const [at, { name }] of outputs.entries()) {
    const elements = elementsOf(rawOutputContents[at] ?? new Uint8Array(0));
    if (name === "text_output") {
      for (const [row, text] of elements.entries()) told.texts[first + row] = (told.texts[first + row] ?? "") + text;
    } else if (name === "finish_reason") {
      for (const [row, finish] of elements.entries()) told.finishes[first + row] = finish;
    }
  }
  const tokens = parameters.completion_tokens?.parameterChoice.value;
  if (tokens !== undefined) told.tokens = Number(tokens);
}

function element(text: string): Uint8Array {
  const bytes = Buffer.alloc(4 + Buffer.byteLength(text));
  bytes.writeUInt32LE(bytes.length - 4);
  bytes.write(text, 4);
  return bytes;
}

function elementsOf(contents: Uint8Array): string[] {
  const bytes = Buffer.from(contents.buffer, contents.byteOffset, contents.byteLength);
  const elements: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    elements.push(bytes.toString("utf8", at + 4, at + 4 + length));
    at += 4 + length;
  }
  return elements;
}

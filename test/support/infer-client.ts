import { create } from "@bufbuild/protobuf";
import {
  type InferParameter,
  type ModelInferRequest,
  ModelInferRequestSchema,
  type ModelInferResponse,
  type ModelStreamInferResponse,
} from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import type { StatorError } from "#lib/base/errors";
import type { Channel } from "#lib/rpc/channel";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { CallOptions } from "#lib/rpc/transport";

/** What a text request asks, in words of tests. */
export interface InferAsk {
  readonly model?: string;
  readonly version?: string;
  readonly id?: string;
  readonly text?: string;
  readonly stream?: boolean;
  readonly maxTokens?: number;
  readonly parameters?: Readonly<Record<string, InferParameter["parameterChoice"]>>;
}

/** A request of one text with raw contents. */
export function inferRequest(ask: InferAsk): ModelInferRequest {
  const { model = "rehearsal", version = "", id = "", text = "hello", stream, maxTokens, parameters = {} } = ask;
  const all = { ...parameters, ...(maxTokens !== undefined && { max_tokens: int(maxTokens) }) };
  return create(ModelInferRequestSchema, {
    modelName: model,
    modelVersion: version,
    id,
    parameters: Object.fromEntries(Object.entries(all).map(([name, parameterChoice]) => [name, { parameterChoice }])),
    inputs: [
      { name: "text_input", datatype: "BYTES", shape: [1n] },
      ...(stream === undefined ? [] : [{ name: "stream", datatype: "BOOL", shape: [1n] }]),
    ],
    rawInputContents: [element(text), ...(stream === undefined ? [] : [Uint8Array.of(Number(stream))])],
  });
}

function int(value: number): InferParameter["parameterChoice"] {
  return { case: "int64Param", value: BigInt(value) };
}

function element(text: string): Uint8Array {
  const bytes = Buffer.alloc(4 + Buffer.byteLength(text));
  bytes.writeUInt32LE(bytes.length - 4);
  bytes.write(text, 4);
  return bytes;
}

/** The text of an output with one BYTES element; undefined where the answer has no such output. */
export function outputText(
  { outputs, rawOutputContents }: ModelInferResponse,
  name = "text_output",
): string | undefined {
  const bytes = rawOutputContents[outputs.findIndex((output) => output.name === name)];
  return bytes && Buffer.from(bytes.subarray(4)).toString();
}

/** A call of ModelStreamInfer, as a test holds it. */
export class InferStream {
  readonly answers: ModelStreamInferResponse[] = [];
  /** What is called with each answer. */
  onAnswer: ((answer: ModelStreamInferResponse) => void) | undefined;
  readonly ended: Promise<StatorError | undefined>;
  readonly #channel: DuplexChannel<ModelInferRequest, ModelStreamInferResponse>;

  constructor(transport: Channel, options?: CallOptions) {
    this.#channel = transport.open(GRPCInferenceService.method.modelStreamInfer, options);
    const { promise, resolve } = Promise.withResolvers<StatorError | undefined>();
    this.ended = promise;
    this.#channel.receive({
      onMessage: (answer) => {
        this.answers.push(answer);
        this.onAnswer?.(answer);
      },
      onEnd: resolve,
    });
  }

  send(...asks: InferAsk[]): void {
    for (const ask of asks) this.sendMessage(inferRequest(ask));
  }

  sendMessage(request: ModelInferRequest): void {
    this.#channel.send(request);
  }

  /** Reads nothing from here on. */
  pause(): void {
    this.#channel.pause();
  }

  resume(): void {
    this.#channel.resume();
  }

  halfClose(): void {
    this.#channel.end();
  }

  cancel(error: StatorError): void {
    this.#channel.end(error);
  }

  /** Everything that the answers with this id said. */
  text(id: string): string {
    return this.answers.map(({ inferResponse: one }) => (one?.id === id ? (outputText(one) ?? "") : "")).join("");
  }

  /** The errors that were told in messages. */
  get errors(): string[] {
    return this.answers.map(({ errorMessage }) => errorMessage).filter((text) => text !== "");
  }

  /** Why choices ended, by id and in order. */
  get finishes(): string[] {
    return this.answers.flatMap(({ inferResponse: one }) => {
      const finish = one && outputText(one, "finish_reason");
      return finish ? [`${one.id} ${finish}`] : [];
    });
  }
}

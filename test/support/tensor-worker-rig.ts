import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ModelInferRequest,
  ModelInferRequestSchema,
  type ModelInferResponse,
  type ModelStreamInferResponse,
} from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import type { Datatype } from "#lib/api/kserve/datatypes";
import { SeededChance } from "#lib/base/chance";
import { asStatorError } from "#lib/base/errors";
import { defineTensorModel, type TensorModel } from "#lib/engines/tensor/model";
import { makeBytes, readValues } from "#lib/engines/tensor/values";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { createClient } from "#lib/rpc/client";
import { DirectTransport } from "#lib/rpc/direct";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import type { CallOptions, Transport } from "#lib/rpc/transport";
import { TENSOR_INSTRUMENTS } from "#services/worker/inference/metrics";
import { createTensorWorker, type TensorWorker, type TensorWorkerDeps } from "#services/worker/inference/tensor-worker";
import { WORKER_INSTRUMENTS } from "#services/worker/metrics";
import { StillClock } from "./still-clock.ts";
import { NotedDiscovery, settle } from "./worker-rig.ts";

/** A tensor as tests write one: its values, or its bytes. */
export interface Written {
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly values?: unknown;
  readonly data?: Uint8Array;
}

/** The inputs of a request by their names. */
export type Inputs = Readonly<Record<string, Written>>;

/** A request with raw contents. */
export function inferRequest(
  modelName: string,
  inputs: Inputs,
  more: MessageInitShape<typeof ModelInferRequestSchema> = {},
): ModelInferRequest {
  const tensors = Object.entries(inputs);
  return create(ModelInferRequestSchema, {
    modelName,
    inputs: tensors.map(([name, { datatype, shape }]) => ({ name, datatype, shape: shape.map(BigInt) })),
    rawInputContents: tensors.map(
      ([, { datatype, values, data }]) => data ?? makeBytes(datatype, values) ?? new Uint8Array(0),
    ),
    ...more,
  });
}

/** The values of the raw outputs of an answer, by name. */
export function outputsOf({ outputs, rawOutputContents }: ModelInferResponse): Record<string, unknown> {
  const pairs = outputs.map(({ name, datatype }, at) => {
    return [name, readValues(datatype as Datatype, rawOutputContents[at] ?? new Uint8Array(0))];
  });
  return Object.fromEntries(pairs);
}

/** The two inputs of `simple`: 0 to 15, and 1. */
export const SIMPLE: Inputs = {
  INPUT0: { datatype: "INT32", shape: [1, 16], values: Int32Array.from({ length: 16 }, (_, at) => at) },
  INPUT1: { datatype: "INT32", shape: [1, 16], values: new Int32Array(16).fill(1) },
};

/** The inputs of `repeat_int32`: these numbers, each so many milliseconds after the one before. */
export function repeat(numbers: readonly number[], delayMs: number): Inputs {
  return {
    IN: { datatype: "INT32", shape: [numbers.length], values: Int32Array.from(numbers) },
    DELAY: { datatype: "UINT32", shape: [numbers.length], values: new Uint32Array(numbers.length).fill(delayMs) },
    WAIT: { datatype: "UINT32", shape: [1], values: Uint32Array.of(0) },
  };
}

/** One number. */
export const NUMBER = { datatype: "INT32", shape: [1] } as const;
/** The input of the models below. */
export const one = (value: number) => ({ X: { ...NUMBER, values: Int32Array.of(value) } });

/** A model that answers when the test says so: by its gates, in the order of requests. */
export function gated(name = "gated") {
  const gates: PromiseWithResolvers<number>[] = [];
  const model = defineTensorModel({
    name,
    inputs: { X: NUMBER },
    outputs: { Y: NUMBER },
    async infer() {
      const gate = Promise.withResolvers<number>();
      gates.push(gate);
      return { Y: { shape: [1], values: Int32Array.of(await gate.promise) } };
    },
  });
  return { model, gates };
}

/** A model that gives back what it takes. */
export const echo = defineTensorModel({
  name: "echo",
  inputs: { X: NUMBER },
  outputs: { Y: NUMBER },
  infer: ({ X }) => ({ Y: X }),
});

/** A client's end of ModelStreamInfer. */
export class InferStreamClient {
  readonly messages: ModelStreamInferResponse[] = [];
  /** How the call ended: OK, or the reason of its status; undefined while it is open. */
  status: string | undefined;
  /** The sentence of its error. */
  words: string | undefined;
  readonly #abort = new AbortController();
  readonly #channel;

  constructor(transport: Transport, options: CallOptions = {}) {
    this.#channel = transport.open(GRPCInferenceService.method.modelStreamInfer, {
      ...options,
      signal: this.#abort.signal,
    });
    this.#channel.receive({
      onMessage: (message) => void this.messages.push(message),
      onEnd: (error) => {
        this.status = error ? asStatorError(error).reason : "OK";
        this.words = error?.message;
      },
    });
  }

  send(...requests: readonly ModelInferRequest[]): void {
    for (const request of requests) this.#channel.send(request);
  }

  halfClose(): void {
    this.#channel.end();
  }

  cancel(): void {
    this.#abort.abort();
  }

  pause(): void {
    this.#channel.pause();
  }

  resume(): void {
    this.#channel.resume();
  }

  /** What was told in order, in words: id=values of each answer, or the error. */
  get told(): string[] {
    return this.messages.map(({ errorMessage, inferResponse }) => {
      if (errorMessage !== "" || !inferResponse) return `error ${errorMessage}`;
      const values = Object.values(outputsOf(inferResponse)).map((each) => [...(each as Iterable<number>)].join(","));
      const final = inferResponse.parameters.triton_final_response?.parameterChoice.value;
      return `${inferResponse.id}=${values.join(";")}${final === undefined ? "" : ` ${final ? "last" : "more"}`}`;
    });
  }
}

/** A whole worker of tensors over the direct binding, with its models, clock and discovery in the test's hand. */
export class TensorRig {
  readonly clock = new StillClock();
  readonly discovery = new NotedDiscovery();
  readonly metrics = createMetrics([RPC_INSTRUMENTS, WORKER_INSTRUMENTS, TENSOR_INSTRUMENTS], {
    processMetrics: false,
  });
  readonly states: string[] = [];
  readonly worker: TensorWorker;
  readonly transport: DirectTransport;

  constructor(models: readonly TensorModel[], deps: Partial<TensorWorkerDeps> = {}) {
    const observed = { clock: this.clock, log: silentLog, metrics: this.metrics };
    this.worker = createTensorWorker({
      ...observed,
      chance: new SeededChance(7n),
      loadModels: async () => models.map((model) => ({ name: model.name, aliases: [], model })),
      names: models.map(({ name }) => name),
      engineName: "tensor",
      discovery: this.discovery,
      leaseMs: 10_000,
      version: "1.2.3",
      taints: [],
      onState: ({ state }) => void this.states.push(state),
      ...deps,
    });
    this.transport = new DirectTransport(this.worker.services, observed);
  }

  async start(): Promise<this> {
    await this.worker.start("127.0.0.1:1");
    return this;
  }

  get client() {
    return createClient(GRPCInferenceService, this.transport);
  }

  stream(options: CallOptions = {}): InferStreamClient {
    return new InferStreamClient(this.transport, options);
  }

  /** Moves time and lets everything happen. */
  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    await settle();
  }

  /** The value of a metric, 0 where it was never touched. */
  async metric(name: string, labels = ""): Promise<number> {
    const line = (await this.metrics.print()).split("\n").find((each) => each.startsWith(`${name}${labels} `));
    return Number(line?.split(" ").at(-1) ?? 0);
  }
}

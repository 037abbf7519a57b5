import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type ModelInferRequest,
  ModelInferRequestSchema,
  type ModelInferResponse,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import { streamErrorText } from "#lib/api/kserve/error-text";
import { checkInferCost } from "#lib/api/kserve/infer-cost";
import { type InferHead, peekInferRequest } from "#lib/api/kserve/peek";
import { tellError } from "#lib/api/kserve/tell-error";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Metrics } from "#lib/host/metrics";
import type { Scope } from "#lib/host/scope";
import type { CallContext } from "#lib/rpc/call";
import { parse } from "#lib/rpc/serialize";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { InferCall } from "./inference.ts";
import type { TensorWorkerLimits } from "./limits.ts";

/** The call as the worker holds it: in bytes, so that one message that is none does not end it. */
export type InferChannel = DuplexChannel<Uint8Array, Uint8Array>;

/** What streams of requests live on. */
export interface InferStreamDeps {
  /** Answers one request. */
  answer(request: ModelInferRequest, call: InferCall): AsyncIterable<ModelInferResponse>;
  /** Of a stream. */
  readonly limits: Pick<TensorWorkerLimits, "mostOnStream" | "slowMs" | "cost">;
  /** For the time that a client has who does not read. */
  readonly clock: Clock;
  /** Holds `TENSOR_INSTRUMENTS`. */
  readonly metrics: Metrics;
  /** Runs the requests. */
  readonly scope: Scope;
  /** Called once, when nothing more goes either way. */
  onClosed(stream: InferStream): void;
}

/**
 * One call of ModelStreamInfer. Its requests run side by side, those with the same id one after the other, so that answers
 * of an id stay in order. One that fails tells it in a message and the stream goes on, unless the metadata
 * `triton_grpc_error` asks for the status of the call.
 */
export class InferStream {
  readonly #channel: InferChannel;
  readonly #deps: InferStreamDeps;
  readonly #tellsByStatus: boolean;
  readonly #abort = new AbortController();
  /** The last request of each id that has not ended. */
  readonly #last = new Map<string, Promise<void>>();
  #open = 0;
  #paused = false;
  #halfClosed = false;
  #draining = false;
  #over = false;
  #slow: Timer | undefined;
  /** Answers that wait until the client reads. */
  #waiting: (() => void)[] = [];

  constructor(channel: InferChannel, call: CallContext, deps: InferStreamDeps) {
    this.#channel = channel;
    this.#deps = deps;
    this.#tellsByStatus = call.metadata.get("triton_grpc_error") === "true";
    call.signal.addEventListener("abort", () => this.#close(asStatorError(call.signal.reason)));
  }

  /** Begins to read. */
  receive(): void {
    this.#channel.receive({
      onMessage: (bytes) => this.#take(bytes),
      onEnd: (error) => {
        this.#halfClosed = true;
        if (error) this.#close(error);
        else this.#endIfDone();
      },
      onDrain: () => this.#drained(),
    });
  }

  /** Ends when no request is left. */
  drain(): void {
    this.#draining = true;
    this.#endIfDone();
  }

  /** Ends the call, and all requests of it, with an error. */
  end(error: StatorError): void {
    if (this.#over) return;
    this.#close(error);
    this.#channel.end(tellError(error));
  }

  #take(bytes: Uint8Array): void {
    if (this.#over) return;
    const head = headOf(bytes);
    this.#open++;
    if (this.#open >= this.#deps.limits.mostOnStream && !this.#paused) {
      this.#paused = true;
      this.#channel.pause();
    }
    const { id } = head;
    const before = this.#last.get(id);
    const ended = Promise.withResolvers<void>();
    this.#last.set(id, ended.promise);
    this.#deps.scope.spawn("infer", async () => {
      await before;
      await this.#answer(bytes, head);
      if (this.#last.get(id) === ended.promise) this.#last.delete(id);
      ended.resolve();
      this.#ended();
    });
  }

  /** Throws nothing. */
  async #answer(bytes: Uint8Array, { id, modelName }: Head): Promise<void> {
    const { signal } = this.#abort;
    if (signal.aborted) return;
    try {
      checkInferCost(bytes, this.#deps.limits.cost);
      const request = parse(ModelInferRequestSchema, bytes);
      for await (const inferResponse of this.#deps.answer(request, { signal, onStream: true })) {
        await this.#send({ inferResponse });
      }
    } catch (caught) {
      const error = asStatorError(caught);
      if (this.#over) return;
      if (this.#tellsByStatus) return this.end(error);
      await this.#send({ errorMessage: streamErrorText(error, id), inferResponse: { modelName, id } });
    }
  }

  /** Resolves when the client takes more, or the stream is over. */
  async #send(message: MessageInitShape<typeof ModelStreamInferResponseSchema>): Promise<void> {
    if (this.#over) return;
    const bytes = toBinary(ModelStreamInferResponseSchema, create(ModelStreamInferResponseSchema, message));
    if (this.#channel.send(bytes)) return;
    const { clock, limits } = this.#deps;
    this.#slow ??= clock.after(limits.slowMs, () => this.#cutOff());
    await new Promise<void>((resolve) => void this.#waiting.push(resolve));
  }

  #drained(): void {
    this.#slow?.cancel();
    this.#slow = undefined;
    for (const go of this.#waiting.splice(0)) go();
  }

  #cutOff(): void {
    this.#deps.metrics.add("stator_worker_tensor_slow_total");
    this.end(new StatorError("SLOW_CLIENT", { stalledMs: this.#deps.limits.slowMs }));
  }

  #ended(): void {
    this.#open--;
    if (this.#over) return;
    if (this.#paused && this.#open < this.#deps.limits.mostOnStream) {
      this.#paused = false;
      this.#channel.resume();
    }
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#over || this.#open > 0 || !(this.#halfClosed || this.#draining)) return;
    this.#close(undefined);
    this.#channel.end(this.#halfClosed ? undefined : new StatorError("DRAINING", { what: "The worker" }));
  }

  /** Nobody waits for what still runs. */
  #close(reason: StatorError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#abort.abort(reason);
    this.#drained();
    this.#deps.onClosed(this);
  }
}

type Head = Pick<InferHead, "id" | "modelName">;

/** Whom an error is told of; nobody where the bytes are no request. */
function headOf(bytes: Uint8Array): Head {
  try {
    return peekInferRequest(bytes);
  } catch {
    return { id: "", modelName: "" };
  }
}

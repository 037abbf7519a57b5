import { GRPCInferenceService } from "#gen/inference/service_pb";
import { namesRegions } from "#lib/api/kserve/names-regions";
import { tellsStreamError } from "#lib/api/kserve/peek";
import { withModelName } from "#lib/api/kserve/rename";
import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { ModelView } from "#lib/discovery/model-view";
import { noWorkers } from "#lib/discovery/models";
import type { TensorDispatcher, TensorHandle, TensorPlace, TensorSink } from "#lib/dispatch/tensor-dispatcher";
import { asPeerSaid } from "#lib/rpc/error-detail";
import type { MetadataInit } from "#lib/rpc/metadata";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { PassedRegions } from "#lib/shared/passed-regions";
import type { ForwardAsk, Forwarded, Forwarding, ForwardSink } from "./forwarding.ts";
import { RegionLeg } from "./region-leg.ts";
import { readTensorAsk } from "./tensor-ask.ts";

/** What tensors are forwarded with. All of it is borrowed. */
export interface ForwardTools {
  /** Who serves which names. */
  readonly view: Pick<ModelView, "models" | "ready">;
  /** Places requests, and knows the ways to workers. */
  readonly dispatcher: TensorDispatcher;
  /** Of its turns. */
  readonly clock: Clock;
  /** Regions of shared memory that requests may name; those that name one are refused by the workers unless given. */
  readonly regions?: PassedRegions;
}

/** A worker that does not say within this time what its models are is asked no more. */
const ASK_MS = 5_000;

/**
 * The way of tensors: a request's bytes go to the worker that the router chooses, and those of its answers come back, on a
 * call of their own. A request on a stream is a stream of one request there: where its answers end is told by its end.
 */
export function createForwarding(tools: ForwardTools): Forwarding {
  const { view, dispatcher, clock, regions } = tools;
  /** What workers call a model: they do not know its aliases. */
  const named = (model: string, bytes: Uint8Array): Uint8Array => {
    const own = view.models.names.get(model)?.model ?? model;
    return own === model ? bytes : withModelName(bytes, own);
  };
  return {
    takes: (model) => view.models.names.get(model)?.facts?.input === "tensor",
    infer(ask, sink) {
      const forwarded = new ForwardedRequest({ ...ask, bytes: named(ask.head.modelName, ask.bytes) }, sink, regions);
      try {
        forwarded.handle = dispatcher.startTensor(readTensorAsk(ask), forwarded);
      } catch (caught) {
        clock.soon(() => forwarded.onOver(asStatorError(caught)));
      }
      return forwarded;
    },
    async ask(method, model, bytes) {
      view.ready(model);
      const request = named(model, bytes);
      let lost: StatorError | undefined;
      for (const { transport } of dispatcher.tensorWorkers(model)) {
        try {
          return await askOnce(
            transport.openBytes(GRPCInferenceService.method[method], { timeoutMs: ASK_MS }),
            request,
          );
        } catch (caught) {
          const error = asStatorError(caught);
          if (error.reason !== "STREAM_LOST") throw error;
          lost = error;
        }
      }
      throw lost ?? noWorkers(model);
    },
  };
}

type Channel = DuplexChannel<Uint8Array, Uint8Array>;

/** A call with one answer. Rejects with what the worker said, or STREAM_LOST. */
function askOnce(channel: Channel, request: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let answer: Uint8Array | undefined;
    channel.receive({
      onMessage(bytes) {
        answer ??= bytes;
      },
      onEnd(error) {
        if (error) reject(said(error));
        else if (answer) resolve(answer);
        else reject(noAnswer());
      },
    });
    channel.send(request);
    channel.end();
  });
}

/** One request on its way, and its answers on theirs. */
class ForwardedRequest implements TensorSink, Forwarded {
  /** Set right after the start. */
  handle: TensorHandle | undefined;
  readonly #sink: ForwardSink;
  readonly #isStream: boolean;
  readonly #metadata: MetadataInit;
  readonly #regions: PassedRegions | undefined;
  /** Of a request that names regions, once it was made ready. */
  #leg: RegionLeg | undefined;
  /** Until it is sent: what waits for the answers keeps no request. */
  #bytes: Uint8Array | undefined;
  #channel: Channel | undefined;
  #isOver = false;
  #answers = 0;
  /** The worker told an error in an answer, so that its client knows. */
  #toldError = false;

  constructor({ method, bytes, requestId, header }: ForwardAsk, sink: ForwardSink, regions: PassedRegions | undefined) {
    this.#sink = sink;
    this.#regions = regions;
    this.#isStream = method === "modelStreamInfer";
    this.#bytes = bytes;
    const tellsByStatus = header("triton_grpc_error");
    this.#metadata = { "x-request-id": requestId, ...(tellsByStatus && { triton_grpc_error: tellsByStatus }) };
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#bytes = undefined;
    this.#leg?.release();
    this.handle?.cancel();
    this.#channel?.end(new StatorError("CANCELLED"));
  }

  resume(): void {
    this.#channel?.resume();
  }

  onPlaced(place: TensorPlace): void {
    if (this.#isOver || !this.#bytes) return;
    const bytes = this.#bytes;
    this.#bytes = undefined;
    const { transport: _way, timeoutMs: _time, traceparent: _trace, ...placement } = place;
    this.#sink.onPlaced?.(placement);
    try {
      if (this.#regions && namesRegions(bytes)) this.#sendWithRegions(bytes, place, this.#regions);
      else this.#send(bytes, place);
    } catch (caught) {
      this.handle?.finished(asStatorError(caught));
    }
  }

  /** The request waits while its worker hears of the regions; the client may leave meanwhile. */
  #sendWithRegions(bytes: Uint8Array, place: TensorPlace, regions: PassedRegions): void {
    RegionLeg.enter(bytes, { regions, isStream: this.#isStream, place })
      .then((leg) => {
        if (this.#isOver) return leg.release();
        this.#leg = leg;
        this.#send(leg.bytes, place);
      })
      .catch((caught: unknown) => this.handle?.finished(asStatorError(caught)));
  }

  #send(bytes: Uint8Array, { transport, timeoutMs, traceparent }: TensorPlace): void {
    const { modelInfer, modelStreamInfer } = GRPCInferenceService.method;
    const metadata = { ...this.#metadata, ...(traceparent && { traceparent }) };
    try {
      const method = this.#isStream ? modelStreamInfer : modelInfer;
      const channel = transport.openBytes(method, { timeoutMs, metadata });
      this.#channel = channel;
      const handlers = {
        onMessage: (answer: Uint8Array) => this.#answered(answer),
        onEnd: (error: StatorError | undefined) => this.#ended(error),
      };
      channel.receive(this.#leg?.behind(handlers) ?? handlers);
      channel.send(bytes);
      channel.end();
    } catch (cause) {
      this.handle?.finished(new StatorError("STREAM_LOST", { detail: "its session has ended" }, { cause }));
    }
  }

  onOver(error: StatorError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#bytes = undefined;
    this.#leg?.release();
    // Nothing is open there but where this side ended it: a deadline, a drain.
    if (error) this.#channel?.end(error);
    this.#sink.onEnd(this.#toldError ? undefined : error);
  }

  #answered(bytes: Uint8Array): void {
    if (this.#isOver) return;
    this.#answers++;
    if (this.#answers === 1) this.handle?.answered();
    if (this.#isStream && tellsStreamError(bytes)) this.#toldError = true;
    if (!this.#sink.onAnswer(bytes)) this.#channel?.pause();
  }

  #ended(error: StatorError | undefined): void {
    if (error) this.#toldError = false;
    this.handle?.finished(error ? said(error) : this.#endedInOrder());
  }

  /** What is recorded of a call that the worker ended in order. */
  #endedInOrder(): StatorError | undefined {
    if (this.#toldError) return new StatorError("ENGINE_FAILED", { detail: "its model answered with an error" });
    return this.#answers === 0 && !this.#isStream ? noAnswer() : undefined;
  }
}

/** What a worker said of a call, in its words; where it said nothing, nothing of where it is gets out. */
function said(error: StatorError): StatorError {
  return asPeerSaid(error) ?? new StatorError("STREAM_LOST", { detail: "it ended" }, { cause: error });
}

function noAnswer(): StatorError {
  return new StatorError("STREAM_LOST", { detail: "it answered with nothing" });
}

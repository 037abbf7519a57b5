import type { InferHead } from "#lib/api/kserve/peek";
import type { StatorError } from "#lib/base/errors";
import type { Placement } from "#lib/serving/answer";
import type { Reply } from "../doors/reply.ts";

/** A request for a model of tensors, as it came. */
export interface ForwardAsk {
  /** It answers once, or any number of times. */
  readonly method: "modelInfer" | "modelStreamInfer";
  /** A ModelInferRequest, of which nobody has read more than its head. Kept until it is sent. */
  readonly bytes: Uint8Array;
  /** What was read of it. */
  readonly head: InferHead;
  /** For logs, records and workers. */
  readonly requestId: string;
  /** Name of its door, for the record. */
  readonly route: string;
  /** What the call says beside its messages. */
  readonly header: Reply<never>["header"];
}

/** Who hears what becomes of it; nothing comes behind `onEnd`. */
export interface ForwardSink {
  /** A worker has it now; before its first answer. */
  onPlaced?(placement: Placement): void;
  /**
   * The bytes of an answer: a ModelInferResponse, or of a stream a ModelStreamInferResponse. False when the client has more
   * than it takes: hold further ones back until `resume`.
   */
  onAnswer(bytes: Uint8Array): boolean;
  /** Everything was answered, or the request failed as a whole. */
  onEnd(error: StatorError | undefined): void;
}

/** A request that is under way, as its owner holds it. */
export interface Forwarded {
  /** The client left: the worker is told so, and nothing more is heard. */
  cancel(): void;
  /** The client takes answers again. */
  resume(): void;
}

/**
 * The way of tensors: past the link, as bytes, to the workers of models that only they can read. The sink hears all that
 * follows, from the end of the turn on, and what is wrong as well.
 */
export interface Forwarding {
  /** Whether requests for this name go this way. */
  takes(model: string): boolean;
  /** Places a request, sends it and tells its answers. */
  infer(ask: ForwardAsk, sink: ForwardSink): Forwarded;
  /** Asks a worker of the model; the bytes are a request and an answer of the method. Throws what is wrong. */
  ask(method: "modelMetadata" | "modelConfig", model: string, bytes: Uint8Array): Promise<Uint8Array>;
}

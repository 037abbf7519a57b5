import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import type { StatorError } from "#lib/base/errors";
import type { ByteTransport } from "#lib/rpc/transport";
import type { Placement } from "#lib/serving/answer";
import type { Ask } from "#lib/serving/ask";

/** Where a request of tensors runs. */
export interface TensorPlace extends Placement {
  /** The way to whoever answers for the worker. Borrowed, and shared by all requests that go there. */
  readonly transport: ByteTransport;
  /** What its deadline leaves, in milliseconds; undefined: as long as it takes. */
  readonly timeoutMs: number | undefined;
  /** Trace context that the worker goes on; undefined: none. */
  readonly traceparent: string | undefined;
}

/** Who has the tensors of a request. Nothing is called from inside `startTensor`, and nothing after `onOver`. */
export interface TensorSink {
  /** Send them there, and tell the handle what comes of it. Once: what may have run somewhere runs nowhere else. */
  onPlaced(place: TensorPlace): void;
  /**
   * It is over and its record is written: as the handle was told, or, with an error, because nobody could take it, its
   * deadline passed or this process ends. What is still open at the worker is to be ended.
   */
  onOver(error: StatorError | undefined): void;
}

/** A running request of tensors, as whoever has them holds it. All but the first call after its end do nothing. */
export interface TensorHandle {
  /** The first of its answers came. */
  answered(): void;
  /** Its worker answered all of it, or ended with an error: `onOver` follows with that. */
  finished(error?: StatorError): void;
  /** The client left: nothing more is told. */
  cancel(): void;
}

/** A worker that answers tensors now. */
export interface TensorWorker {
  /** Its record. Borrowed. */
  readonly instance: InstanceRecord;
  /** The way to whoever answers for it. Borrowed. */
  readonly transport: ByteTransport;
}

/** Places requests whose payload goes past the links: as any other request, by the same router, into the same ledger. */
export interface TensorDispatcher {
  /**
   * Starts an ask of kind `tensor`; keeps it. The sink hears all that follows, from the end of this turn on: errors of
   * `Dispatcher.start` too. Throws what `tensorAsk` does, and UNSUPPORTED_FEATURE for a model that takes no tensors.
   */
  startTensor(ask: Ask<unknown>, sink: TensorSink): TensorHandle;
  /** Workers that answer tensors now, in order of instance id; of one model those that serve it. Nothing is counted or noted. */
  tensorWorkers(model?: string): readonly TensorWorker[];
}

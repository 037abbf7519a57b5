import { printId } from "#lib/base/bytes";
import type { StatorError } from "#lib/base/errors";
import type { TensorDispatcher, TensorHandle, TensorPlace, TensorSink } from "#lib/dispatch/tensor-dispatcher";
import type { Span, Tracer } from "#lib/host/telemetry";

/** Makes one span for each request of tensors, as `createTracedDispatcher` does for the others, and hands it to the workers. */
export function createTracedTensors(inner: TensorDispatcher, tracer: Tracer): TensorDispatcher {
  return {
    startTensor(ask, sink) {
      const span = tracer.start(`stator.${ask.route}`, ask.traceparent);
      span.set("stator.request_id", ask.requestId);
      span.set("stator.model", ask.model);
      try {
        const watched = new WatchedSink(sink, span);
        return new TracedHandle(inner.startTensor({ ...ask, traceparent: span.traceparent }, watched), span);
      } catch (error) {
        span.end(error instanceof Error ? error.name : "failed");
        throw error;
      }
    },
    tensorWorkers: (model) => inner.tensorWorkers(model),
  };
}

class TracedHandle implements TensorHandle {
  readonly #inner: TensorHandle;
  readonly #span: Span;

  constructor(inner: TensorHandle, span: Span) {
    this.#inner = inner;
    this.#span = span;
  }

  answered(): void {
    this.#inner.answered();
  }

  finished(error?: StatorError): void {
    this.#inner.finished(error);
  }

  cancel(): void {
    this.#span.end("CANCELLED");
    this.#inner.cancel();
  }
}

class WatchedSink implements TensorSink {
  readonly #sink: TensorSink;
  readonly #span: Span;

  constructor(sink: TensorSink, span: Span) {
    this.#sink = sink;
    this.#span = span;
  }

  onPlaced(place: TensorPlace): void {
    this.#span.set("stator.worker", printId(place.worker));
    this.#span.set("stator.attempt", place.attempt);
    this.#sink.onPlaced(place);
  }

  onOver(error: StatorError | undefined): void {
    this.#span.end(error?.reason);
    this.#sink.onOver(error);
  }
}

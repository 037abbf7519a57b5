import { printId } from "#lib/base/bytes";
import type { Span, Tracer } from "#lib/host/telemetry";
import type { Usage } from "#lib/serving/answer";
import type { Dispatcher, ServingHandle, ServingSink } from "#lib/serving/dispatcher";

/** A dispatcher that makes one span for each request, under the client's trace context, and hands it to the workers. */
export function createTracedDispatcher(inner: Dispatcher, tracer: Tracer): Dispatcher {
  return {
    start(request, sink) {
      const span = tracer.start(`stator.${request.route}`, request.traceparent);
      span.set("stator.request_id", request.requestId);
      span.set("stator.model", request.model);
      try {
        return new TracedHandle(inner.start({ ...request, traceparent: span.traceparent }, watched(sink, span)), span);
      } catch (error) {
        span.end(error instanceof Error ? error.name : "failed");
        throw error;
      }
    },
  };
}

/**
 * A request whose span ends with it. A class and not an object with a getter: V8 makes each such object's getter part of
 * a map of its own, in old memory, by which the whole request lives until the next large collection.
 */
class TracedHandle implements ServingHandle {
  readonly #inner: ServingHandle;
  readonly #span: Span;

  constructor(inner: ServingHandle, span: Span) {
    this.#inner = inner;
    this.#span = span;
  }

  get usage(): Usage {
    return this.#inner.usage;
  }

  cancel(): void {
    this.#span.end("CANCELLED");
    this.#inner.cancel();
  }

  finishChoice(choice: number, tokens: number): void {
    this.#inner.finishChoice(choice, tokens);
  }
}

function watched(sink: ServingSink, span: Span): ServingSink {
  return {
    onPlaced(placement) {
      span.set("stator.worker", printId(placement.worker));
      if (placement.leg) span.set(`stator.${placement.leg}_worker`, printId(placement.worker));
      span.set("stator.attempt", placement.attempt);
      span.set("stator.cached_tokens", placement.cachedTokens);
      sink.onPlaced(placement);
    },
    onTokens: (choice, tokens, logprobs) => sink.onTokens(choice, tokens, logprobs),
    onPromptLogprobs: (choice, position, logprobs) => sink.onPromptLogprobs?.(choice, position, logprobs),
    ...(sink.onText && { onText: (choice: number, text: string) => sink.onText?.(choice, text) }),
    onEmbedding: (choice, values) => sink.onEmbedding(choice, values),
    onEnd: (choice, end) => sink.onEnd(choice, end),
    onDone(usage) {
      span.end();
      sink.onDone(usage);
    },
    onError(error) {
      span.end(error.reason);
      sink.onError(error);
    },
  };
}

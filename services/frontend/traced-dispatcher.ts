import type { Span, Tracer } from "#lib/host/telemetry";
import type { Dispatcher, ServingSink } from "#lib/serving/dispatcher";

/** A dispatcher that makes one span for each request, under the client's trace context, and hands it to the workers. */
export function createTracedDispatcher(inner: Dispatcher, tracer: Tracer): Dispatcher {
  return {
    start(request, sink) {
      const span = tracer.start(`stator.${request.route}`, request.traceparent);
      span.set("stator.request_id", request.requestId);
      span.set("stator.model", request.model);
      try {
        const handle = inner.start({ ...request, traceparent: span.traceparent }, watched(sink, span));
        return {
          get usage() {
            return handle.usage;
          },
          cancel() {
            span.end("CANCELLED");
            handle.cancel();
          },
          finishChoice: (choice, tokens) => handle.finishChoice(choice, tokens),
        };
      } catch (error) {
        span.end(error instanceof Error ? error.name : "failed");
        throw error;
      }
    },
  };
}

function watched(sink: ServingSink, span: Span): ServingSink {
  return {
    onPlaced(placement) {
      span.set("stator.worker", placement.worker.toString(16).padStart(16, "0"));
      span.set("stator.attempt", placement.attempt);
      span.set("stator.cached_tokens", placement.cachedTokens);
      sink.onPlaced(placement);
    },
    onTokens: (choice, tokens, logprobs) => sink.onTokens(choice, tokens, logprobs),
    onPromptLogprobs: (choice, position, logprobs) => sink.onPromptLogprobs?.(choice, position, logprobs),
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

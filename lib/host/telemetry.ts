import type { Context, Span as OtelSpan, SpanContext } from "@opentelemetry/api";

/** One plane crossing of one request. */
export interface Span {
  /** W3C trace context to hand to the next process; undefined when nothing is traced. */
  readonly traceparent: string | undefined;
  /** Adds an attribute, by its OpenTelemetry name. */
  set(name: string, value: string | number | boolean): void;
  /** Ends the span; with a reason it is marked as failed. */
  end(failure?: string): void;
}

/** Makes spans: one per request and plane, never one per token. */
export interface Tracer {
  /** Starts a span under the caller's trace context, when that is well formed. */
  start(name: string, traceparent: string | undefined): Span;
  /** Sends what is left. */
  close(): Promise<void>;
}

/** Traces nothing and hands the caller's context on. */
export const noTracer: Tracer = {
  start: (_name, traceparent) => ({ traceparent, set() {}, end() {} }),
  close: async () => {},
};

/** Version, trace id, span id and flags of a W3C traceparent of version 00. */
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

function parseTraceparent(text: string | undefined): SpanContext | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(text ?? "") ?? [];
  if (!traceId || !spanId || !flags || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
}

function printTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

/**
 * A tracer that sends spans in batches to an OTLP/HTTP endpoint, such as http://127.0.0.1:4318/v1/traces. The libraries
 * are imported here only, so that a process without traces does not pay for them. A lost collector loses spans, nothing else.
 */
export async function openTracer(options: { endpoint: string; service: string; version: string }): Promise<Tracer> {
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/resources"),
  ]);
  const exporter = new OTLPTraceExporter({ url: options.endpoint });
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ "service.name": options.service, "service.version": options.version }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter, maxQueueSize: 4096 })],
    sampler: new sdk.ParentBasedSampler({ root: new sdk.AlwaysOnSampler() }),
  });
  const tracer = provider.getTracer("stator", options.version);
  const wrap = (span: OtelSpan): Span => ({
    traceparent: printTraceparent(span.spanContext()),
    set: (name, value) => void span.setAttribute(name, value),
    end(failure) {
      if (failure !== undefined) span.setStatus({ code: api.SpanStatusCode.ERROR, message: failure });
      span.end();
    },
  });
  return {
    start(name, traceparent) {
      const parent = parseTraceparent(traceparent);
      const context: Context = parent ? api.trace.setSpanContext(api.ROOT_CONTEXT, parent) : api.ROOT_CONTEXT;
      return wrap(tracer.startSpan(name, {}, context));
    },
    close: () => provider.shutdown(),
  };
}

import { noTracer, type Tracer } from "./telemetry.ts";

/** Which requests get a span now: whoever has it may turn it while the process runs. */
export interface TraceDial {
  /** None at all when false. */
  on: boolean;
  /** Of requests that bring no trace of their own one in so many, at least 1; those that bring one go on in it. */
  everyNth: number;
}

/** A tracer that makes spans as a dial says; for other requests the caller's context goes on untouched. It closes the inner one. */
export function createDialledTracer(inner: Tracer, dial: TraceDial): Tracer {
  let count = 0;
  const isWanted = (traceparent: string | undefined): boolean =>
    dial.on && (traceparent !== undefined || count++ % dial.everyNth === 0);
  return {
    start: (name, traceparent) => (isWanted(traceparent) ? inner : noTracer).start(name, traceparent),
    close: () => inner.close(),
  };
}

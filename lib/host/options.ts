import { choice, integer, type Options, text } from "#lib/base/option";
import { LOG_LEVELS } from "./log.ts";

/** What a process says of itself, and how. */
export const LOG_OPTIONS = {
  "log.level": choice({
    initial: "info",
    choices: LOG_LEVELS,
    placeholder: "LEVEL",
    doc: "Least important lines that are written.",
  }),
  "log.format": choice({
    initial: "auto",
    choices: ["auto", "json", "pretty"],
    placeholder: "NAME",
    doc: "JSON lines, or lines for a terminal.",
  }),
} as const satisfies Options;

/** Where traces go. */
export const TRACE_OPTIONS = {
  "trace.endpoint": text({
    initial: undefined,
    placeholder: "URL",
    doc: "OTLP/HTTP endpoint for one trace per request; none are made when absent.",
  }),
} as const satisfies Options;

/** Where probes and Prometheus ask a process that has no HTTP port. */
export const METRICS_OPTIONS = {
  "metrics.port": integer({
    initial: -1,
    least: -1,
    most: 65_535,
    placeholder: "PORT",
    doc: "HTTP port for /metrics, /live and /ready of a worker or hub, beside its gRPC port; -1 opens none.",
  }),
} as const satisfies Options;

/** What a process knows of its neighbours. */
export const MACHINE_OPTIONS = {
  "machine.workers": integer({
    initial: 1,
    least: 1,
    most: 1024,
    placeholder: "COUNT",
    doc: "Workers that share the cores and the memory of this machine, for what a worker chooses itself; `up` tells its own.",
  }),
} as const satisfies Options;

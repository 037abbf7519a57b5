import { choice, integer, MILLIS, type Options, PORT, text, type Values } from "#lib/base/option";
import { TEMPLATE_LIMITS } from "#lib/text/template";
import type { FrontendOptions } from "./frontend.ts";
import { DEFAULT_LIMITS } from "./limits.ts";

/** What is decided of the front door. */
export const HTTP_OPTIONS = {
  "http.host": text({
    initial: "127.0.0.1",
    placeholder: "HOST",
    doc: "Where the OpenAI API listens.",
    alike: "--http-host",
  }),
  "http.port": integer({
    initial: 8000,
    ...PORT,
    doc: "Port of the OpenAI API; 0 takes a free one.",
    alike: "--http-port",
  }),
  "http.max-body-bytes": integer({
    initial: DEFAULT_LIMITS.bodyBytes,
    least: 1024,
    most: 268_435_456,
    unit: "bytes",
    doc: "Longest request body.",
  }),
  "http.max-connections": integer({
    initial: DEFAULT_LIMITS.connections,
    least: 1,
    most: 1_000_000,
    placeholder: "COUNT",
    doc: "Open connections.",
  }),
  "http.max-requests": integer({
    initial: DEFAULT_LIMITS.concurrentRequests,
    least: 1,
    most: 1_000_000,
    placeholder: "COUNT",
    doc: "Requests in progress; one more is answered with 429.",
  }),
  "http.slow-client-ms": integer({
    initial: DEFAULT_LIMITS.slowClientMs,
    ...MILLIS,
    doc: "A client that does not take what waits for it in so long, and a second for each 4 KiB, is cut off.",
  }),
  "http.loading-ms": integer({
    initial: DEFAULT_LIMITS.loadingMs,
    least: 0,
    most: 86_400_000,
    unit: "ms",
    doc: "How long a request waits for a model that is loading before it gets 503; 0 answers at once.",
  }),
  "http.cors-origins": text({
    initial: undefined,
    placeholder: "ORIGINS",
    doc: "Origins whose web pages may call the API, with commas between them; * is every origin.",
  }),
} as const satisfies Options;

/** What is decided of the inference service at the gRPC port. */
export const INFERENCE_OPTIONS = {
  "inference.server-name": text({
    initial: "triton",
    placeholder: "NAME",
    doc: "What ServerMetadata calls the server: clients of Triton compare it. The version beside it is this program's.",
  }),
  "inference.max-streams": integer({
    initial: DEFAULT_LIMITS.streams,
    least: 1,
    most: 1_000_000,
    placeholder: "COUNT",
    doc: "Open calls of ModelStreamInfer; one more gets RESOURCE_EXHAUSTED.",
  }),
  "inference.max-stream-requests": integer({
    initial: DEFAULT_LIMITS.streamRequests,
    least: 1,
    most: 1_000_000,
    placeholder: "COUNT",
    doc: "Requests in progress on one call of ModelStreamInfer; what follows waits.",
  }),
} as const satisfies Options;

/** What is decided of tokenizers. */
export const TEXT_OPTIONS = {
  "tokenizer.engine": choice({
    initial: "auto",
    choices: ["auto", "native", "javascript"],
    placeholder: "NAME",
    doc: "What tokenizes: the addon when it is built, else JavaScript.",
  }),
  "template.max-steps": integer({
    initial: TEMPLATE_LIMITS.mostSteps,
    least: 1000,
    most: 1_000_000_000,
    unit: "steps",
    doc: "What one rendering of a chat template may go through: turns of loops, calls, items of filters.",
  }),
  "template.max-length": integer({
    initial: TEMPLATE_LIMITS.mostLength,
    least: 1024,
    most: 268_435_456,
    unit: "characters",
    doc: "Longest prompt that a chat template may write, and longest text on the way to it.",
  }),
  "template.max-ms": integer({
    initial: TEMPLATE_LIMITS.mostMs,
    ...MILLIS,
    doc: "How long one rendering of a chat template may take.",
  }),
  "tokenizer.cache-bytes": integer({
    initial: 8_388_608,
    least: 0,
    most: 4_294_967_296,
    unit: "bytes",
    doc: "Memory of each model for what was tokenized before: half of it for prompts, half for words. A conversation of 8,192 tokens takes about 90,000.",
  }),
} as const satisfies Options;

/** How the ports are opened as the options say. */
export function readHttpOptions(
  values: Values<typeof HTTP_OPTIONS & typeof INFERENCE_OPTIONS>,
): Pick<FrontendOptions, "host" | "port" | "corsOrigins" | "limits"> {
  return {
    host: values["http.host"],
    port: values["http.port"],
    corsOrigins: (values["http.cors-origins"] ?? "").split(/[\s,]+/).filter((origin) => origin !== ""),
    limits: {
      bodyBytes: values["http.max-body-bytes"],
      concurrentRequests: values["http.max-requests"],
      connections: values["http.max-connections"],
      slowClientMs: values["http.slow-client-ms"],
      loadingMs: values["http.loading-ms"],
      streams: values["inference.max-streams"],
      streamRequests: values["inference.max-stream-requests"],
    },
  };
}

import { parseSampling } from "#lib/base/sampling";
import {
  choice,
  decimal,
  flag,
  integer,
  integerOr,
  type OptionBase,
  type Options,
  text,
} from "#lib/host/config/option";
import { LOG_LEVELS } from "#lib/host/log";
import { modelOption } from "./model-entry.ts";

const PORT = { least: 0, most: 65_535 } as const;
const MILLIS = { unit: "ms", least: 1, most: 86_400_000 } as const;

/** A list of sampling values, which stays text until an engine is opened. */
function sampling(options: Parameters<typeof text>[0] & { initial: undefined }): OptionBase<string | undefined> {
  const parse = (given: string) => {
    const said = parseSampling(given);
    return "expected" in said ? said : given;
  };
  return { ...text(options), parse };
}

/** Every option of every command, by its key. */
export const OPTIONS = {
  config: text({ initial: undefined, placeholder: "FILE", doc: "YAML file with options by their keys." }),
  model: modelOption({
    doc: "GGUF file to serve; the demo model that ships when absent. `up` takes several, each with workers of its own.",
    alike: "--model-path",
  }),
  "model-name": text({
    initial: undefined,
    placeholder: "NAME",
    doc: "Name of the one model in the API; taken from the file when absent.",
    alike: "--served-model-name",
  }),
  "adapter-folder": text({
    initial: undefined,
    placeholder: "FOLDER",
    doc: "Folder of the LoRA adapters that openengine.v1 may load by path; none may be when absent.",
  }),
  engine: choice({
    initial: "llama",
    choices: ["llama", "mock"],
    doc: "Engine of a worker: llama computes, mock pretends.",
    placeholder: "NAME",
  }),
  "default-sampling": sampling({
    initial: undefined,
    placeholder: "LIST",
    doc: "How tokens are drawn for requests that do not say, such as temperature=0.7,top_p=0.9; before what the model's file says. none leaves the file's values out.",
    alike: "--override-generation-config",
  }),
  workers: integer({
    initial: 2,
    least: 1,
    most: 64,
    placeholder: "COUNT",
    doc: "Worker processes that `up` starts, shared out among the models: at least one each.",
  }),

  json: flag({ initial: false, doc: "Print JSON for programs in place of a table." }),
  system: text({
    initial: undefined,
    placeholder: "TEXT",
    doc: "What `chat` tells the model before the conversation.",
  }),
  temperature: decimal({
    initial: undefined,
    least: 0,
    most: 2,
    placeholder: "NUMBER",
    doc: "How freely `chat` has the model choose: 0 takes the most likely; the model's own when absent.",
  }),
  "max-tokens": integer({
    initial: undefined,
    least: 1,
    most: 1_000_000_000,
    unit: "tokens",
    doc: "Longest answer in `chat`; what the context has room for when absent.",
  }),

  "http.host": text({
    initial: "127.0.0.1",
    placeholder: "HOST",
    doc: "Where the OpenAI API listens.",
    alike: "--http-host",
  }),
  "http.port": integer({
    initial: 8000,
    ...PORT,
    placeholder: "PORT",
    doc: "Port of the OpenAI API; 0 takes a free one.",
    alike: "--http-port",
  }),
  "http.max-body-bytes": integer({
    initial: 8_388_608,
    least: 1024,
    most: 268_435_456,
    unit: "bytes",
    doc: "Longest request body.",
  }),
  "http.max-connections": integer({
    initial: 10_000,
    least: 1,
    most: 1_000_000,
    placeholder: "COUNT",
    doc: "Open connections.",
  }),
  "http.max-requests": integer({
    initial: 4096,
    least: 1,
    most: 1_000_000,
    placeholder: "COUNT",
    doc: "Requests in progress; one more is answered with 429.",
  }),
  "http.cors-origins": text({
    initial: undefined,
    placeholder: "ORIGINS",
    doc: "Origins whose web pages may call the API, with commas between them; * is every origin.",
  }),
  "http.slow-client-ms": integer({
    initial: 60_000,
    ...MILLIS,
    doc: "A client that does not take what waits for it in so long, and a second for each 4 KiB, is cut off.",
  }),
  "http.loading-ms": integer({
    initial: 60_000,
    least: 0,
    most: 86_400_000,
    unit: "ms",
    doc: "How long a request waits for a model that is loading before it gets 503; 0 answers at once.",
  }),
  "grpc.host": text({ initial: "127.0.0.1", placeholder: "HOST", doc: "Where a process listens for gRPC." }),
  "grpc.port": integer({
    initial: 0,
    ...PORT,
    placeholder: "PORT",
    doc: "gRPC port of this process; 0 takes a free one.",
  }),
  "metrics.port": integer({
    initial: -1,
    least: -1,
    most: 65_535,
    placeholder: "PORT",
    doc: "HTTP port for /metrics, /live and /ready of a worker or hub, beside its gRPC port; -1 opens none.",
  }),
  "advertise-host": text({
    initial: undefined,
    placeholder: "HOST",
    doc: "Host that others should dial, when it is not grpc.host.",
  }),

  discovery: text({
    initial: undefined,
    placeholder: "URL",
    doc: "Where processes find each other: hub://HOST:PORT, file:///DIR, etcd://HOST:PORT.",
    alike: "--discovery-backend",
  }),
  "lease-ms": integer({
    initial: 10_000,
    least: 1000,
    most: 600_000,
    unit: "ms",
    doc: "A process that is silent for so long is taken off the list.",
  }),
  "hub.host": text({ initial: "127.0.0.1", placeholder: "HOST", doc: "Where `hub` listens." }),
  "hub.port": integer({
    initial: 8005,
    ...PORT,
    placeholder: "PORT",
    doc: "Port of `hub`; under `up` a free one is taken.",
  }),

  "tls.cert": text({ initial: undefined, placeholder: "FILE", doc: "Certificate chain (PEM) of the gRPC ports." }),
  "tls.key": text({ initial: undefined, placeholder: "FILE", doc: "Private key (PEM) of the gRPC ports." }),
  "tls.ca": text({
    initial: undefined,
    placeholder: "FILE",
    doc: "Authorities (PEM) that peers must be signed by; with it both sides show a certificate.",
  }),
  "insecure-listen": flag({ initial: false, doc: "Allow listening beyond loopback without TLS." }),

  "router.mode": choice({
    initial: "power-of-two",
    choices: ["round-robin", "random", "power-of-two", "least-loaded", "direct"],
    placeholder: "NAME",
    doc: "How a worker is chosen for a request that names none.",
    alike: "--router-mode",
  }),
  "router.mismatch": choice({
    initial: "strict",
    choices: ["strict", "degrade"],
    placeholder: "NAME",
    doc: "A worker whose tokenizer, template or blocks differ from the model's set: refuse it, or serve without KV routing.",
  }),
  "migration.limit": integer({
    initial: 3,
    least: 0,
    most: 100,
    placeholder: "COUNT",
    doc: "Workers in a row on which a request may end without a token before it fails. 0: it never continues elsewhere.",
    alike: "--migration-limit",
  }),
  "watchdog.suspect-ms": integer({
    initial: 2000,
    ...MILLIS,
    doc: "A worker that does not answer a ping for so long is suspect.",
  }),
  "watchdog.stall-ms": integer({
    initial: 5000,
    ...MILLIS,
    doc: "A request without progress for so long (and 20 median steps) is moved.",
  }),
  "request.deadline-ms": integer({ initial: 600_000, ...MILLIS, doc: "Longest time for one request." }),
  "tokenizer.cache-bytes": integer({
    initial: 8_388_608,
    least: 0,
    most: 4_294_967_296,
    unit: "bytes",
    doc: "Memory for tokenized segments of each model; a conversation of 8,192 tokens takes about 130,000.",
  }),
  "tokenizer.engine": choice({
    initial: "auto",
    choices: ["auto", "native", "javascript"],
    placeholder: "NAME",
    doc: "What tokenizes: the addon when it is built, else JavaScript.",
  }),

  "llama.context-tokens": integerOr("auto", {
    least: 256,
    most: 16_777_216,
    placeholder: "TOKENS",
    doc: "Most tokens of one request, prompt and answer; auto takes the model's own length, shorter where less than eight sequences of it fit into a quarter of the worker's share of free memory.",
  }),
  "llama.exact": choice({
    initial: "auto",
    choices: ["auto", "on", "off"],
    placeholder: "WHEN",
    doc: "Exact mode: a request has one answer to the last bit, whatever runs beside it or ran before. auto: on a CPU, where a probe at load shows that it holds; on ends the worker where it does not; off is faster with K-quants.",
  }),
  "llama.max-running": integer({
    initial: 32,
    least: 1,
    most: 200,
    placeholder: "COUNT",
    doc: "Requests that run side by side.",
    alike: "--max-num-seqs",
  }),
  "llama.max-waiting": integer({
    initial: 1024,
    least: 1,
    most: 1_000_000,
    placeholder: "COUNT",
    doc: "Requests that may wait.",
  }),
  "llama.batch-tokens": integer({
    initial: 512,
    least: 32,
    most: 65_536,
    unit: "tokens",
    doc: "Most tokens in one engine step.",
    alike: "--max-num-batched-tokens",
  }),
  "llama.threads": integerOr("auto", {
    least: 1,
    most: 256,
    placeholder: "COUNT",
    doc: "Threads of the engine; auto shares the cores out among the workers, with one for every 256 MiB of weights at most. They spin: never all cores of a shared machine.",
  }),
  "machine.workers": integer({
    initial: 1,
    least: 1,
    most: 1024,
    placeholder: "COUNT",
    doc: "Workers that share the cores and the memory of this machine, for what a worker chooses itself; `up` tells its own.",
  }),
  "llama.gpu-layers": integer({
    initial: -1,
    least: -1,
    most: 100_000,
    placeholder: "COUNT",
    doc: "Layers put on a GPU; -1 puts all there when a back end for one loads.",
  }),
  "llama.kv-type": choice({
    initial: "f16",
    choices: ["f16", "q8_0", "q4_0"],
    placeholder: "NAME",
    doc: "Element type of the KV cache: q8_0 halves its memory, q4_0 takes a quarter; both change answers.",
  }),
  "mock.speed": decimal({
    initial: 1,
    least: 0,
    most: 1_000_000,
    placeholder: "FACTOR",
    doc: "How much faster than the modelled GPU the mock answers; 0 does not wait at all.",
    alike: "--speedup-ratio",
  }),
  "mock.max-running": integer({
    initial: 256,
    least: 1,
    most: 65_536,
    placeholder: "COUNT",
    doc: "Requests that a mock runs side by side.",
  }),
  "mock.total-blocks": integer({
    initial: 16_384,
    least: 16,
    most: 16_777_216,
    placeholder: "COUNT",
    doc: "KV blocks of a mock.",
    alike: "--num-gpu-blocks-override",
  }),
  "mock.context-tokens": integer({
    initial: 32_768,
    least: 16,
    most: 16_777_216,
    unit: "tokens",
    doc: "Longest context of a mock; never more than its blocks hold.",
    alike: "--max-model-len",
  }),
  "mock.step-tokens": integer({
    initial: 1,
    least: 1,
    most: 255,
    unit: "tokens",
    doc: "Tokens that a mock makes per request and step.",
  }),

  "drain-ms": integer({
    initial: 10_000,
    least: 0,
    most: 86_400_000,
    unit: "ms",
    doc: "Time to finish what runs before a process ends.",
  }),
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
  "trace.endpoint": text({
    initial: undefined,
    placeholder: "URL",
    doc: "OTLP/HTTP endpoint for one trace per request; none are made when absent.",
  }),
} as const satisfies Options;

/** Keys of the table. */
export type OptionKey = keyof typeof OPTIONS;

/** What an engine reads, of either kind. */
export const ENGINE_OPTIONS = [
  "model",
  "model-name",
  "default-sampling",
  "adapter-folder",
  "llama.context-tokens",
  "llama.exact",
  "llama.max-running",
  "llama.max-waiting",
  "llama.batch-tokens",
  "llama.threads",
  "llama.gpu-layers",
  "llama.kv-type",
  "mock.speed",
  "mock.max-running",
  "mock.total-blocks",
  "mock.context-tokens",
  "mock.step-tokens",
] as const satisfies readonly OptionKey[];

/** What the front door reads. */
export const FRONT_DOOR_OPTIONS = [
  "http.host",
  "http.port",
  "http.max-body-bytes",
  "http.max-connections",
  "http.max-requests",
  "http.slow-client-ms",
  "http.loading-ms",
  "http.cors-origins",
  "router.mode",
  "router.mismatch",
  "migration.limit",
  "watchdog.suspect-ms",
  "watchdog.stall-ms",
  "request.deadline-ms",
  "tokenizer.engine",
  "tokenizer.cache-bytes",
] as const satisfies readonly OptionKey[];

/** How gRPC ports prove themselves. */
export const TLS_OPTIONS = ["tls.cert", "tls.key", "tls.ca", "insecure-listen"] as const satisfies readonly OptionKey[];

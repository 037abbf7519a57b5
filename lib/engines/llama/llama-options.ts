import type { Clock } from "#lib/base/clock";
import { choice, integer, integerOr, type Options, type Values } from "#lib/base/option";
import type { SaidSampling } from "#lib/base/sampling";
import type { Log } from "#lib/host/log";
import type { KvType } from "#lib/native/context";

/** How a llama engine is opened. */
export interface LlamaEngineOptions {
  /** A GGUF file. */
  readonly modelPath: string;
  /** Served name; default: that of the file. */
  readonly model?: string;
  /** What an operator says about drawing, before the file. */
  readonly sampling?: SaidSampling;
  /** Of the engine above the library. */
  readonly clock: Clock;
  /** Told of what was chosen, and of the library's own lines. */
  readonly log: Log;
  /** Told how much of the model is loaded, 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
  /** Workers that share the machine, this one included; default 1. */
  readonly workers?: number;
  /**
   * Exact mode: every sequence has cells of its own, prompts are computed in whole chunks at fixed places and with plain
   * kernels, so that bits depend on nothing but the request. true throws UNSUPPORTED_FEATURE where a probe shows that this
   * does not hold. Default: on a CPU, where it holds.
   */
  readonly exact?: boolean;
  /** Cells of the KV cache over all sequences; default: as `chooseStreams` says, or `chooseContext` outside of exact mode. */
  readonly cacheTokens?: number;
  /**
   * Outside of exact mode: most tokens that stay in the cache when no request uses them. Every step attends over all cells
   * in use there, so a small model pays more for what is kept than it saves. Default: everything, but in small models on a
   * CPU what costs an eighth of a decode step.
   */
  readonly retainedTokens?: number;
  /** Most tokens of one sequence; default: what the model was trained for, at most what the cache has room for. */
  readonly contextTokens?: number;
  /** Tokens of a KV block; default 16. */
  readonly blockTokens?: number;
  /** Default 32; at most 128, so that slots remain for cached prefixes. */
  readonly maxRunning?: number;
  /** Default 1,024. */
  readonly maxWaiting?: number;
  /** Tokens of one step; default 512. */
  readonly maxBatchTokens?: number;
  /** Default: as `chooseThreads` says. */
  readonly threads?: number;
  /** Element type of keys and values alike; default f16. */
  readonly kvType?: KvType;
  /** Layers on a GPU; default: all when there is one, else none. */
  readonly gpuLayers?: number;
  /** Back ends to try in place of those that are installed; absolute paths. */
  readonly backends?: readonly string[];
  /** Aborts the load. */
  readonly signal?: AbortSignal;
}

/** What is decided for a llama engine. */
export const LLAMA_OPTIONS = {
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
  "llama.block-tokens": integer({
    initial: 16,
    least: 1,
    most: 4096,
    unit: "tokens",
    doc: "Tokens of a KV block. Workers of one model that differ in it are not compared by prefixes; they take each other's blocks where one length divides the other.",
    alike: "--block-size",
  }),
  "llama.threads": integerOr("auto", {
    least: 1,
    most: 256,
    placeholder: "COUNT",
    doc: "Threads of the engine; auto shares the cores out among the workers, with one for every 256 MiB of weights at most. They spin: never all cores of a shared machine.",
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
} as const satisfies Options;

/** A number that somebody said; undefined leaves it to the engine. */
function said(value: number | "auto"): number | undefined {
  return value === "auto" ? undefined : value;
}

/** How the engine is opened as the options say. */
export function readLlamaOptions(values: Values<typeof LLAMA_OPTIONS>): Partial<LlamaEngineOptions> {
  const gpuLayers = values["llama.gpu-layers"];
  return {
    contextTokens: said(values["llama.context-tokens"]),
    ...(values["llama.exact"] !== "auto" && { exact: values["llama.exact"] === "on" }),
    maxRunning: values["llama.max-running"],
    maxWaiting: values["llama.max-waiting"],
    maxBatchTokens: values["llama.batch-tokens"],
    blockTokens: values["llama.block-tokens"],
    threads: said(values["llama.threads"]),
    kvType: values["llama.kv-type"],
    gpuLayers: gpuLayers < 0 ? undefined : gpuLayers,
  };
}

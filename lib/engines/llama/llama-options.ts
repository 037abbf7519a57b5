import type { Clock } from "#lib/base/clock";
import type { SaidSampling } from "#lib/base/sampling";
import type { Log } from "#lib/host/log";
import type { KvType } from "#lib/native/context";

/** How a llama engine is opened. */
export interface LlamaEngineOptions {
  readonly modelPath: string;
  /** Served name; default: that of the file. */
  readonly model?: string;
  /** What an operator says about drawing, before the file. */
  readonly sampling?: SaidSampling;
  readonly clock: Clock;
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
  readonly blockTokens?: number;
  /** Default 32; at most 128, so that slots remain for cached prefixes. */
  readonly maxRunning?: number;
  /** Default 1,024. */
  readonly maxWaiting?: number;
  /** Tokens of one step; default 512. */
  readonly maxBatchTokens?: number;
  /** Default: as `chooseThreads` says. */
  readonly threads?: number;
  readonly kvType?: KvType;
  /** Layers on a GPU; default: all when there is one, else none. */
  readonly gpuLayers?: number;
  /** Back ends to try in place of those that are installed; absolute paths. */
  readonly backends?: readonly string[];
  /** Aborts the load. */
  readonly signal?: AbortSignal;
}

import { readMachine } from "#lib/host/machine";
import type { Model } from "#lib/native/llama";
import type { SchedulerOptions } from "../schedule/options.ts";
import { TILE_TOKENS } from "../schedule/options.ts";
import { SlotMap } from "../schedule/slots.ts";
import type { Choice } from "./choice.ts";
import { cellBytesOf, chooseContext } from "./choose-context.ts";
import { chooseSlots } from "./choose-slots.ts";
import { chooseStreams } from "./choose-streams.ts";
import { chooseThreads } from "./choose-threads.ts";
import type { LlamaEngineOptions } from "./llama-options.ts";

/** What the native context and the scheduler above it are opened with. */
export interface CachePlan {
  /** What the scheduler is measured by. */
  readonly scheduler: SchedulerOptions;
  /** As in `ContextOptions` of lib/native: of each sequence in exact mode, else of all. */
  readonly cellTokens: number;
  /** Slots of the native context. */
  readonly sequences: number;
  /** Memory of all cells. */
  readonly cacheBytes: number;
  /** What decided how much there is, as a phrase. */
  readonly why: string;
  /** What was chosen and why, for the log. */
  readonly said: Readonly<Record<string, Choice | number | string>>;
}

const MOST_RUNNING = 128;
const RETAINED_SHARE = 0.125;
const BATCH_TOKENS = 512;

/** Tokens of a whole chunk in exact mode: whole blocks, and no fewer than make the library attend in tiles. */
export function chunkTokensOf({ blockTokens = 16 }: LlamaEngineOptions): number {
  return Math.ceil(TILE_TOKENS / blockTokens) * blockTokens;
}

/** Threads of a worker, as somebody said or as suits the model. */
export function threadsOf({ threads, workers = 1 }: LlamaEngineOptions, model: Model): Choice {
  if (threads !== undefined) return { value: threads, why: "an option" };
  return chooseThreads({ cores: readMachine().cores, workers, weightBytes: model.sizeBytes });
}

/**
 * How many cached tokens a model can afford to attend over, from the count of operations per token: 2 per parameter, and 4
 * per cell, head dimension, head and layer. Where attending over the whole cache costs less than the weights do,
 * everything; in smaller models, what costs an eighth of the weights.
 */
function affordableTokens(model: Model, cells: number): number {
  const perCell = 4 * model.layers * model.heads * model.headDimK;
  const weights = 2 * model.parameters;
  return perCell * cells <= weights ? cells : Math.floor((RETAINED_SHARE * weights) / perCell);
}

function factsOf({ workers = 1, kvType = "f16" }: LlamaEngineOptions, model: Model) {
  const { availableBytes } = readMachine();
  return { trainedTokens: model.trainContextTokens, cellBytes: cellBytesOf(model, kvType), availableBytes, workers };
}

/** What both kinds of cache have. Of a prompt that is scored a chunk is computed in a step, each of its rows with logits. */
function common(options: LlamaEngineOptions) {
  const { blockTokens = 16, maxWaiting = 1024 } = options;
  const maxScoredTokens = chunkTokensOf(options);
  const steps = { maxScoredTokens, tokensPerStep: 1, outstandingSteps: 2, oneAdapterPerStep: true } as const;
  return { blockTokens, maxWaiting, ...steps };
}

/** A cache whose cells all sequences share. */
export function planShared(options: LlamaEngineOptions, model: Model, gpuLayers: number): CachePlan {
  const { maxBatchTokens = BATCH_TOKENS, maxRunning = 32, blockTokens = 16, cacheTokens, contextTokens } = options;
  const chosen = cacheTokens === undefined ? chooseContext(factsOf(options, model)) : undefined;
  const wanted = chosen ?? { value: cacheTokens ?? 0, why: "an option" };
  const cells = Math.max(wanted.value, cacheTokens === undefined ? (contextTokens ?? 0) : 0);
  const blocks = Math.max(1, Math.floor(cells / blockTokens));
  const cellTokens = blocks * blockTokens;
  const trained = model.trainContextTokens > 0 ? model.trainContextTokens : cellTokens;
  const batch = Math.min(maxBatchTokens, cellTokens);
  const retained = options.retainedTokens ?? (gpuLayers === 0 ? affordableTokens(model, cellTokens) : cellTokens);
  const slots = chooseSlots({ maxRunning: Math.min(maxRunning, MOST_RUNNING), vocabularySize: model.vocabSize });
  const scheduler: SchedulerOptions = {
    ...common(options),
    blocks,
    contextTokens: Math.min(contextTokens ?? trained, cellTokens),
    maxRunning: Math.min(maxRunning, MOST_RUNNING, batch),
    maxBatchTokens: batch,
    reusesPrefixes: !model.recurrent && !model.hybrid,
    maxCachedBlocks: Math.ceil(retained / blockTokens),
    chunkTokens: 0,
    space: (pool) => new SlotMap(pool, { slots: slots.value, blockTokens }),
  };
  const cacheBytes = cellTokens * factsOf(options, model).cellBytes;
  const said = { cells: { ...wanted, value: cells }, slots };
  return { scheduler, cellTokens, sequences: slots.value, cacheBytes, why: wanted.why, said };
}

/** A cache in which every sequence has cells of its own. */
export function planStreams(options: LlamaEngineOptions, model: Model): CachePlan {
  const { maxBatchTokens = BATCH_TOKENS, maxRunning = 32, blockTokens = 16 } = options;
  const chunkTokens = chunkTokensOf(options);
  const batch = Math.max(maxBatchTokens, 2 * chunkTokens);
  const running = Math.min(maxRunning, MOST_RUNNING, batch - chunkTokens);
  const streams = chooseStreams({
    ...factsOf(options, model),
    askedTokens: options.contextTokens,
    askedCells: options.cacheTokens,
    maxRunning: running,
    weightBytes: model.sizeBytes,
    blockTokens,
  });
  const { contextTokens, sequences, cacheBytes, why } = streams;
  // One block more than a sequence can fill: the account never runs out before the sequences do.
  const blocks = sequences * (Math.ceil(contextTokens / blockTokens) + 1);
  const scheduler: SchedulerOptions = {
    ...common(options),
    blocks,
    contextTokens,
    maxRunning: Math.min(running, sequences),
    maxBatchTokens: batch,
    reusesPrefixes: true,
    maxCachedBlocks: Number.POSITIVE_INFINITY,
    chunkTokens,
    space: (pool) => new SlotMap(pool, { slots: sequences, blockTokens, ownCells: true }),
  };
  const said = { sequences: { value: sequences, why }, cacheMiB: Math.round(cacheBytes / 2 ** 20) };
  return { scheduler, cellTokens: contextTokens, sequences, cacheBytes, why, said };
}

import { assert } from "#lib/base/errors";
import type { BlockPool } from "#lib/kv/block-pool";
import type { BlockChain } from "#lib/tokens/token-chain";
import type { GenerateRequest } from "../engine.ts";
import type { KvSpace } from "./space.ts";

/** From so many rows of one sequence on an engine may sum in another order than below. */
export const TILE_TOKENS = 64;

/**
 * When a request gets its blocks, and when others find them.
 * `ahead`: with its admission there are places for all that is known of it; a block is found when it has been computed, and
 * who needs blocks that another is computing waits for them.
 * `stepwise`: each step takes the places that it fills, and its blocks are found from its planning on, by others of the
 * same step too; a request is let in by the step that begins to compute it. So the reference's simulation does it. Only
 * for an executor without bytes, where nobody reads what is not there yet.
 */
export type Allocation = "ahead" | "stepwise";

/** What a scheduler is measured by; constant while it lives. */
export interface SchedulerOptions {
  /** KV blocks of the pool. */
  readonly blocks: number;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** Most tokens of one sequence, prompt and answer together; at most what the pool holds. */
  readonly contextTokens: number;
  /** Sequences that run side by side. */
  readonly maxRunning: number;
  /** Requests that may wait when no place to run is free; one more is refused. */
  readonly maxWaiting: number;
  /** Tokens computed in one step; at least `maxRunning`, so that every running sequence can decode. */
  readonly maxBatchTokens: number;
  /** Tokens of prompts whose log-probabilities one step gives, at least a chunk; 0 when the engine gives none. */
  readonly maxScoredTokens: number;
  /** Tokens that one entry draws in a step; 1 for a real engine. */
  readonly tokensPerStep: number;
  /**
   * Steps that one plan may stand for, 1 to 255, where they decode and nothing is to be decided between them: no sequence
   * ends or goes on into another block before the last of them. Only for an executor that ends early when something comes;
   * 1 unless given. Only with one token a step and one plan under way.
   */
  readonly stretchSteps?: number;
  /** Makes the blocks of a request that comes without known tokens; undefined: they are made of its tokens. */
  readonly chain?: ((request: GenerateRequest) => BlockChain) | undefined;
  /** Plans that are under way at a time: 2 keeps an engine busy while the results of the first are read. */
  readonly outstandingSteps: number;
  /** Whether all entries of a step must have the same adapter. */
  readonly oneAdapterPerStep: boolean;
  /** Whether blocks are kept for later requests; false for models whose state is not kept per token. */
  readonly reusesPrefixes: boolean;
  /** Most blocks that stay as cache when nobody uses them; blocks that were imported stay until their first use. */
  readonly maxCachedBlocks: number;
  /**
   * Tokens of a chunk: prompts are computed in whole chunks that begin at multiples of it, what is left of them and all
   * that is generated in entries of fewer than 64 tokens, and only whole chunks of prompts are kept. So bits do not
   * depend on what was cached, cut or preempted. A multiple of `blockTokens`, at least 64; 0: prompts are cut anywhere.
   */
  readonly chunkTokens: number;
  /** When requests get their blocks; `ahead` unless given. `stepwise` only with one plan under way, one token a step and prompts that are cut anywhere. */
  readonly allocation?: Allocation | undefined;
  /** Where KV lies. */
  readonly space: (pool: BlockPool) => KvSpace;
}

/** Holds what the options promise each other. */
export function checkSchedulerOptions(options: SchedulerOptions): void {
  const { blocks, blockTokens, contextTokens, maxRunning, maxBatchTokens } = options;
  assert(contextTokens > 1 && contextTokens <= blocks * blockTokens, "one sequence fits into the pool");
  assert(maxRunning > 0 && maxRunning <= maxBatchTokens, "every running sequence can decode in one step");
  assert(options.tokensPerStep >= 1 && options.tokensPerStep <= 255, "an entry draws 1 to 255 tokens");
  const { stretchSteps = 1 } = options;
  assert(stretchSteps >= 1 && stretchSteps <= 255, "a plan stands for 1 to 255 steps");
  const isStepped = options.tokensPerStep === 1 && options.outstandingSteps === 1;
  assert(stretchSteps === 1 || isStepped, "only steps that are known one by one are joined");
  assert(options.outstandingSteps >= 1, "at least one step is under way");
  const { chunkTokens, maxScoredTokens, allocation, oneAdapterPerStep } = options;
  const isPlain = isStepped && chunkTokens === 0 && !oneAdapterPerStep;
  assert(allocation !== "stepwise" || isPlain, "blocks come stepwise where steps are known one by one");
  assert(maxScoredTokens === 0 || maxScoredTokens >= chunkTokens, "the tokens of a chunk are scored in one step");
  if (chunkTokens === 0) return;
  assert(chunkTokens >= TILE_TOKENS && chunkTokens % blockTokens === 0, "a chunk is made of whole blocks");
  assert(maxRunning + chunkTokens <= maxBatchTokens, "a chunk fits beside all that decode");
}

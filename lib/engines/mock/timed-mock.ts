import type { Clock } from "#lib/base/clock";
import type { Log } from "#lib/host/log";
import type { TimePrior } from "#lib/perf/time-model";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import type { BlockChain } from "#lib/tokens/token-chain";
import type { EngineCapabilities, GenerateRequest, SizedCard } from "../engine.ts";
import type { SchedulerOptions } from "../schedule/options.ts";
import { pagedSpace } from "../schedule/space.ts";
import { ScheduledEngine } from "../scheduled-engine.ts";
import { TimedExecutor } from "./timed-executor.ts";

/** What a mock without bytes is made of. */
export interface TimedMockOptions {
  /** KV blocks of the pool. */
  readonly blocks: number;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** Longest prompt and answer together, at most what the pool holds. */
  readonly contextTokens: number;
  /** Sequences that run side by side. */
  readonly maxRunning: number;
  /** Requests that may wait beside them. */
  readonly maxWaiting: number;
  /** How long its passes take, and how many tokens one computes. */
  readonly times: TimePrior;
  /** As in SchedulerOptions; 0 unless given. */
  readonly chunkTokens?: number;
  /** Steps that one event may stand for, 1 to 255. */
  readonly stretchSteps: number;
  /** Steps begin at the end of a turn, so that all that comes at a moment shares one. */
  readonly startsNextTurn?: boolean;
  /** It gives blocks, counts passes and begins them as the reference's simulation of an engine does. */
  readonly likeReference?: boolean;
  /** Makes the blocks of a request. */
  readonly chain: (request: GenerateRequest) => BlockChain;
  /** Its time. */
  readonly clock: Clock;
  /** Told of what fails. */
  readonly log: Log;
}

const CAPABILITIES: EngineCapabilities = {
  ...{ generate: true, embed: false, grammar: false, logprobs: false, promptLogprobs: false, lora: false },
  ...{ kvBlocks: false, mock: true, embeddingSize: undefined, maxTopLogprobs: undefined },
  missing: {},
};

/** A mock whose answers are nothing but counted: an engine with the scheduler, the blocks and the times of one. */
export function createTimedMock(options: TimedMockOptions): {
  readonly engine: ScheduledEngine;
  readonly executor: TimedExecutor;
} {
  const { blocks, blockTokens, contextTokens, maxRunning, maxWaiting, times, stretchSteps, chain, clock, log } =
    options;
  const { chunkTokens = 0, likeReference = false, startsNextTurn = likeReference } = options;
  const scheduler: SchedulerOptions = {
    ...{ blocks, blockTokens, contextTokens, maxRunning, maxWaiting, stretchSteps, chain },
    maxBatchTokens: times.passTokens,
    maxScoredTokens: 0,
    tokensPerStep: 1,
    outstandingSteps: 1,
    oneAdapterPerStep: false,
    reusesPrefixes: true,
    maxCachedBlocks: blocks,
    chunkTokens,
    allocation: likeReference ? "stepwise" : "ahead",
    space: () => pagedSpace,
  };
  const card: SizedCard = {
    engine: "mock",
    software: { name: "stator-mock", version: "" },
    model: "stator-mock",
    ...{ contextTokens, blockTokens, reuseTokens: chunkTokens || blockTokens, totalBlocks: blocks },
    ...{ maxRunningRequests: maxRunning, maxWaitingRequests: maxWaiting },
    hashScheme: HASH_SCHEME,
    quantization: "none",
    modelDigest: new Uint8Array(0),
    input: "tokens",
    capabilities: CAPABILITIES,
    deterministic: "batch",
    defaultSampling: {},
    artifacts: [],
    layout: undefined,
    times,
    facts: [],
  };
  const executor = new TimedExecutor({ blocks, blockTokens, times, likeReference, clock });
  const nothing = new Uint8Array(0);
  const text = { vocabularySize: 2 ** 32, tokenize: () => new Uint32Array(0), piece: () => nothing };
  const engine = new ScheduledEngine({
    ...{ card, scheduler, executor, text, clock, log, startsNextTurn, embedTokens: 0 },
  });
  return { engine, executor };
}

import { createBytePairEncoder } from "#lib/text/byte-pair";
import type { GgufHeader } from "#lib/text/gguf";
import { createTokenizer, type Tokenizer } from "#lib/text/tokenizer";
import type { Vocabulary } from "#lib/text/vocabulary";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import { readDefaultSampling } from "../default-sampling.ts";
import type { EngineArtifact, EngineCapabilities, SizedCard, SizedEngine } from "../engine.ts";
import { countOf } from "../facts.ts";
import { readModelHeader, sha256, textArtifacts } from "../model-file.ts";
import type { SchedulerOptions } from "../schedule/options.ts";
import { pagedSpace } from "../schedule/space.ts";
import { ScheduledEngine } from "../scheduled-engine.ts";
import { CANDIDATES } from "./choose.ts";
import { mockLayout } from "./memory.ts";
import { MOCK_EMBEDDING_SIZE, MockExecutor } from "./mock-executor.ts";
import type { MockOptions } from "./mock-options.ts";
import { type MockTiming, timesOf } from "./timing.ts";
import { findWords, type MockWords } from "./words.ts";

/** Name under which a mock is served unless it is given another. */
export const MOCK_MODEL = "stator-mock";

/** What it makes up changes with it. */
const MOCK_VERSION = "1";
/** Tokens of prompts that are scored in one step: what they weigh in the message of a step stays small. */
const MOST_SCORED = 256;
const DEFAULT_TIMING: MockTiming = { kind: "polynomial", speedup: 1, decodeSpeedup: 1 };

const CAPABILITIES: EngineCapabilities = {
  generate: true,
  embed: true,
  grammar: false,
  logprobs: true,
  promptLogprobs: true,
  lora: true,
  kvBlocks: true,
  mock: true,
  embeddingSize: MOCK_EMBEDDING_SIZE,
  maxTopLogprobs: CANDIDATES,
  missing: { grammar: "the mock makes its text up and follows no grammar" },
};

/** What a mock borrows of a model's file. */
export interface MockModel {
  /** Metadata of the file that it borrows its text from. */
  readonly header: GgufHeader;
  /** Of that file. */
  readonly vocabulary: Vocabulary;
  /** What callers need to talk to it. */
  readonly artifacts: readonly EngineArtifact[];
  /** What it can say. */
  readonly words: MockWords;
}

/** Reads it once for any number of mocks. Throws FILE_NOT_FOUND or BAD_MODEL_FILE. */
export async function readMockModel(path: string): Promise<MockModel> {
  const header = await readModelHeader(path);
  const { vocabulary, artifacts } = textArtifacts(header);
  return { header, vocabulary, artifacts, words: findWords(vocabulary) };
}

/** Opens a mock: an engine that computes nothing real and says so. Throws FILE_NOT_FOUND or BAD_MODEL_FILE. */
export async function openMock(options: MockOptions): Promise<SizedEngine> {
  return createMock(await readMockModel(options.modelPath), options);
}

/** A mock over a model that has been read. */
export function createMock(model: MockModel, options: Omit<MockOptions, "modelPath">): SizedEngine {
  const { header, vocabulary, artifacts, words } = model;
  const { blockTokens = 16, blocks = 16_384, contextTokens = 32_768 } = options;
  const scheduler: SchedulerOptions = {
    blocks,
    blockTokens,
    contextTokens: Math.min(contextTokens, blocks * blockTokens),
    maxRunning: options.maxRunning ?? 256,
    maxWaiting: options.maxWaiting ?? 4096,
    maxBatchTokens: options.maxBatchTokens ?? 8192,
    maxScoredTokens: MOST_SCORED,
    tokensPerStep: options.instantTokens ?? 1,
    outstandingSteps: 1,
    oneAdapterPerStep: false,
    reusesPrefixes: true,
    maxCachedBlocks: blocks,
    chunkTokens: 0,
    space: () => pagedSpace,
  };
  const layout = mockLayout(blockTokens, options.blockOrder);
  const times = timesOf(options.timing ?? DEFAULT_TIMING, scheduler.maxBatchTokens);
  const card: SizedCard = {
    engine: "mock",
    software: { name: "stator-mock", version: MOCK_VERSION },
    model: options.model ?? MOCK_MODEL,
    contextTokens: scheduler.contextTokens,
    blockTokens,
    reuseTokens: blockTokens,
    totalBlocks: blocks,
    maxRunningRequests: scheduler.maxRunning,
    maxWaitingRequests: scheduler.maxWaiting,
    hashScheme: HASH_SCHEME,
    quantization: "none",
    modelDigest: sha256(`stator-mock-${MOCK_VERSION}`, artifacts[0]!.digest),
    input: "tokens",
    capabilities: CAPABILITIES,
    deterministic: "batch",
    defaultSampling: readDefaultSampling(header, options.sampling, options.log),
    artifacts,
    layout,
    times,
    facts: [
      { what: "engine", value: "mock", by: "it computes nothing and makes its text up" },
      { what: "context", value: countOf(scheduler.contextTokens, "tokens") },
      { what: "blocks", value: countOf(blocks, `of ${blockTokens} tokens`) },
    ],
  };
  const { clock, log, lateMs } = options;
  const executor = new MockExecutor({ blocks, blockTokens, layout, times, lateMs, clock, words });
  // The text side is made when somebody asks: most callers tokenize for themselves.
  let tokenizer: Tokenizer | undefined;
  const tokenize = (text: string) => {
    tokenizer ??= createTokenizer(vocabulary, { encoder: createBytePairEncoder(vocabulary) });
    return tokenizer.encode(text, { parseSpecial: true, addSpecial: true });
  };
  const { offsets, bytes } = words.pieces;
  const piece = (token: number) => bytes.subarray(offsets[token] ?? 0, offsets[token + 1] ?? 0);
  const text = { vocabularySize: vocabulary.size, tokenize, piece };
  return new ScheduledEngine({ card, scheduler, executor, text, clock, log, embedTokens: card.contextTokens });
}

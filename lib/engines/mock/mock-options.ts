import type { Clock } from "#lib/base/clock";
import { choice, decimal, integer, type Options, type Values } from "#lib/base/option";
import type { SaidSampling } from "#lib/base/sampling";
import type { Log } from "#lib/host/log";
import { BLOCK_ORDERS, type BlockOrder } from "#lib/kv/layout";
import type { MockTiming } from "./timing.ts";

/** How a mock is opened. Sizes that are left out are those of a large GPU. */
export interface MockOptions {
  /** GGUF file whose vocabulary and chat template it borrows; its weights are not read. */
  readonly modelPath: string;
  /** Served name; default stator-mock. */
  readonly model?: string;
  /** What an operator says about drawing, before the file. */
  readonly sampling?: SaidSampling;
  /** Its steps are timers of it. */
  readonly clock: Clock;
  /** Told of sampling defaults of the file that are left out. */
  readonly log: Log;
  /** Default: the reference's polynomial without speedup. */
  readonly timing?: MockTiming;
  /** How much longer a step takes than the timing says; asked once a step, and what it throws breaks the engine. */
  readonly lateMs?: () => number;
  /** Longest prompt and answer together, at most what the blocks hold; default 32,768. */
  readonly contextTokens?: number;
  /** Tokens of a KV block; default 16. What it says depends on it, unless it is a multiple of that. */
  readonly blockTokens?: number;
  /** How rows follow each other in blocks that leave and come; default by layer. */
  readonly blockOrder?: BlockOrder;
  /** KV blocks of the pool; default 16,384. */
  readonly blocks?: number;
  /** Requests that run side by side; default 256. */
  readonly maxRunning?: number;
  /** Requests that may wait; default 4,096. */
  readonly maxWaiting?: number;
  /** Tokens of one step; default 8,192. */
  readonly maxBatchTokens?: number;
  /** Tokens that each request draws in one step; default 1. */
  readonly instantTokens?: number;
}

/** What is decided for a mock. */
export const MOCK_OPTIONS = {
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
  "mock.block-tokens": integer({
    initial: 16,
    least: 1,
    most: 65_536,
    unit: "tokens",
    doc: "Tokens of a mock's KV block.",
    alike: "--block-size",
  }),
  "mock.block-order": choice({
    initial: "layer-kind",
    choices: BLOCK_ORDERS,
    doc: "How rows follow each other in a mock's KV blocks: by layer, or keys of all layers before all values.",
  }),
} as const satisfies Options;

/** How the mock is opened as the options say. */
export function readMockOptions(values: Values<typeof MOCK_OPTIONS>): Partial<MockOptions> {
  return {
    timing: { kind: "polynomial", speedup: values["mock.speed"], decodeSpeedup: 1 },
    blocks: values["mock.total-blocks"],
    contextTokens: values["mock.context-tokens"],
    maxRunning: values["mock.max-running"],
    instantTokens: values["mock.step-tokens"],
    blockTokens: values["mock.block-tokens"],
    blockOrder: values["mock.block-order"],
  };
}

import type { KvType } from "#lib/native/context";
import type { Choice } from "./choice.ts";

/** The shape of a model's cache. */
export interface CacheShape {
  /** Of the model; each keeps keys and values. */
  readonly layers: number;
  /** Heads that are kept: fewer than those that ask, with grouped-query attention. */
  readonly kvHeads: number;
  /** Values of one head's key. */
  readonly headDimK: number;
  /** Values of one head's value. */
  readonly headDimV: number;
}

/** What decides how many cells a worker's cache has. */
export interface ContextFacts {
  /** Longest text that the model was trained for, in tokens; 0 when the file does not say. */
  readonly trainedTokens: number;
  /** Of one cell over all layers. */
  readonly cellBytes: number;
  /** Memory that could be taken now. */
  readonly availableBytes: number;
  /** Workers that share it. */
  readonly workers: number;
}

/** Cells that a cache has at least where memory allows: several short conversations beside one another. */
const USUAL_CELLS = 8192;
/** Below it there is no conversation; whoever has less memory is told by the library that it does not fit. */
const LEAST_CELLS = 512;
/** Share of a worker's memory that the cache may take: the rest is for weights, steps and everybody else. */
const CACHE_SHARE = 0.25;
/** The library counts cells by these. */
export const CELL_UNIT = 256;

/** Bytes of one element by type; quantized ones come in blocks of 32 with a scale. */
const ELEMENT_BYTES: Readonly<Record<KvType, number>> = {
  f32: 4,
  f16: 2,
  bf16: 2,
  q8_0: 34 / 32,
  q5_1: 24 / 32,
  q5_0: 22 / 32,
  q4_1: 20 / 32,
  q4_0: 18 / 32,
  iq4_nl: 18 / 32,
};

/** Memory of one cell of the cache over all layers. */
export function cellBytesOf({ layers, kvHeads, headDimK, headDimV }: CacheShape, type: KvType): number {
  return layers * kvHeads * (headDimK + headDimV) * ELEMENT_BYTES[type];
}

/** Memory that one worker's cache may take, in bytes. */
export function cacheBudget({ availableBytes, workers }: Pick<ContextFacts, "availableBytes" | "workers">): number {
  return (CACHE_SHARE * availableBytes) / workers;
}

/** How many cells a worker's cache has: the model's own length, within what memory allows. */
export function chooseContext({ trainedTokens, cellBytes, ...facts }: ContextFacts): Choice {
  const wanted = Math.max(trainedTokens, USUAL_CELLS);
  const affordable = cellBytes > 0 ? cacheBudget(facts) / cellBytes : wanted;
  if (affordable >= wanted) {
    return { value: wanted, why: trainedTokens >= USUAL_CELLS ? "the model's own length" : "the usual" };
  }
  const value = Math.max(LEAST_CELLS, Math.floor(affordable / CELL_UNIT) * CELL_UNIT);
  return { value, why: "what memory allows" };
}

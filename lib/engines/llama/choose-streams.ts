import { CELL_UNIT, type ContextFacts, cacheBudget } from "./choose-context.ts";

/** What decides how long and how many the sequences of a cache are in which each has cells of its own. */
export interface StreamFacts extends ContextFacts {
  /** Longest sequence that somebody asked for, in tokens. */
  readonly askedTokens: number | undefined;
  /** Cells of all sequences that somebody asked for. */
  readonly askedCells: number | undefined;
  /** Requests that are to run side by side. */
  readonly maxRunning: number;
  /** Of the model's tensors. */
  readonly weightBytes: number;
  /** Tokens of a KV block. */
  readonly blockTokens: number;
}

/** Longest context, sequences and memory, which are chosen together. */
export interface Streams {
  /** Most tokens of one sequence. */
  readonly contextTokens: number;
  /** Cells that the library makes of it for each sequence. */
  readonly sequenceCells: number;
  /** At most twice those that are to run, at least 2. */
  readonly sequences: number;
  /** Of all cells. They are touched once at the start and given back until they are used. */
  readonly cacheBytes: number;
  /** What decided it, as a phrase. */
  readonly why: string;
}

/** A cache is as large as the weights at most, and so large in small models. */
const USUAL_BYTES = 2 ** 30;
/** Sequences that a context is shortened for when nobody said how long it is to be. */
const WANTED_SEQUENCES = 8;
/** One that runs and one beside it: a row is never computed alone where that changes its sums. */
const LEAST_SEQUENCES = 2;
/** The library's own bound, less one. */
const MOST_SEQUENCES = 255;
const USUAL_TOKENS = 8192;
const LEAST_TOKENS = 496;

/** A sequence has one cell to spare, for a row that nobody reads. */
function cellsFor(tokens: number): number {
  return Math.ceil((tokens + 1) / CELL_UNIT) * CELL_UNIT;
}

function longestWithin(cells: number, blockTokens: number): number {
  return Math.max(LEAST_TOKENS, Math.floor(cells / CELL_UNIT) * CELL_UNIT - blockTokens);
}

/**
 * Divides the memory for a cache among sequences: as long as the model was trained for while eight of them fit, else
 * shorter; as many as twice those that run, so that a prefix stays for each, but no more than fit.
 */
export function chooseStreams(facts: StreamFacts): Streams {
  const { trainedTokens, cellBytes, askedTokens, askedCells, maxRunning, blockTokens } = facts;
  const bytes = Math.min(cacheBudget(facts), Math.max(USUAL_BYTES, facts.weightBytes));
  const cells = askedCells ?? (cellBytes > 0 ? Math.floor(bytes / cellBytes) : Number.POSITIVE_INFINITY);
  const trained = trainedTokens > 0 ? trainedTokens : USUAL_TOKENS;
  const share = longestWithin(cells / Math.min(WANTED_SEQUENCES, maxRunning), blockTokens);
  const contextTokens = Math.min(trained, askedTokens ?? (askedCells === undefined ? share : askedCells));
  const sequenceCells = cellsFor(contextTokens);
  const wanted = Math.min(2 * maxRunning, MOST_SEQUENCES);
  const sequences = Math.max(LEAST_SEQUENCES, Math.min(wanted, Math.floor(cells / sequenceCells)));
  const isShort = askedTokens === undefined && contextTokens < trained;
  const isFew = sequences < wanted;
  const limit = askedCells === undefined ? "what memory allows" : "an option";
  return {
    contextTokens,
    sequenceCells,
    sequences,
    cacheBytes: sequences * sequenceCells * cellBytes,
    why: isShort || isFew ? limit : askedTokens === undefined ? "the model's own length" : "an option",
  };
}

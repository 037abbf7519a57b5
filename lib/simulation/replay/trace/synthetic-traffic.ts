import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import type { TraceRow } from "../trace-row.ts";
import { drawGamma, drawWhole, endsOf, type Spread } from "./draw.ts";

/** Traffic that nobody had: what its prompts share, how long they are and when they come. */
export interface TrafficOptions {
  /** Of every draw. */
  readonly seed: bigint;
  /** Tokens of a block of the trace: what prompts share is rounded down to these. */
  readonly blockTokens: number;
  /** Groups of prompts that begin alike, at least 1. */
  readonly groups: number;
  /** Prompts of each group, or sessions where they have turns; they come in an order that is drawn. */
  readonly promptsPerGroup: number;
  /** Which part of a prompt is the beginning that its group shares, 0 to 1. */
  readonly sharedRatio: number;
  /** Tokens of a prompt, at least 1. */
  readonly inputTokens: Spread;
  /** Tokens of an answer, at least 1. */
  readonly outputTokens: Spread;
  /** Prompts, or sessions, that come in a second; above 0. */
  readonly perSecond: number;
  /** How much the times between them vary, deviation over mean: 0 comes evenly, 1 as Poisson has it, more in bursts. 1 where absent. */
  readonly variation?: number;
  /** What sessions are like; every prompt stands alone where absent. */
  readonly sessions?: {
    /** Requests of a session, at least 1. */
    readonly turns: Spread;
    /** Tokens that each turn after the first adds, at least 1. */
    readonly turnTokens: Spread;
    /** From the end of an answer to the next turn. */
    readonly delayMs: Spread;
  };
}

/** 128 groups of 32 prompts that share their first half, 512 to 8,192 tokens long, 12 in a second, with short answers. */
export const GROUPED_TRAFFIC: Omit<TrafficOptions, "seed" | "blockTokens"> = {
  groups: 128,
  promptsPerGroup: 32,
  sharedRatio: 0.5,
  inputTokens: { least: 512, most: 8192 },
  outputTokens: 4,
  perSecond: 12,
};

/** More tokens than any model takes, as of a trace that is read. */
const MOST_TOKENS = 2 ** 24;

/** Each name has room for so many rows and groups. */
const MOST_ROWS = 2 ** 30;

/**
 * Rows of made-up traffic, each when it is asked for; the same options have the same rows. The turns of a session stand one
 * below the other, in delta form: the first has a timestamp, and the others a delay. Throws INVALID_ARGUMENT.
 */
export function syntheticTraffic(options: TrafficOptions): Iterable<TraceRow> {
  checkTraffic(options);
  return { [Symbol.iterator]: () => rowsOf(options) };
}

function* rowsOf(options: TrafficOptions): Generator<TraceRow> {
  const { seed, perSecond, variation = 1 } = options;
  // Each has draws of its own: when requests come has no say in what they are.
  const base = new SeededChance(seed);
  const [times, order, shapes] = [base.id(), base.id(), base.id()].map((own) => new SeededChance(own));
  let index = 0;
  let atMs = 0;
  for (const group of groupsOf(options, order!)) {
    for (const row of turnsOf(options, shapes!, { group, index, atMs })) {
      yield row;
      index++;
    }
    atMs += (1000 / perSecond) * drawGamma(times!, variation);
  }
}

/** The group of every prompt: all orders of all prompts are as likely. What is left of groups is summed in a tree. */
function* groupsOf({ groups, promptsPerGroup }: TrafficOptions, chance: Chance): Generator<number> {
  const leaves = 2 ** Math.ceil(Math.log2(groups));
  const left = new Uint32Array(2 * leaves).fill(promptsPerGroup, leaves, leaves + groups);
  for (let node = leaves - 1; node > 0; node--) left[node] = left[2 * node]! + left[2 * node + 1]!;
  for (let total = groups * promptsPerGroup; total > 0; total--) {
    let place = pick(chance, total);
    let node = 1;
    while (node < leaves) {
      node *= 2;
      if (place >= left[node]!) place -= left[node++]!;
    }
    yield node - leaves;
    for (; node > 0; node >>= 1) left[node]!--;
  }
}

interface Place {
  readonly group: number;
  readonly index: number;
  readonly atMs: number;
}

function* turnsOf(options: TrafficOptions, chance: Chance, { group, index: first, atMs }: Place): Generator<TraceRow> {
  const { blockTokens, sharedRatio, sessions } = options;
  const turns = sessions ? drawWhole(chance, sessions.turns) : 1;
  for (let turn = 0; turn < turns; turn++) {
    const index = first + turn;
    const isLater = sessions !== undefined && turn > 0;
    const inputTokens = drawWhole(chance, isLater ? sessions.turnTokens : options.inputTokens);
    const sharedBlocks = isLater ? 0 : Math.floor((inputTokens * sharedRatio) / blockTokens);
    yield {
      index,
      atMs: isLater ? undefined : atMs,
      inputTokens,
      outputTokens: drawWhole(chance, options.outputTokens),
      names: namesOf(Math.ceil(inputTokens / blockTokens), { group, index, sharedBlocks }),
      session: sessions ? `session ${first}` : undefined,
      delayMs: isLater ? drawWhole(chance, sessions.delayMs) : undefined,
      priority: 0,
      isDelta: sessions !== undefined,
      ...(sessions && { isLastTurn: turn === turns - 1 }),
    };
  }
}

/** Names of a row's blocks: its place in the prompt, and whose block it is, the group's or the row's own. Below those of answers. */
function namesOf(
  count: number,
  { group, index, sharedBlocks }: { readonly group: number; readonly index: number; readonly sharedBlocks: number },
): BigUint64Array {
  const names = new BigUint64Array(count);
  const words = new Uint32Array(names.buffer);
  for (let block = 0; block < count; block++) {
    words[2 * block] = block;
    words[2 * block + 1] = block < sharedBlocks ? group : MOST_ROWS + index;
  }
  return names;
}

function checkTraffic(options: TrafficOptions): void {
  const { blockTokens, groups, promptsPerGroup, sharedRatio, perSecond, variation = 1, sessions } = options;
  checkWhole("blockTokens", blockTokens, MOST_TOKENS);
  checkWhole("groups", groups, MOST_ROWS);
  checkWhole("promptsPerGroup", promptsPerGroup, MOST_ROWS);
  const mostTurns = sessions ? endsOf(sessions.turns).most : 1;
  checkWhole("groups, promptsPerGroup and turns together", groups * promptsPerGroup * mostTurns, MOST_ROWS);
  if (!(sharedRatio >= 0 && sharedRatio <= 1)) throw wrong("sharedRatio", sharedRatio, "from 0 to 1");
  if (!(perSecond > 0 && perSecond < Number.POSITIVE_INFINITY)) throw wrong("perSecond", perSecond, "above 0");
  if (!(variation >= 0 && variation <= 100)) throw wrong("variation", variation, "from 0 to 100");
  checkSpread("inputTokens", options.inputTokens, 1);
  checkSpread("outputTokens", options.outputTokens, 1);
  if (!sessions) return;
  checkSpread("turns", sessions.turns, 1);
  checkSpread("turnTokens", sessions.turnTokens, 1);
  checkSpread("delayMs", sessions.delayMs, 0);
}

function checkWhole(name: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw wrong(name, value, `a whole number from 1 to ${most}`);
}

function checkSpread(name: string, spread: Spread, floor: number): void {
  const { least, most } = endsOf(spread);
  const ceiling = name === "delayMs" ? Number.MAX_SAFE_INTEGER : MOST_TOKENS;
  for (const [end, value] of Object.entries({ least, most })) {
    if (!Number.isInteger(value) || value < floor || value > ceiling) {
      throw wrong(`${name}, ${end}`, value, `a whole number from ${floor} to ${ceiling}`);
    }
  }
  if (least > most) throw wrong(`${name}, least`, least, `at most ${most}`);
  if (typeof spread === "number" || !("median" in spread)) return;
  if (!(spread.median > 0)) throw wrong(`${name}, median`, spread.median, "above 0");
  if (!(spread.sigma >= 0 && spread.sigma <= 10)) throw wrong(`${name}, sigma`, spread.sigma, "from 0 to 10");
}

function wrong(name: string, value: number, must: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: `Of made-up traffic ${name} must be ${must}, not ${value}` });
}

import type { TimePrior as WireTimes } from "#gen/stator/discovery/v1/discovery_pb";
import type { CapturedPrompt, CapturedDecision as WireDecision } from "#gen/stator/router/v1/router_pb";
import { parseId, printId, readF64, readU64 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { TimePrior } from "#lib/perf/time-model";
import { NO_TIME } from "#lib/perf/time-prior";
import type { CapturedDecision } from "#lib/routing/capture/captured-decision";
import { COLUMNS } from "#lib/routing/rules/candidates";
import { RULE_NAMES, type RuleName } from "#lib/routing/rules/table";
import { xxh3 } from "#lib/tokens/xxh3";
import type { Name, Names } from "./names.ts";

/** What a line of a captured trace says beside what every trace of its kind says. */
export interface RouteNotes {
  /** Served model or adapter. */
  readonly model: string;
  /** Where it was placed first. */
  readonly worker: string;
  /** Data-parallel rank there. */
  readonly rank: number;
  /** The rule by which costs were. */
  readonly rule: string;
  /** Foreseen time to the first token, in ms. */
  readonly predicted_ms?: number;
  /** The time that it took. */
  readonly seen_ms?: number;
  /** Tokens of the prompt that were foreseen in the worker's cache. */
  readonly predicted_tokens?: number;
  /** Those that were found there. */
  readonly seen_tokens?: number;
  /** How long it had waited for a worker before, in ms; absent for less than one. */
  readonly waited_ms?: number;
  /** How often it was placed again; absent for never. */
  readonly moves?: number;
  /** What the decision was made from, where that was captured. */
  readonly decision?: DecisionNotes;
}

/** A decision in a line. What is 0 everywhere is not there. */
export interface DecisionNotes {
  /** As in RuleAsk. */
  readonly block_tokens: number;
  /** As in RuleAsk. */
  readonly turn: number;
  /** As in RuleAsk. */
  readonly answer_tokens: number;
  /** Hash of the session as the rule saw it; only where the rule goes by it, since who guesses a session finds its hash. */
  readonly session?: string;
  /** What was drawn. */
  readonly draws?: readonly number[];
  /** The session decided. */
  readonly held?: true;
  /** Instances of the candidates. */
  readonly workers: readonly string[];
  /** What was known of them, by the name of the column. */
  readonly columns: Readonly<Record<string, readonly number[]>>;
  /** How long passes take: parts that are not 0. */
  readonly times: readonly Partial<TimePrior>[];
  /** Of each candidate, the place of its times. */
  readonly times_of: readonly number[];
  /** Place of the chosen one. */
  readonly chosen: number;
}

/** A line of a captured trace: a row of a Mooncake trace, and what the router knew of it. */
export interface CapturedRow {
  /** When it came, in ms since the capture began. */
  readonly timestamp: number;
  /** Tokens of the prompt. */
  readonly input_length: number;
  /** Tokens of the answer; 1 for one that its first token ended. */
  readonly output_length: number;
  /** One for each block of the prompt, the last of which may be partial. */
  readonly hash_ids: readonly Name[];
  /** Absent where the request named none. */
  readonly session_id?: string;
  /** Higher was more urgent. */
  readonly priority: number;
  /** What the router knew of it. */
  readonly stator: RouteNotes;
}

/** The rows of a prompt: one for each choice that has an answer. The decision stands in the first. */
export function rowsOf(prompt: CapturedPrompt, blockTokens: number, names: Names): CapturedRow[] {
  const { atMs, promptTokens, answerTokens, priority, session, sequenceHashes, weights } = prompt;
  const hashes = [...readU64(sequenceHashes)].map((hash) => names.block(weights, hash));
  const isPartial = promptTokens > hashes.length * blockTokens;
  return answerTokens
    .filter((tokens) => tokens > 0)
    .map((tokens, at) => ({
      timestamp: rounded(atMs),
      input_length: promptTokens,
      output_length: tokens,
      hash_ids: isPartial ? [...hashes, names.lone()] : hashes,
      ...(session !== undefined && { session_id: names.session(session) }),
      priority,
      stator: notesOf(prompt, at === 0),
    }));
}

function notesOf(prompt: CapturedPrompt, isFirst: boolean): RouteNotes {
  const { model, worker, rank, rule, predicted, seen, waitedMs, moves, decision, session } = prompt;
  const told = {
    predicted_ms: predicted?.firstTokenMs,
    seen_ms: seen?.firstTokenMs,
    predicted_tokens: predicted?.cachedTokens,
    seen_tokens: seen?.cachedTokens,
    waited_ms: waitedMs >= 1 ? waitedMs : undefined,
    moves: moves > 0 ? moves : undefined,
  };
  const known = Object.entries(told).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return {
    ...{ model, worker: printId(worker), rank, rule },
    ...Object.fromEntries(known.map(([name, value]) => [name, rounded(value)])),
    ...(decision && isFirst && { decision: printDecision(decision, rule === "session" ? session : undefined) }),
  };
}

/** Microseconds are as much as anybody reads. */
function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

function printDecision(wire: WireDecision, session: bigint | undefined): DecisionNotes {
  const { blockTokens, turn, answerTokens, held, times, timesOf, chosen } = wire;
  const workers = [...readU64(wire.workers)].map(printId);
  const draws = [...readF64(wire.draws)];
  return {
    block_tokens: blockTokens,
    turn: Number(turn),
    answer_tokens: answerTokens,
    ...(session !== undefined && { session: printId(session) }),
    ...(draws.length > 0 && { draws }),
    ...(held && { held }),
    workers,
    columns: printColumns(readF64(wire.columns), workers.length),
    ...printTimes(times, timesOf),
    chosen,
  };
}

/** Equal times of different workers stand there once. */
function printTimes(
  times: readonly WireTimes[],
  timesOf: readonly number[],
): Pick<DecisionNotes, "times" | "times_of"> {
  const different = new Map<string, number>();
  const places = times.map((each) => {
    const key = JSON.stringify(partsOf(each));
    const place = different.get(key) ?? different.size;
    different.set(key, place);
    return place;
  });
  const kept = [...different.keys()].map((key) => JSON.parse(key) as Partial<TimePrior>);
  return { times: kept, times_of: timesOf.map((at) => places[at] ?? 0) };
}

function printColumns(values: Float64Array, count: number): DecisionNotes["columns"] {
  const all = COLUMNS.map((name, at): [string, number[]] => [name, [...values.subarray(at * count, (at + 1) * count)]]);
  return Object.fromEntries(all.filter(([, column]) => column.some((value) => value !== 0)));
}

/** Parts of times that are not 0. */
export function partsOf(times: WireTimes): Partial<TimePrior> {
  const { $typeName: _, $unknown: __, ...parts } = times;
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== 0));
}

/** For a rule that did not see it, any hash of its name does. */
function sessionOf({ session }: DecisionNotes, name: string | undefined): bigint | undefined {
  if (session !== undefined) return parseId(session);
  return name === undefined ? undefined : xxh3(new TextEncoder().encode(name));
}

/** Reads the decision of a line again; undefined where it has none. Throws CORRUPT for one that cannot be. */
export function parseDecision({ input_length, session_id, stator }: CapturedRow): CapturedDecision | undefined {
  const { decision, rule } = stator;
  if (!decision) return undefined;
  const { workers, columns, times, times_of, chosen } = decision;
  const count = workers.length;
  const isTable =
    RULE_NAMES.some((name) => name === rule) &&
    Object.values(columns).every(({ length }) => length === count) &&
    times_of.length === count &&
    times_of.every((place) => times[place] !== undefined) &&
    workers[chosen] !== undefined;
  if (!isTable) throw new StatorError("CORRUPT", { what: "A decision", detail: "its columns do not fit together" });
  const values = new Float64Array(COLUMNS.length * count);
  for (const [at, name] of COLUMNS.entries()) values.set(columns[name] ?? [], at * count);
  return {
    rule: rule as RuleName,
    ask: {
      promptTokens: input_length,
      blockTokens: decision.block_tokens,
      session: sessionOf(decision, session_id),
      turn: decision.turn,
      answerTokens: decision.answer_tokens,
    },
    draws: Float64Array.from(decision.draws ?? []),
    isHeld: decision.held === true,
    workers: BigUint64Array.from(workers, (worker) => parseId(worker) ?? 0n),
    columns: values,
    times: times.map((parts) => ({ ...NO_TIME, ...parts })),
    timesOf: Uint32Array.from(times_of),
    chosen,
  };
}

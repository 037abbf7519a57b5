import type { HandOff, RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import { printId } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import type { Command } from "../command.ts";
import { askFrontend, OPERATOR_KEYS, OPERATOR_SAYS } from "../operators.ts";
import { type Column, printTable } from "../table.ts";

/** Requests that are shown unless it is said how many. */
const SHOWN = 20;
/** Most that a frontend tells of at once. */
const MOST = 1_000;

/** `stator requests`: what a running frontend answered last, and what took how long. */
export const requests: Command = {
  arguments: "[COUNT] [HOST:PORT]",
  help:
    "Of an answer in two parts PREFILL is the time from its arrival until its prompt was computed, TRANSFER the time from then\n" +
    "until the worker of the answer had its blocks, and DECODE what followed; RUNG is the way that blocks took, or why the\n" +
    "prompt was computed again. Prompts and answers are never told.",
  says: OPERATOR_SAYS,
  options: ["json", ...OPERATOR_KEYS],
  async run({ values, positional, print }) {
    const { limit, target } = readArguments(positional);
    const told = await askFrontend(values, (each, options) => each.listRequests({ limit }, options), target);
    const rows = told.requests.map(readRow);
    print(values.json ? JSON.stringify(rows, undefined, 2) : printTable(COLUMNS, rows));
    return 0;
  },
};

function readArguments(positional: readonly string[]): { limit: number; target: string | undefined } {
  const [first, second, ...more] = positional;
  const isCount = first !== undefined && !first.includes(":");
  const limit = isCount ? Number(first) : SHOWN;
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST || more.length > 0 || (second !== undefined && !isCount)) {
    const detail = `Say \`stator requests\`, or with a count of at most ${MOST}, and with HOST:PORT behind it.`;
    throw new StatorError("BAD_CONFIG", { detail });
  }
  return { limit, target: isCount ? second : first };
}

/** One request, as `--json` prints it. */
interface Row {
  readonly request: string;
  readonly arrived: string;
  readonly route: string;
  readonly model: string;
  /** Who ran it, in order. */
  readonly workers: readonly string[];
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly tokens: number;
  /** null where there was none. */
  readonly firstTokenMs: number | null;
  readonly totalMs: number;
  readonly migrations: number;
  readonly outcome: string;
  /** Row of the error table; empty when nothing failed. */
  readonly reason: string;
  /** Of an answer in two parts; null for one that a single worker made. */
  readonly handOff: HandOffRow | null;
}

/** The two parts of an answer, as `--json` prints them. */
interface HandOffRow {
  readonly prefillWorker: string;
  /** Empty when the second part did not come so far. */
  readonly decodeWorker: string;
  readonly prefillMs: number;
  /** null where nobody told. */
  readonly transferMs: number | null;
  /** What was left of the time; null while the time of the transfer is not known. */
  readonly decodeMs: number | null;
  readonly blocks: number;
  readonly bytes: number;
  readonly rung: string;
  /** Why the prompt, or some of it, was computed again; empty when it was not. */
  readonly recomputed: string;
}

const COLUMNS: readonly Column<Row>[] = [
  ["REQUEST", ({ request }) => request],
  ["AGE", ({ arrived }) => printAge(systemClock.unixMs() - Date.parse(arrived))],
  ["MODEL", ({ model }) => model],
  ["WORKERS", ({ workers }) => workers.join(" ")],
  ["PROMPT", ({ promptTokens }) => promptTokens],
  ["CACHED", ({ cachedTokens }) => cachedTokens],
  ["TOKENS", ({ tokens }) => tokens],
  ["FIRST TOKEN", ({ firstTokenMs }) => printMs(firstTokenMs)],
  ["PREFILL", ({ handOff }) => printMs(handOff?.prefillMs)],
  ["TRANSFER", ({ handOff }) => printMs(handOff?.transferMs)],
  ["DECODE", ({ handOff }) => printMs(handOff?.decodeMs)],
  ["RUNG", ({ handOff }) => (handOff ? printRung(handOff) : "")],
  ["TOTAL", ({ totalMs }) => printMs(totalMs)],
  ["OUTCOME", ({ outcome, reason }) => (reason === "" ? outcome : `${outcome}, ${reason}`)],
];

function readRow(record: RequestRecord): Row {
  const { requestId, arrivedUnixMs, completionTokens, firstTokenMs, handOff } = record;
  const { route, model, promptTokens, cachedTokens, totalMs, migrations, outcome, reason } = record;
  return {
    request: requestId,
    arrived: new Date(Number(arrivedUnixMs)).toISOString(),
    ...{ route, model, promptTokens, cachedTokens, totalMs, migrations, outcome, reason },
    workers: record.workers.map(printId),
    tokens: completionTokens,
    firstTokenMs: firstTokenMs ?? null,
    handOff: handOff ? readHandOff(handOff, totalMs) : null,
  };
}

function readHandOff(handOff: HandOff, totalMs: number): HandOffRow {
  const { prefillWorker, decodeWorker, prefillMs, transferMs, blocks, bytes, rung, reason } = handOff;
  return {
    prefillWorker: printId(prefillWorker),
    decodeWorker: decodeWorker === 0n ? "" : printId(decodeWorker),
    prefillMs,
    transferMs: transferMs ?? null,
    decodeMs: transferMs === undefined ? null : Math.max(0, totalMs - prefillMs - transferMs),
    blocks,
    bytes: Number(bytes),
    rung,
    recomputed: reason,
  };
}

function printRung({ rung, recomputed }: HandOffRow): string {
  return [rung, recomputed].filter((word) => word !== "").join(", ");
}

function printMs(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? "" : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function printAge(ms: number): string {
  return `${Math.max(0, Math.round(ms / 1_000))} s`;
}

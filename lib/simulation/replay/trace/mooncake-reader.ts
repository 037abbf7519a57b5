import { StatorError } from "#lib/base/errors";
import type { TraceRow } from "../trace-row.ts";
import { readBlockName } from "./block-name.ts";
import { repeatedField } from "./json-fields.ts";
import { readCaptured } from "./read-captured.ts";
import { checkFields, type TraceFormat } from "./trace-format.ts";

/** How the rows of a trace are to be read. */
export interface MooncakeOptions {
  /** What a row of a session holds. */
  readonly format: TraceFormat;
  /** Tokens of a block of the trace. */
  readonly blockTokens: number;
}

/** Fields of a row, each with its other name. */
const FIELDS = {
  timestamp: "created_time",
  input_length: "input_tokens",
  output_length: "output_tokens",
  hash_ids: "hash_ids",
  session_id: "session_id",
  delay: "delay_ms",
  priority: "priority",
  strict_priority: "strict_priority",
} as const;

type Field = keyof typeof FIELDS;
type Json = Readonly<Record<string, unknown>>;

/** More tokens than any model takes; what is larger is a mistake. */
const MOST_TOKENS = 2 ** 24;

/** Last moment of a date. */
const MOST_MS = 8.64e15;

/** Longest name of a session. */
const MOST_CHARACTERS = 1024;

/** Reads rows of the Mooncake traces, one line after the other; each is checked as it comes. Errors name the row and the field. */
export class MooncakeReader {
  readonly #options: MooncakeOptions;
  #rows = 0;
  /** Of the first row that has one. */
  #startMs: number | undefined;
  #lastMs = 0;

  constructor(options: MooncakeOptions) {
    this.#options = options;
  }

  /** Reads the next line. Throws INVALID_ARGUMENT. */
  read(line: string): TraceRow {
    const row = this.#parse(line);
    const inputTokens = this.#number(row, "input_length", { least: 1, most: MOST_TOKENS });
    const session = this.#session(row);
    const delayMs = this.#milliseconds(row, "delay");
    if (delayMs !== undefined && session === undefined) throw this.#wrong("delay", "the row is of no session");
    const captured = readCaptured(row.stator);
    const read: TraceRow = {
      index: this.#rows,
      atMs: this.#arrival(row),
      inputTokens,
      outputTokens: this.#number(row, "output_length", { least: 1, most: MOST_TOKENS }),
      names: this.#names(row, inputTokens),
      session,
      delayMs,
      priority: this.#priority(row),
      isDelta: this.#options.format === "mooncake-delta" && session !== undefined,
      ...(captured && { captured }),
    };
    this.#rows++;
    return read;
  }

  #parse(line: string): Json {
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch (error) {
      throw this.#error(`is not JSON: ${(error as Error).message}`);
    }
    if (typeof row !== "object" || row === null || Array.isArray(row)) throw this.#error("is not a JSON object");
    const repeated = repeatedField(line, row);
    if (repeated !== undefined) throw this.#wrong(repeated, "it stands there twice");
    checkFields(row, this.#place);
    return row as Json;
  }

  /** A field by either name; null is as good as none. */
  #value(row: Json, field: Field): unknown {
    const alias = FIELDS[field];
    if (alias === field) return row[field] ?? undefined;
    const [value, other] = [row[field] ?? undefined, row[alias] ?? undefined];
    if (value !== undefined && other !== undefined) throw this.#wrong(alias, `${field} says the same`);
    return value ?? other;
  }

  #number(row: Json, field: Field, { least, most }: { readonly least: number; readonly most: number }): number {
    const value = this.#value(row, field);
    if (value === undefined) throw this.#wrong(field, "it is missing");
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
    throw this.#wrong(field, `it must be a whole number from ${least} to ${most}, not ${shown(value)}`);
  }

  #milliseconds(row: Json, field: Field): number | undefined {
    const value = this.#value(row, field);
    if (value === undefined) return undefined;
    if (typeof value === "number" && value >= 0 && value <= MOST_MS) return value;
    throw this.#wrong(field, `it must be a number of ms from 0 to ${MOST_MS}, not ${shown(value)}`);
  }

  /** Since the first row that has a timestamp. */
  #arrival(row: Json): number | undefined {
    const timestamp = this.#milliseconds(row, "timestamp");
    if (timestamp === undefined) return undefined;
    if (timestamp < this.#lastMs) {
      throw this.#wrong(
        "timestamp",
        `${timestamp} lies before that of a row above, ${this.#lastMs}: rows are in order`,
      );
    }
    this.#lastMs = timestamp;
    this.#startMs ??= timestamp;
    return timestamp - this.#startMs;
  }

  #session(row: Json): string | undefined {
    const value = this.#value(row, "session_id");
    if (value === undefined) return undefined;
    if (Number.isSafeInteger(value)) return String(value);
    if (typeof value === "string" && value !== "" && value.length <= MOST_CHARACTERS) return value;
    throw this.#wrong("session_id", `it must be a string of 1 to ${MOST_CHARACTERS} characters, not ${shown(value)}`);
  }

  #priority(row: Json): number {
    const strict = this.#value(row, "strict_priority");
    if (strict !== undefined && strict !== 0) throw this.#wrong("strict_priority", "it is not read here; priority is");
    if (this.#value(row, "priority") === undefined) return 0;
    return this.#number(row, "priority", { least: -(2 ** 31), most: 2 ** 31 - 1 });
  }

  #names(row: Json, inputTokens: number): BigUint64Array {
    const value = this.#value(row, "hash_ids");
    if (value === undefined) throw this.#wrong("hash_ids", "it is missing");
    if (!Array.isArray(value)) throw this.#wrong("hash_ids", `it must be a list, not ${shown(value)}`);
    const { blockTokens } = this.#options;
    const count = Math.ceil(inputTokens / blockTokens);
    if (value.length !== count) {
      const says = `${inputTokens} tokens are ${count} blocks of ${blockTokens}, and there are ${value.length}`;
      throw this.#wrong("hash_ids", says);
    }
    const names = new BigUint64Array(count);
    for (const [at, id] of value.entries()) {
      const name = readBlockName(id);
      if (name === undefined) throw this.#wrong(`hash_ids[${at}]`, `${shown(id)} is no ${NAME}`);
      names[at] = name;
    }
    return names;
  }

  get #place(): string {
    return `Row ${this.#rows + 1} of the trace`;
  }

  #wrong(field: string, detail: string): StatorError {
    return this.#error(`has a wrong ${field}: ${detail}`);
  }

  #error(detail: string): StatorError {
    return new StatorError("INVALID_ARGUMENT", { detail: `${this.#place} ${detail}` });
  }
}

const NAME = "whole number of at most 2^53 - 1, nor a string of 64 bits in decimal or hex";

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

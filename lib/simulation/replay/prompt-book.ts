import { StatorError } from "#lib/base/errors";
import { type Content, contentOf, joined, lengthOf } from "./content.ts";
import type { TraceRow } from "./trace-row.ts";

/** Names of answers are above all names of a trace that are plain numbers. */
const FIRST_ANSWER = 1n << 63n;

/** Most of what a replay remembers of sessions. */
export interface PromptLimits {
  /** Sessions in delta form that have not ended. */
  readonly sessions: number;
  /** Tokens of a prompt. */
  readonly promptTokens: number;
}

const LIMITS: PromptLimits = { sessions: 1 << 20, promptTokens: 1 << 26 };

/** Names what is generated for a row. */
export function answerOf({ index }: TraceRow): bigint {
  return FIRST_ANSWER + BigInt(index);
}

/**
 * What the prompts of rows hold. Of a session in delta form it remembers the last turn with its whole answer, whatever
 * became of that: until its last turn has come, where the trace marks it, else to the end.
 */
export class PromptBook {
  readonly #blockTokens: number;
  readonly #limits: PromptLimits;
  readonly #before = new Map<string, Content>();

  /** `blockTokens`: of the trace. */
  constructor(blockTokens: number, limits = LIMITS) {
    this.#blockTokens = blockTokens;
    this.#limits = limits;
  }

  /** The prompt of a row; those of a session are asked for in their order. Throws INVALID_ARGUMENT for what is too much. */
  content(row: TraceRow): Content {
    const { session, isDelta, names, inputTokens, outputTokens } = row;
    const own = contentOf(names, this.#blockTokens, inputTokens);
    if (!isDelta || session === undefined) return own;
    const before = this.#before.get(session);
    const content = before ? joined(before, own) : own;
    if (lengthOf(content) > this.#limits.promptTokens)
      throw tooMuch(row, `more than ${this.#limits.promptTokens} tokens`);
    if (row.isLastTurn) {
      this.#before.delete(session);
      return content;
    }
    if (!before && this.#before.size === this.#limits.sessions) throw tooMuch(row, `${this.#before.size} others open`);
    const answer = { names: BigUint64Array.of(answerOf(row)), ends: Uint32Array.of(outputTokens) };
    this.#before.set(session, joined(content, answer));
    return content;
  }
}

function tooMuch({ index }: TraceRow, what: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: `Row ${index + 1} of the trace is of a session with ${what}` });
}

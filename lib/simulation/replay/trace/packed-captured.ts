import { RULE_NAMES } from "#lib/routing/rules/table";
import type { CapturedRoute } from "../captured-route.ts";
import { SharedColumn } from "./shared-column.ts";

/** What was captured of rows, in shared memory: of those that have it, one after the other. */
export interface PackedCaptured {
  /** Instances of the workers. */
  readonly capturedWorkers: BigUint64Array;
  /** Of each row rank, place of the rule in RULE_NAMES, predicted and seen ms, predicted and seen tokens; NaN for unknown. */
  readonly capturedNumbers: Float64Array;
}

/** Numbers of a row. */
const NUMBERS = 6;

/** Writes what was captured, row by row. */
export class CapturedColumns {
  readonly #workers = new SharedColumn<BigUint64Array>(BigUint64Array);
  readonly #numbers = new SharedColumn<Float64Array>(Float64Array);

  /** Bytes of both columns. */
  get bytes(): number {
    return this.#workers.bytes + this.#numbers.bytes;
  }

  /** Copies what is known of the next row that has any of it. */
  push({ worker, rank, rule, predictedMs, seenMs, predictedTokens, seenTokens }: CapturedRoute): void {
    this.#workers.push(worker);
    const amounts = [predictedMs, seenMs, predictedTokens, seenTokens].map((amount) => amount ?? Number.NaN);
    this.#numbers.append(Float64Array.of(rank, RULE_NAMES.indexOf(rule), ...amounts));
  }

  /** What was written. They are not to be used any more. */
  take(): PackedCaptured {
    return { capturedWorkers: this.#workers.take(), capturedNumbers: this.#numbers.take() };
  }
}

/** What was captured of the row that is so many rows with any of it behind the first. */
export function capturedAt({ capturedWorkers, capturedNumbers }: PackedCaptured, at: number): CapturedRoute {
  const [rank, rule, ...amounts] = capturedNumbers.subarray(at * NUMBERS, (at + 1) * NUMBERS);
  const [predictedMs, seenMs, predictedTokens, seenTokens] = amounts.map((amount) =>
    Number.isNaN(amount) ? undefined : amount,
  );
  const worker = capturedWorkers[at]!;
  return { worker, rank: rank!, rule: RULE_NAMES[rule!]!, predictedMs, seenMs, predictedTokens, seenTokens };
}

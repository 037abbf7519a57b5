import { answered, type OutcomeColumns } from "./outcome-columns.ts";

/** One request under two rules. */
export interface Difference {
  /** Of the trace. */
  readonly row: number;
  /** When it came under the one, in virtual ms. */
  readonly arrivedMs: number;
  /** Tokens of its prompt. */
  readonly promptTokens: number;
  /** Time to its first token under the one, in virtual ms. */
  readonly leftMs: number;
  /** And under the other. */
  readonly rightMs: number;
}

/** The requests whose times to the first token differ most, the greatest difference first; those that both answered. */
export function largestDifferences(left: OutcomeColumns, right: OutcomeColumns, count: number): readonly Difference[] {
  const places = new Map(answered(left).map((at) => [left.row[at]!, at]));
  return answered(right)
    .flatMap((at) => {
      const row = right.row[at]!;
      const place = places.get(row);
      if (place === undefined) return [];
      const [arrivedMs, promptTokens] = [left.arrivedMs[place]!, left.promptTokens[place]!];
      return [{ row, arrivedMs, promptTokens, leftMs: waitOf(left, place), rightMs: waitOf(right, at) }];
    })
    .sort((one, other) => gapOf(other) - gapOf(one) || one.row - other.row)
    .slice(0, count);
}

function waitOf({ firstMs, arrivedMs }: OutcomeColumns, at: number): number {
  return firstMs[at]! - arrivedMs[at]!;
}

function gapOf({ leftMs, rightMs }: Difference): number {
  return Math.abs(leftMs - rightMs);
}

/** How a column of numbers lies. */
export interface Spread {
  /** The least. */
  readonly least: number;
  /** The most. */
  readonly most: number;
  /** Their mean. */
  readonly mean: number;
  /** Standard deviation over all of them. */
  readonly deviation: number;
}

/** Of the first `count` numbers, at least one. */
export function spreadOf(column: Float64Array, count: number): Spread {
  let [least, most, sum, squares] = [column[0]!, column[0]!, 0, 0];
  for (let at = 0; at < count; at++) {
    const value = column[at]!;
    least = Math.min(least, value);
    most = Math.max(most, value);
    sum += value;
  }
  const mean = sum / count;
  for (let at = 0; at < count; at++) squares += (column[at]! - mean) ** 2;
  return { least, most, mean, deviation: Math.sqrt(squares / count) };
}

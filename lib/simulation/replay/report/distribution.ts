/** How numbers lie. NaN in all parts where there are none. */
export interface Distribution {
  /** Their sum ÷ their number. */
  readonly mean: number;
  /** Half of them are at most this. */
  readonly p50: number;
  /** Nine of ten. */
  readonly p90: number;
  /** 99 of 100. */
  readonly p99: number;
}

/** How these numbers lie; takes the array, which is sorted afterwards. Between two of them a quantile is on the line from one to the other. */
export function distributionOf(values: Float64Array): Distribution {
  const sum = values.reduce((total, value) => total + value, 0);
  values.sort();
  const at = (share: number): number => quantile(values, share);
  return { mean: sum / values.length, p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}

function quantile(sorted: Float64Array, share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}

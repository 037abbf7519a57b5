/** Numbers from one to another, both of them included. */
export interface NumberRange {
  /** The first. */
  readonly start: number;
  /** The last. */
  readonly end: number;
}

/** What of some ranges is in none of the others, in order. */
export function subtractRanges(from: readonly NumberRange[], others: readonly NumberRange[]): readonly NumberRange[] {
  let left = [...from];
  for (const { start, end } of others) {
    left = left.flatMap((range) => {
      if (end < range.start || start > range.end) return [range];
      const before = range.start < start ? [{ start: range.start, end: start - 1 }] : [];
      const after = range.end > end ? [{ start: end + 1, end: range.end }] : [];
      return [...before, ...after];
    });
  }
  return left.sort((one, two) => one.start - two.start);
}

/** Whether a number is in one of the ranges. */
export function inRanges(ranges: readonly NumberRange[], number: number): boolean {
  return ranges.some(({ start, end }) => start <= number && number <= end);
}

/** A range as it is written. */
export function rangeText({ start, end }: NumberRange): string {
  return start === end ? String(start) : `${start} to ${end}`;
}

/** Ranges of messages end before their end in descriptors; those of enums with it. */
export function closedRanges(
  ranges: readonly { readonly start: number; readonly end: number }[],
): readonly NumberRange[] {
  return ranges.map(({ start, end }) => ({ start, end: end - 1 }));
}

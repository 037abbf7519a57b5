/** Least number of insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment). */
function distance(left: string, right: string): number {
  let before: number[] = [];
  let above = Array.from({ length: right.length + 1 }, (_, at) => at);
  for (let row = 1; row <= left.length; row++) {
    const line = [row];
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1];
      let best = Math.min(above[column]! + 1, line[column - 1]! + 1, above[column - 1]! + (same ? 0 : 1));
      const swapped =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (swapped) best = Math.min(best, before[column - 2]! + 1);
      line.push(best);
    }
    before = above;
    above = line;
  }
  return above[right.length]!;
}

/** The known name that a mistyped one was most likely meant to be; undefined when none is near. */
export function nearest(wrong: string, known: Iterable<string>): string | undefined {
  if (wrong.length > 64) return undefined;
  const typed = plain(wrong);
  let best: string | undefined;
  let least = Math.max(1, Math.floor(wrong.length / 3)) + 1;
  for (const name of known) {
    const apart = distance(typed, plain(name));
    if (apart >= least) continue;
    least = apart;
    best = name;
  }
  return best;
}

/** Case and word separators are the usual difference between two spellings of one name. */
function plain(name: string): string {
  return name.replaceAll(/[-_ ]/g, "").toLowerCase();
}

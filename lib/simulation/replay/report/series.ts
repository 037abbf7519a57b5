import { answered, type OutcomeColumns } from "./outcome-columns.ts";

/** How a replay went over time, in stretches of equal length from the start of the trace on. */
export interface Series {
  /** Length of a stretch, in virtual ms. */
  readonly stretchMs: number;
  /** Mean time to the first token of the requests that came in each; NaN where none came. */
  readonly ttftMs: readonly number[];
  /** Share of their prompt tokens that their workers had; NaN where none came. */
  readonly hitRatio: readonly number[];
  /** By worker: requests that came and had not ended, on average over each; a request counts where it ended. */
  readonly open: readonly (readonly number[])[];
}

/** Cuts a replay into `stretches` stretches of `spanMs` ÷ `stretches`; only requests that got an answer count. */
export function seriesOf(
  columns: OutcomeColumns,
  about: { readonly stretches: number; readonly spanMs: number; readonly places: number },
): Series {
  const { stretches, spanMs, places } = about;
  const stretchMs = spanMs / stretches || 1;
  const stretchOf = (ms: number): number => Math.min(stretches - 1, Math.floor(ms / stretchMs));
  const [count, waited, prompts, cached] = [1, 2, 3, 4].map(() => new Float64Array(stretches));
  const open = Array.from({ length: places }, () => new Float64Array(stretches));
  for (const at of answered(columns)) {
    const [fromMs, toMs] = [columns.arrivedMs[at]!, columns.endedMs[at]!];
    const first = stretchOf(fromMs);
    count![first]!++;
    waited![first]! += columns.firstMs[at]! - fromMs;
    prompts![first]! += columns.promptTokens[at]!;
    cached![first]! += columns.cachedTokens[at]!;
    const own = open[columns.worker[at]!]!;
    for (let each = first; each <= stretchOf(toMs); each++) {
      own[each]! += (Math.min(toMs, (each + 1) * stretchMs) - Math.max(fromMs, each * stretchMs)) / stretchMs;
    }
  }
  return {
    stretchMs,
    ttftMs: Array.from(waited!, (sum, at) => sum / count![at]!),
    hitRatio: Array.from(cached!, (sum, at) => sum / prompts![at]!),
    open: open.map((each) => [...each]),
  };
}

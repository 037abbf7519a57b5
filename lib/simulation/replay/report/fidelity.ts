import type { RuleName } from "#lib/routing/rules/table";
import type { CapturedRoute } from "../captured-route.ts";
import { type Distribution, distributionOf } from "./distribution.ts";
import { answered, type OutcomeColumns } from "./outcome-columns.ts";

/** A row that went to another worker than when it was captured. */
export interface Elsewhere {
  /** Of the trace. */
  readonly row: number;
  /** Place of the worker then, from 0. */
  readonly before: number;
  /** Place of the worker now. */
  readonly now: number;
}

/** How near a replay comes to what was seen: of captured rows that got an answer in it. */
export interface Fidelity {
  /** How many there are. */
  readonly rows: number;
  /** Of those, rows that this rule chose for then too, at a worker that there is. */
  readonly compared: number;
  /** Of those, rows that went to the same worker. */
  readonly same: number;
  /** Those that did not, in order. */
  readonly elsewhere: readonly Elsewhere[];
  /** Times to the first token as they were seen. */
  readonly seenMs: Distribution;
  /** Those of the same rows in the replay. */
  readonly replayedMs: Distribution;
  /** |replayed − seen| ÷ seen, row by row. */
  readonly replayedError: Distribution;
  /** |foreseen − seen| ÷ seen of what the router foresaw when it placed them. */
  readonly foreseenError: Distribution;
}

/** What a replay is compared with. */
export interface FidelityAbout {
  /** What was captured, by row. */
  readonly captured: ReadonlyMap<number, CapturedRoute>;
  /** By which the replay chose. */
  readonly rule: RuleName;
  /** Place of a worker among those of the replay; undefined for one that it has not. */
  readonly placeOf: (route: CapturedRoute) => number | undefined;
}

/** Compares a replay with what was captured; undefined where nothing was. */
export function fidelityOf(columns: OutcomeColumns, about: FidelityAbout): Fidelity | undefined {
  const { captured, rule, placeOf } = about;
  if (captured.size === 0) return undefined;
  const [seen, replayed, replayedError, foreseenError]: number[][] = [[], [], [], []];
  const elsewhere: Elsewhere[] = [];
  let rows = 0;
  let compared = 0;
  for (const at of answered(columns)) {
    const row = columns.row[at]!;
    const route = captured.get(row);
    if (!route) continue;
    rows++;
    const { seenMs = 0, predictedMs } = route;
    if (seenMs > 0) {
      const ms = columns.firstMs[at]! - columns.arrivedMs[at]!;
      seen!.push(seenMs);
      replayed!.push(ms);
      replayedError!.push(Math.abs(ms - seenMs) / seenMs);
      if (predictedMs !== undefined) foreseenError!.push(Math.abs(predictedMs - seenMs) / seenMs);
    }
    const before = route.rule === rule ? placeOf(route) : undefined;
    if (before === undefined) continue;
    compared++;
    const now = columns.worker[at]!;
    if (now !== before) elsewhere.push({ row, before, now });
  }
  return {
    ...{ rows, compared, same: compared - elsewhere.length },
    elsewhere: elsewhere.sort((left, right) => left.row - right.row),
    seenMs: distributionOf(Float64Array.from(seen!)),
    replayedMs: distributionOf(Float64Array.from(replayed!)),
    replayedError: distributionOf(Float64Array.from(replayedError!)),
    foreseenError: distributionOf(Float64Array.from(foreseenError!)),
  };
}

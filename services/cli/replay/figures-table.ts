import type { Distribution } from "#lib/simulation/replay/report/distribution";
import type { Figures } from "#lib/simulation/replay/report/figures";
import type { Column } from "../table.ts";

/** A replay as it is printed. */
export interface FiguresRow {
  /** How it is called. */
  readonly name: string;
  /** What came of it; undefined for a row that only has hits. */
  readonly figures?: Figures;
  /** Share of prompt tokens. */
  readonly hits: number;
  /** Times between two tokens, over all of them. */
  readonly gapMs?: Distribution;
  /** What it took, in real ms. */
  readonly wallMs?: number;
  /** What it computed, in ms. */
  readonly cpuMs?: number;
}

/** What the same seed gives again. */
const FIGURE_COLUMNS: readonly Column<FiguresRow>[] = [
  ["RULE", ({ name }) => name],
  ["HITS", ({ hits }) => percent(hits)],
  ["TTFT", of(({ ttftMs }) => ms(ttftMs.mean))],
  ["P50", of(({ ttftMs }) => ms(ttftMs.p50))],
  ["P90", of(({ ttftMs }) => ms(ttftMs.p90))],
  ["P99", of(({ ttftMs }) => ms(ttftMs.p99))],
  ["ITL", of(({ itlMs }) => ms(itlMs.mean))],
  ["P99", of(({ itlMs }) => ms(itlMs.p99))],
  ["END TO END", of(({ endToEndMs }) => ms(endToEndMs.mean))],
  ["P99", of(({ endToEndMs }) => ms(endToEndMs.p99))],
  [
    "UNEVEN",
    of(({ imbalance, requests }) => (requests === 0 ? "" : Object.values(imbalance).map(twoDigits).join(" / "))),
  ],
  ["REFUSED", of(({ refused }) => String(refused))],
];

/** Of replays with answers that went on elsewhere. */
const SPLIT_COLUMNS: readonly Column<FiguresRow>[] = [
  ["SPLIT", of(({ handOffs }) => (handOffs ? percent(handOffs.share) : ""))],
  ["HAND-OFF", of(({ handOffs }) => (handOffs ? ms(handOffs.ms.mean) : ""))],
  ["P99", of(({ handOffs }) => (handOffs ? ms(handOffs.ms.p99) : ""))],
  ["LATER ITL", of(({ laterItlMs }) => ms(laterItlMs.mean))],
  ["P99", of(({ laterItlMs }) => ms(laterItlMs.p99))],
  ["GAPS P99", ({ gapMs }) => (gapMs ? ms(gapMs.p99) : "")],
];

/** What it does not. */
export const TIMING_COLUMNS: readonly Column<FiguresRow>[] = [
  ["DECISIONS/S", ({ figures, wallMs }) => (figures && wallMs ? Math.round(figures.requests / (wallMs / 1_000)) : "")],
  ["CPU, S", ({ cpuMs }) => (cpuMs === undefined ? "" : (cpuMs / 1_000).toFixed(1))],
];

/** What is shown of replays that the same seed gives again. */
export function figureColumns(rows: readonly { readonly figures: Figures }[]): readonly Column<FiguresRow>[] {
  return rows.some(({ figures }) => figures.handOffs) ? [...FIGURE_COLUMNS, ...SPLIT_COLUMNS] : FIGURE_COLUMNS;
}

/** The replays, and what a cache without end would have had in a row of its own. */
export function withCeiling(rows: readonly (Omit<FiguresRow, "hits"> & { readonly figures: Figures })[]): FiguresRow[] {
  // A replay that answered nothing has no share of anything.
  const shares = rows.map(({ figures }) => figures.ceilingRatio).filter((share) => !Number.isNaN(share));
  const ceiling = shares.length === 0 ? Number.NaN : Math.max(...shares);
  return [...rows.map((row) => ({ ...row, hits: row.figures.hitRatio })), { name: "one endless cache", hits: ceiling }];
}

function of(cell: (figures: Figures) => string): Column<FiguresRow>[1] {
  return ({ figures }) => (figures ? cell(figures) : "");
}

function twoDigits(value: number): string {
  return value.toFixed(2);
}

/** A share, such as 34.5 %. */
export function percent(share: number): string {
  return Number.isNaN(share) ? "" : `${(share * 100).toFixed(1)} %`;
}

/** Milliseconds with as many digits as tell anything. */
export function ms(value: number): string {
  if (Number.isNaN(value)) return "";
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

import { readFileSync } from "node:fs";
import { seriesOf } from "#lib/simulation/replay/report/series";
import { createPaint } from "../screen.ts";
import { type Comparison, printComparison, printRow } from "./decisions.ts";
import { figureColumns, withCeiling } from "./figures-table.ts";
import type { NamedReport } from "./replay-report.ts";

/** What a page shows beside the replays themselves. */
export interface PageAbout {
  /** One sentence: what was replayed, on what. */
  readonly head: string;
  /** Places that workers had. */
  readonly places: number;
  /** Where two rules were compared. */
  readonly comparison: Comparison | undefined;
}

/** Points of each line. */
const STRETCHES = 120;
/** Digits of what is drawn: more than anybody sees. */
const DIGITS = 4;

/** One page with charts of replays, which needs nothing else. */
export function printPage(reports: readonly NamedReport[], about: PageAbout): string {
  const template = readFileSync(new URL("./page.html", import.meta.url), "utf8");
  // As text of an element it ends where any `</script` is; the marks of quotes leave the template a page of its own.
  const data = JSON.stringify(pageData(reports, about)).replaceAll("<", "\\u003c");
  return template.replace('"{{data}}"', () => data);
}

function pageData(reports: readonly NamedReport[], { head, places, comparison }: PageAbout) {
  const spanMs = Math.max(...reports.map(({ figures }) => figures.spanMs));
  const columns = figureColumns(reports);
  const cells = withCeiling(reports).map((row) => columns.map(([, cell]) => String(cell(row))));
  return {
    head,
    spanMs,
    table: [columns.map(([heading]) => heading), ...cells],
    rules: reports.map(({ name, record }) => {
      const series = seriesOf(record.outcomes, { stretches: STRETCHES, spanMs, places });
      return {
        name,
        ttftMs: series.ttftMs.map(drawn),
        hits: series.hitRatio.map((share) => drawn(100 * share)),
        open: series.open.map((each) => each.map(drawn)),
      };
    }),
    decisions: [...reports.flatMap(decisionsOf), ...(comparison ? [comparedOf(comparison)] : [])],
  };
}

/** JSON has no NaN. */
function drawn(value: number): number | null {
  return Number.isNaN(value) ? null : Number(value.toPrecision(DIGITS));
}

/** A part of the page that opens. */
interface Detail {
  readonly title: string;
  readonly text: string;
}

function comparedOf(comparison: Comparison): Detail {
  const [left, right] = comparison.records.map(({ run }) => run.name);
  const title = `${left} and ${right}: the requests that they treat most differently`;
  return { title, text: printComparison(comparison, createPaint(false)) };
}

function decisionsOf({ record }: NamedReport): Detail[] {
  const { explanations, longest, run } = record;
  return [...explanations.keys()].flatMap((row) => {
    const text = printRow(record, row, createPaint(false));
    const what = row === longest ? "the request that waited longest" : "why it went there";
    return text === undefined ? [] : [{ title: `${run.name}, row ${row}: ${what}`, text }];
  });
}

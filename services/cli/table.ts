import { displayWidth, oneLine, padToWidth } from "./display-width.ts";

/** A column: its heading and what it shows of a row. */
export type Column<Row> = readonly [heading: string, cell: (row: Row) => string | number | bigint];

/** Rows below headings, aligned; the headings stand alone when there are none. */
export function printTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map(([heading]) => heading),
    ...rows.map((row) => columns.map(([, cell]) => shown(cell(row)))),
  ];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => displayWidth(line[at]!))));
  return lines
    .map((line) =>
      line
        .map((cell, at) => padToWidth(cell, widths[at]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function shown(cell: string | number | bigint): string {
  return oneLine(String(cell)) || "-";
}

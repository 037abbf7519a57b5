import { cutToWidth, displayWidth, oneLine, padToWidth } from "./display-width.ts";
import type { Paint, Screen } from "./screen.ts";

/** A further port of a process, for people. */
export interface ProcessPortRow {
  /** host:port. */
  readonly address: string;
  /** A few words: what answers there. */
  readonly detail: string;
}

/** A process and how it is doing: one row, and one more for each further port. */
export interface ProcessRow {
  /** undefined before it was started. */
  readonly pid: number | undefined;
  /** starting, loading, ready, failed, ended … */
  readonly state: string;
  /** 0 to 1 while it loads. */
  readonly fraction: number;
  /** host:port that it serves; empty until it is ready. */
  readonly address: string;
  /** A few words for people, such as what it serves or how it ended; may be empty. */
  readonly detail: string;
  /** Further ports, shown below its own while it is ready. */
  readonly ports: readonly ProcessPortRow[];
}

/** What runs where, for people: redrawn in place on a terminal, one line per change elsewhere. */
export interface ProcessBoard {
  /** Changes a row and shows it; a name that is new begins one below the others. */
  set(name: string, change: Partial<ProcessRow>): void;
  /** The row as it is now; undefined for a name that was never set. */
  get(name: string): ProcessRow | undefined;
  /** Whether every row that was set is ready. */
  allReady(): boolean;
  /** Redraws nothing from here on: later changes are lines of their own. */
  settle(): void;
}

const EMPTY: ProcessRow = { pid: undefined, state: "starting", fraction: 0, address: "", detail: "", ports: [] };
const BAR_CELLS = 6;
/** Least widths, so that rows which are printed one by one stand below each other. */
const LEAST_WIDTHS = [10, 12, 14, 22, 0] as const;
const GAP = "  ";

/** A board that shows itself on a screen. */
export function createBoardOfProcesses(screen: Screen): ProcessBoard {
  const rows = new Map<string, ProcessRow>();
  let settled = !screen.isTerminal;
  const render = (columns: number): string[] => printRows(rows, columns, screen.paint);

  const draw = (name: string, before: string): void => {
    const row = rows.get(name)!;
    if (!settled) screen.show(render);
    else if (row.state !== before) for (const line of printProcess(name, row, screen.paint)) screen.print(line);
  };

  return {
    set(name, change) {
      const before = rows.get(name);
      rows.set(name, { ...EMPTY, ...before, ...change });
      draw(name, before?.state ?? "");
    },
    get: (name) => rows.get(name),
    allReady: () => [...rows.values()].every(({ state }) => state === "ready"),
    settle() {
      if (settled) return;
      screen.settle();
      settled = true;
    },
  };
}

/** Rows below each other, each one row of a terminal with so many columns. */
export function printRows(rows: ReadonlyMap<string, ProcessRow>, columns: number, paint: Paint): string[] {
  const lines = [...rows].flatMap(([name, row]) => cellsOf(name, row).map((cells) => ({ cells, state: row.state })));
  const widths = LEAST_WIDTHS.map((_, at) => Math.max(...lines.map(({ cells }) => displayWidth(cells[at]!))));
  return lines.map(({ cells, state }) => printCells(cells, { widths, columns, paint, state }));
}

/**
 * One process as text of any width, such as `worker-1  pid 4711  ready    127.0.0.1:4000  stator-demo`, and a line for each
 * further port.
 */
export function printProcess(name: string, row: ProcessRow, paint: Paint): string[] {
  const layout = { widths: LEAST_WIDTHS, columns: Number.POSITIVE_INFINITY, paint, state: row.state };
  return cellsOf(name, row).map((cells) => printCells(cells, layout));
}

function cellsOf(name: string, { pid, state, fraction, address, detail, ports }: ProcessRow): string[][] {
  const shown = state === "loading" ? `${state} ${printProgress(fraction)}` : state;
  const own = [name, pid === undefined ? "" : `pid ${pid}`, shown, address, detail];
  const further = state === "ready" ? ports.map((port) => ["", "", "", port.address, port.detail]) : [];
  return [own, ...further].map((cells) => cells.map(oneLine));
}

/** A bar with its percentage, such as `███░░░  60 %`. */
function printProgress(fraction: number): string {
  const full = Math.floor(fraction * BAR_CELLS);
  return `${"█".repeat(full)}${"░".repeat(BAR_CELLS - full)} ${String(Math.round(fraction * 100)).padStart(3)} %`;
}

/** Cuts what has no room before it colours what is left. */
function printCells(
  cells: readonly string[],
  layout: { widths: readonly number[]; columns: number; paint: Paint; state: string },
): string {
  const { widths, columns, paint, state } = layout;
  const paints = [paint.bold, paint.dim, paintOf(state, paint), undefined, undefined];
  const last = cells.findLastIndex((cell) => cell !== "");
  let line = "";
  let room = columns;
  for (const [at, cell] of cells.slice(0, last + 1).entries()) {
    const whole = GAP + (at < last ? padToWidth(cell, widths[at]!) : cell);
    const shown = cutToWidth(whole, room);
    room = shown === whole ? room - displayWidth(whole) : 0;
    line += paints[at]?.(shown) ?? shown;
  }
  return line;
}

function paintOf(state: string, { green, red, yellow }: Paint): Paint[keyof Paint] {
  if (state === "ready") return green;
  return state === "failed" || state === "ended" ? red : yellow;
}

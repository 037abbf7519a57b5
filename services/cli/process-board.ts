/** One row: a process and how it is doing. */
export interface ProcessRow {
  readonly pid: number | undefined;
  /** starting, loading, ready, failed, ended … */
  readonly state: string;
  /** 0 to 1 while it loads. */
  readonly fraction: number;
  readonly address: string;
  readonly detail: string;
}

/** What runs where, for people: redrawn in place on a terminal, one line per change elsewhere. */
export interface ProcessBoard {
  set(name: string, change: Partial<ProcessRow>): void;
  get(name: string): ProcessRow | undefined;
  allReady(): boolean;
  /** Redraws nothing from here on: later changes are lines of their own. */
  settle(): void;
}

const EMPTY: ProcessRow = { pid: undefined, state: "starting", fraction: 0, address: "", detail: "" };

/** A board that prints. */
export function createBoardOfProcesses(out: { print(line: string): void; isTerminal: boolean }): ProcessBoard {
  const rows = new Map<string, ProcessRow>();
  let drawnLines = 0;
  let settled = !out.isTerminal;

  const draw = (name: string, before: ProcessRow): void => {
    if (!settled) {
      const lines = [...rows].map(([each, row]) => printRow(each, row));
      out.print(`${drawnLines > 0 ? `\x1b[${drawnLines}A` : ""}${lines.map((line) => `\x1b[2K${line}`).join("\n")}`);
      drawnLines = lines.length;
      return;
    }
    const row = rows.get(name)!;
    if (row.state !== before.state) out.print(printRow(name, row));
  };

  return {
    set(name, change) {
      const before = rows.get(name) ?? EMPTY;
      rows.set(name, { ...before, ...change });
      draw(name, rows.has(name) && before !== EMPTY ? before : { ...EMPTY, state: "" });
    },
    get: (name) => rows.get(name),
    allReady: () => [...rows.values()].every(({ state }) => state === "ready"),
    settle() {
      settled = true;
    },
  };
}

/** One row as text, such as `worker-1  pid 4711  ready    127.0.0.1:4000  llama: stator-demo`. */
export function printRow(name: string, row: ProcessRow): string {
  const state = row.state === "loading" ? `loading ${Math.round(row.fraction * 100)} %` : row.state;
  const pid = row.pid === undefined ? "" : `pid ${row.pid}`;
  return `  ${name.padEnd(10)} ${pid.padEnd(12)} ${state.padEnd(14)} ${row.address.padEnd(22)} ${row.detail}`.trimEnd();
}

import { expect, test } from "vitest";
import { displayWidth } from "./display-width.ts";
import { createBoardOfProcesses, type ProcessRow, printRows } from "./process-board.ts";
import { createPaint, createScreen } from "./screen.ts";

const ROW: ProcessRow = {
  ...{ pid: 4711, state: "ready", fraction: 1, address: "127.0.0.1:40000", detail: "stator-demo" },
  ports: [],
};
const PORTS = [{ address: "127.0.0.1:8001", detail: "another API" }];

const ROWS = new Map<string, ProcessRow>([
  ["hub", { ...ROW, detail: "discovery, in this process" }],
  ["worker-1", { ...ROW, state: "loading", fraction: 0.456, detail: "" }],
  [
    "worker-2",
    { ...ROW, ports: PORTS, state: "failed", detail: "two\nlines, and 日本語 beside 👩‍👩‍👧 and \x1b[2J more" },
  ],
  ["frontend", { ...ROW, detail: "OpenAI API", ports: PORTS }],
]);

test("every row is one row of the terminal, at any width, with colours and without", () => {
  for (const paint of [createPaint(true), createPaint(false)]) {
    for (let columns = 0; columns <= 130; columns++) {
      const rows = printRows(ROWS, columns, paint);
      expect(rows).toHaveLength(5);
      for (const row of rows) {
        expect(displayWidth(row)).toBeLessThanOrEqual(columns);
        expect(row).not.toMatch(/[\n\r]|\[2J.*\[2J/);
      }
    }
  }
});

test("columns stand below each other, and a row that is cut says so", () => {
  const plain = createPaint(false);
  expect(printRows(ROWS, 120, plain).slice(0, 2)).toEqual([
    "  hub       pid 4711  ready                 127.0.0.1:40000  discovery, in this process",
    "  worker-1  pid 4711  loading ██░░░░  46 %  127.0.0.1:40000",
  ]);
  expect(printRows(ROWS, 120, plain).slice(3), "further ports, while it is ready").toEqual([
    "  frontend  pid 4711  ready                 127.0.0.1:40000  OpenAI API",
    "                                            127.0.0.1:8001   another API",
  ]);
  expect(printRows(ROWS, 60, plain)[0]).toBe("  hub       pid 4711  ready                 127.0.0.1:40000…");
});

test("colours say how a process is doing", () => {
  const [ready, loading, failed] = printRows(ROWS, 120, createPaint(true));
  expect(ready).toContain("\x1b[32m  ready");
  expect(loading).toContain("\x1b[33m  loading");
  expect(failed).toContain("\x1b[31m  failed");
});

test("without a terminal a change of state is a line", () => {
  const lines: string[] = [];
  const pipe = { write: (text: string) => lines.push(text) };
  const board = createBoardOfProcesses(createScreen({ out: pipe, err: pipe, env: {} }));
  board.set("worker-1", { pid: 7, state: "starting" });
  board.set("worker-1", { state: "loading", fraction: 0.5 });
  board.set("worker-1", { state: "loading", fraction: 0.6 });
  board.set("worker-1", { state: "ready", address: "127.0.0.1:1", detail: "m", ports: PORTS });
  expect(lines).toEqual([
    "  worker-1    pid 7         starting\n",
    "  worker-1    pid 7         loading ███░░░  50 %\n",
    "  worker-1    pid 7         ready           127.0.0.1:1             m\n",
    "                                            127.0.0.1:8001          another API\n",
  ]);
});

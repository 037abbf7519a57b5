import { expect, test } from "vitest";
import { createScreen, hasColors, type Output } from "./screen.ts";

/** Up by rows, a clearing, wrapping on or off, or a letter. */
const WRITTEN = new RegExp(String.raw`${"\x1b"}\[(?:(\d+)A|([JK2]+)|\?7[hl])|[^]`, "g");

/** A terminal of our own: it breaks long lines, as real ones do, and knows what the screen sends. */
class FakeTerminal implements Output {
  readonly isTTY = true;
  columns: number;
  rows = 10;
  readonly lines: string[] = [""];
  #row = 0;
  #resized: () => void = () => {};

  constructor(columns: number) {
    this.columns = columns;
  }

  getWindowSize(): [number, number] {
    return [this.columns, this.rows];
  }

  on(_event: "resize", call: () => void): void {
    this.#resized = call;
  }

  off(): void {
    this.#resized = () => {};
  }

  /** Lines that no longer fit are broken, and the cursor moves with its line. */
  resize(columns: number): void {
    this.columns = columns;
    const before = this.lines.splice(0);
    for (const [at, line] of before.entries()) {
      if (at === this.#row) this.#row = this.lines.length;
      for (let from = 0; from === 0 || from < line.length; from += columns)
        this.lines.push(line.slice(from, from + columns));
    }
    this.#resized();
  }

  write(text: string): void {
    for (const [part, up, clear] of text.matchAll(WRITTEN)) {
      if (up !== undefined) this.#row -= Number(up);
      else if (clear === "2K") this.lines[this.#row] = "";
      else if (clear === "J") this.lines.splice(this.#row, Number.POSITIVE_INFINITY, "");
      else if (part === "\n") this.lines[++this.#row] ??= "";
      else if (part.length === 1 && part !== "\r") this.lines[this.#row] += part;
    }
    expect(this.#row, "the cursor stays on the terminal").toBeGreaterThanOrEqual(0);
    for (const line of this.lines) expect(line.length).toBeLessThanOrEqual(this.columns);
  }
}

function open(columns = 20) {
  const terminal = new FakeTerminal(columns);
  const screen = createScreen({ out: terminal, err: terminal, env: { TERM: "xterm" } });
  const cut =
    (...lines: string[]) =>
    (width: number) =>
      lines.map((line) => line.slice(0, width));
  return { terminal, screen, cut };
}

test("lines change in place, and what is printed stands above them", () => {
  const { terminal, screen, cut } = open();
  screen.print("before");
  screen.show(cut("one: loading", "two: loading"));
  screen.note("a log line\n");
  screen.show(cut("one: ready", "two: loading", "three"));
  screen.print("printed");
  expect(terminal.lines).toEqual(["before", "a log line", "printed", "one: ready", "two: loading", "three", ""]);
  screen.show(cut("one"));
  expect(terminal.lines).toEqual(["before", "a log line", "printed", "one", ""]);
  screen.settle();
  screen.print("after");
  expect(terminal.lines).toEqual(["before", "a log line", "printed", "one", "after", ""]);
});

test("a terminal that changes its size shows each line once, and nothing of the old ones", () => {
  const { terminal, screen, cut } = open(40);
  screen.print("before");
  screen.show(cut("a line of thirty-two characters.", "short"));
  for (const columns of [12, 30, 7, 40]) {
    terminal.resize(columns);
    expect(terminal.lines).toEqual(["before", "a line of thirty-two characters.".slice(0, columns), "short", ""]);
  }
});

test("what has no room on the terminal is counted while it may change and shown at the end", () => {
  const { terminal, screen } = open();
  terminal.rows = 4;
  const names = ["a", "b", "c", "d", "e"];
  screen.show(() => names);
  expect(terminal.lines).toEqual(["a", "b", "  … and 3 more", ""]);
  screen.settle();
  expect(terminal.lines).toEqual([...names, ""]);
});

test("without a terminal nothing changes in place, and lines go where they belong", () => {
  const written: string[] = [];
  const pipe = (name: string): Output => ({ write: (text) => written.push(`${name}: ${text}`) });
  const screen = createScreen({ out: pipe("out"), err: pipe("err"), env: {} });
  screen.show(() => ["never"]);
  screen.print("line");
  screen.note("log\n");
  screen.settle();
  expect(written).toEqual(["out: line\n", "err: log\n"]);
  expect([screen.isTerminal, screen.columns, screen.paint.red("x")]).toEqual([false, Number.POSITIVE_INFINITY, "x"]);
});

test.each([
  [{}, true, true],
  [{}, false, false],
  [{ TERM: "dumb" }, true, false],
  [{ NO_COLOR: "1" }, true, false],
  [{ NO_COLOR: "" }, true, true],
  [{ NO_COLOR: "1", FORCE_COLOR: "1" }, false, true],
  [{ FORCE_COLOR: "0" }, true, false],
] as const)("colours with %o on a terminal: %s are %s", (env, isTTY, expected) => {
  expect(hasColors(env, { isTTY, write: () => {} })).toBe(expected);
});

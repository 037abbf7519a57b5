import { displayWidth } from "./display-width.ts";

/** What a screen writes to: standard output and standard error, or what stands for them in a test. */
export interface Output {
  /** Whether it is a terminal; undefined: no. */
  readonly isTTY?: boolean;
  /** Columns and rows of a terminal now. */
  getWindowSize?(): [number, number];
  /** Writes text as it is. */
  write(text: string): unknown;
  /** Told when the terminal changed its size. */
  on?(event: "resize", call: () => void): unknown;
  /** The call is not told any more. */
  off?(event: "resize", call: () => void): unknown;
}

/** Colours by their names; each returns the text as it is where there are none. */
export interface Paint {
  /** For names. */
  readonly bold: (text: string) => string;
  /** For what matters less. */
  readonly dim: (text: string) => string;
  /** For what failed. */
  readonly red: (text: string) => string;
  /** For what is well. */
  readonly green: (text: string) => string;
  /** For what is on its way. */
  readonly yellow: (text: string) => string;
}

/** What a process shows. On a terminal some lines may stay below everything else and change in place. */
export interface Screen {
  /** Whether lines can change in place. */
  readonly isTerminal: boolean;
  /** Columns of the terminal now; without end where there is none. */
  readonly columns: number;
  /** For text that goes to standard output. */
  readonly paint: Paint;
  /** Writes a line to standard output. */
  print(line: string): void;
  /** Writes whole lines, each with its newline, to standard error. */
  note(lines: string): void;
  /**
   * Shows lines below everything else, in place of those shown before, and draws them anew when the terminal changes
   * its size. `render` gets the columns and returns lines that fit. Does nothing where lines cannot change in place.
   */
  show(render: (columns: number) => readonly string[]): void;
  /** Leaves the lines where they are: what comes follows them. */
  settle(): void;
}

/** The usual size where a terminal does not tell its own. */
const USUAL = { columns: 80, rows: 24 } as const;

const CODES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;

/** A line stays one row, also where a letter is wider than it is here, and before a change of size is known. */
const NO_WRAP = "\x1b[?7l";
const WRAP = "\x1b[?7h";

/**
 * Whether colours may be used: FORCE_COLOR says so, or says no with 0 and false; NO_COLOR says no (no-color.org); else
 * a terminal has them unless it is dumb.
 */
export function hasColors(env: NodeJS.ProcessEnv, out: Output): boolean {
  const { FORCE_COLOR: forced, NO_COLOR: none } = env;
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  return !none && out.isTTY === true && env.TERM !== "dumb";
}

/** Colours, or none. */
export function createPaint(colors: boolean): Paint {
  const entries = Object.entries(CODES).map(([name, [on, off]]) => [
    name,
    (text: string) => (colors && text !== "" ? `\x1b[${on}m${text}\x1b[${off}m` : text),
  ]);
  return Object.fromEntries(entries) as Paint;
}

/** A screen over standard output and standard error. */
export function createScreen(parts: { out: Output; err: Output; env: NodeJS.ProcessEnv }): Screen {
  return new OutputScreen(parts.out, parts.err, parts.env);
}

class OutputScreen implements Screen {
  readonly isTerminal: boolean;
  readonly paint: Paint;
  readonly #out: Output;
  readonly #err: Output;
  readonly #onResize = (): void => this.#draw();
  #render: ((columns: number) => readonly string[]) | undefined;
  /** Lines below everything else, as they were written. */
  #shown: readonly string[] = [];

  constructor(out: Output, err: Output, env: NodeJS.ProcessEnv) {
    this.#out = out;
    this.#err = err;
    this.isTerminal = out.isTTY === true && env.TERM !== "dumb";
    this.paint = createPaint(hasColors(env, out));
  }

  get columns(): number {
    return this.isTerminal ? this.#size()[0] : Number.POSITIVE_INFINITY;
  }

  /** Asked anew each time: the event that tells of a change comes after lines that were printed meanwhile. */
  #size(): readonly [number, number] {
    const [columns, rows] = this.#out.getWindowSize?.() ?? [];
    return [columns || USUAL.columns, rows || USUAL.rows];
  }

  print(line: string): void {
    this.#above(() => this.#out.write(`${line}\n`));
  }

  note(lines: string): void {
    if (this.#err.isTTY) this.#above(() => this.#err.write(lines));
    else this.#err.write(lines);
  }

  show(render: (columns: number) => readonly string[]): void {
    if (!this.isTerminal) return;
    if (!this.#render) this.#out.on?.("resize", this.#onResize);
    this.#render = render;
    this.#draw();
  }

  settle(): void {
    if (!this.#render) return;
    // All lines, also those for which the terminal had no room while they could change.
    this.#draw(Number.POSITIVE_INFINITY);
    this.#out.off?.("resize", this.#onResize);
    this.#render = undefined;
    this.#shown = [];
  }

  #above(write: () => void): void {
    if (this.#shown.length > 0) this.#out.write(this.#erase());
    this.#shown = [];
    write();
    this.#draw();
  }

  #draw(rows = this.#size()[1]): void {
    if (!this.#render) return;
    const lines = fitRows(this.#render(this.columns), rows - 1);
    if (lines.join("\n") === this.#shown.join("\n") && this.#rowsShown() === lines.length) return;
    const up = this.#rowsShown() > 0 ? `\r\x1b[${this.#rowsShown()}A` : "";
    const rewritten = lines.map((line) => `\x1b[2K${line}\n`).join("");
    this.#out.write(`${up}${NO_WRAP}${rewritten}${WRAP}\x1b[J`);
    this.#shown = lines;
  }

  /** Row by row: to clear everything below the first row makes some terminals keep it as history. */
  #erase(): string {
    return `\r${"\x1b[1A\x1b[2K".repeat(this.#rowsShown())}`;
  }

  /** Rows that the shown lines take now: a terminal that became narrower has broken them into several. */
  #rowsShown(): number {
    const columns = this.columns;
    return this.#shown.reduce((rows, line) => rows + Math.max(1, Math.ceil(displayWidth(line) / columns)), 0);
  }
}

/** What has left the top of a terminal cannot change any more: lines beyond its height are counted instead. */
function fitRows(lines: readonly string[], rows: number): readonly string[] {
  if (lines.length <= rows) return lines;
  const kept = Math.max(0, rows - 1);
  return [...lines.slice(0, kept), `  … and ${lines.length - kept} more`];
}

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { readModelHeader } from "#lib/engines/model-file";
import { ROUTER_MODES } from "#lib/routing/options";
import { extractVocabulary } from "#lib/text/vocabulary";
import { DEMO_MODEL_PATH } from "#services/cli/compose/engine";
import { openTerminal, type Terminal, terminalsMissing } from "../support/terminal.ts";

const open: Terminal[] = [];

function start(columns: number, args: string[], env?: Record<string, string>): Terminal {
  const terminal = openTerminal(args, columns, env);
  open.push(terminal);
  return terminal;
}

afterEach(() => {
  for (const terminal of open.splice(0)) terminal.close();
});

const UP = ["up", "--engine", "mock", "--http-port", "0"];
const NAMES = ["hub", "worker-1", "worker-2", "frontend"];

/** Rows of processes among the lines, by the first word. */
function processesOf(lines: readonly string[]): string[] {
  return lines.filter((line) => /^ {2}(hub|worker-\d+|frontend) /.test(line));
}

/** Rows of the board: those of processes, and those of their further ports. */
function boardOf(lines: readonly string[]): string[] {
  return lines.filter((line) => processesOf([line]).length > 0 || /^ {20,}127\.0\.0\.1:\d+( |$)/.test(line));
}

if (process.env.CI === "true") {
  it("has terminals to test with", () => expect(terminalsMissing).toBeUndefined());
}

describe.skipIf(terminalsMissing)(`stator in a terminal${terminalsMissing ? ` (${terminalsMissing})` : ""}`, () => {
  it.each([60, 70, 80, 120])(
    "shows each process on one row of %i columns, from the start to the end",
    async (columns) => {
      const terminal = start(columns, UP);
      await terminal.until(/hub +pid/);
      for (let shown = ""; !shown.includes("Try it:"); shown = terminal.lines().join("\n")) {
        const rows = processesOf(terminal.lines());
        expect(rows.map((row) => row.trim().split(" ")[0])).toEqual(NAMES.slice(0, rows.length));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await terminal.until(/Ctrl-C ends everything/);
      const lines = terminal.lines();
      const rows = processesOf(lines);
      expect(rows).toHaveLength(NAMES.length);
      for (const row of rows) expect(row).toMatch(/^ {2}\S+ +pid \d+ +ready +127\.0\.0\.1:\d+ /);
      const at = lines.findIndex((line) => line.startsWith("  stator-mock: engine mock"));
      expect(lines.slice(0, at), "nothing but the board stands above the model").toEqual(boardOf(lines));
      expect(boardOf(lines).length, "and the frontend's port of gRPC").toBe(NAMES.length + 1);
    },
  );

  it("draws anew when the size changes, and leaves nothing behind", async () => {
    const terminal = start(120, UP);
    const [, pid] = await terminal.until(/worker-1 +pid (\d+)/);
    // A worker that stands still keeps the board waiting.
    process.kill(Number(pid), "SIGSTOP");
    await terminal.until(/worker-2 .*ready[\s\S]*frontend .*ready/);
    for (const columns of [60, 100, 50, 120, 80]) {
      terminal.resize(columns);
      // tmux tells a program of a second change after a quarter of a second.
      await new Promise((resolve) => setTimeout(resolve, 500));
      // What tmux pushed out at the top, because broken lines take more rows, nobody can draw anew.
      const rows = boardOf(terminal.screen());
      expect(rows).toEqual(terminal.screen());
      expect(processesOf(rows).map((row) => row.trim().split(" ")[0])).toEqual(NAMES);
      expect(rows[0]).toMatch(columns < 80 ? /…$/ : /discovery, in this process$/);
    }
    process.kill(Number(pid), "SIGCONT");
    await terminal.until(/Ctrl-C ends everything/);
    expect(processesOf(terminal.screen())).toHaveLength(NAMES.length);
  });

  it("has colours unless NO_COLOR is set", async () => {
    const colored = start(80, UP);
    const plain = start(80, UP, { NO_COLOR: "1" });
    await Promise.all([colored.until(/Try it:/), plain.until(/Try it:/)]);
    expect(colored.colored()).toMatch(/\[32m\S* {2}ready/);
    expect(plain.colored()).not.toContain("\x1b[3");
  });

  it("writes log lines of its processes above the board, with who speaks", async () => {
    const terminal = start(120, [...UP, "--log-level", "info"]);
    await terminal.until(/Try it:/);
    const lines = terminal.lines();
    expect(lines.some((line) => /info {2}worker-1 \d+: worker ready model=stator-mock/.test(line))).toBe(true);
    expect(processesOf(lines)).toHaveLength(NAMES.length);
    expect(lines.findLastIndex((line) => line.includes(" info "))).toBeLessThan(
      lines.findIndex((line) => line.startsWith("  hub")),
    );
  });

  it("breaks help at words", async () => {
    const terminal = start(70, ["up", "--help"]);
    await terminal.until(/which counts\./);
    for (const line of terminal.lines()) expect(line.length).toBeLessThanOrEqual(70);
    expect(terminal.lines().join("\n")).toMatch(/--router-mode NAME +How a worker[^\n]*\n {20,}\S/);
    // tmux breaks within a word, where the next row begins with the rest of it.
    const whole = terminal.lines().join(" ").replaceAll(/\s+/g, " ");
    expect(whole).toContain(`One of ${ROUTER_MODES.join(", ")}. (kv)`);
  });

  it("ends with all its processes when the terminal goes away", async () => {
    const terminal = start(80, UP);
    await terminal.until(/Ctrl-C ends everything/);
    const pids = processesOf(terminal.lines()).map((row) => Number(/pid (\d+)/.exec(row)?.[1]));
    expect(pids).toHaveLength(NAMES.length);
    terminal.close();
    const alive = (pid: number): boolean => {
      const file = `/proc/${pid}/stat`;
      return existsSync(file) && !/\) Z /.test(readFileSync(file, "utf8"));
    };
    await expect.poll(() => pids.filter(alive), { timeout: 20_000 }).toEqual([]);
  });

  it("offers what fits the model, and chat continues the text of one without a chat template", async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "stator-base-"));
    const base = path.join(folder, "base.gguf");
    writeFileSync(base, extractVocabulary(await readModelHeader(DEMO_MODEL_PATH)));
    const up = start(80, [...UP, "--model", base]);
    const [, port = ""] = await up.until(/--http-port (\d+)/);
    expect(up.lines().join("\n")).toMatch(/v1\/completions \\\n.*\n +-d '\{"model":"stator-mock","prompt":/);
    const chat = start(80, ["chat", "--http-port", port, "--max-tokens", "8"]);
    await chat.until(/\/help tells what there is/);
    chat.type("Hello\n");
    await chat.until(/8 tokens, [\d.]+ tokens\/s, the first after [\d.]+ s/);
    await chat.until(/no chat template: it continues what you write\.\n>/);
    chat.type("/bye\n");
    await chat.ended();
    rmSync(folder, { recursive: true, force: true });
  });
});

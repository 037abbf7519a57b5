import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { root } from "../../tools/run-tool.ts";

/** A terminal of a given size with a program in it, as a test holds it. */
export interface Terminal {
  /** Everything that is or was on the screen, one line each, without the empty ones at the end. */
  lines(): string[];
  /** The same with its colours. */
  colored(): string;
  /** Rows of the screen alone. */
  screen(): string[];
  resize(columns: number): void;
  /** Types text; a newline is Enter. */
  type(text: string): void;
  /** Resolves with the match once what is shown matches. */
  until(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>;
  /** Resolves once the program has ended; what tmux writes about it then is not there in every run. */
  ended(): Promise<void>;
  /** The terminal goes away, as when its window is closed. */
  close(): void;
}

/** Why there are no terminals here; undefined when there are. */
export const terminalsMissing: string | undefined =
  spawnSync("tmux", ["-V"]).status === 0 ? undefined : "tmux is missing";

const LOOK_EVERY_MS = 50;
const ROWS = 40;

/** Starts `stator ARGS` in a terminal of so many columns: tmux is one, with a screen that can be read. */
export function openTerminal(args: readonly string[], columns: number, env: Record<string, string> = {}): Terminal {
  const folder = mkdtempSync(path.join(os.tmpdir(), "stator-terminal-"));
  const socket = path.join(folder, "tmux");
  const tmux = (...words: string[]) =>
    execFileSync("tmux", ["-S", socket, "-f", "/dev/null", ...words], { encoding: "utf8" });
  const inherited = Object.entries(process.env).filter(([name]) => !/^(STATOR_|NO_COLOR|FORCE_COLOR|CI$)/.test(name));
  const variables = Object.entries({ ...Object.fromEntries(inherited), TERM: "screen-256color", ...env });
  // What remains on the screen can be read after the program has ended.
  const command = ["env", "-i", ...variables.map(([name, value]) => `${name}=${value ?? ""}`), process.execPath];
  const words = [...command, path.join(root, "bin/stator.mjs"), ...args];
  const keep = ["set-option", "-g", "remain-on-exit", "on"];
  const size = ["-x", String(columns), "-y", String(ROWS)];
  tmux("start-server", ";", ...keep, ";", "new-session", "-d", "-s", "t", ...size, "-c", root, ...words);
  const capture = (...flags: string[]) => tmux("capture-pane", "-p", "-t", "t", ...flags);
  const trimmed = (text: string) => text.trimEnd().split("\n");
  return {
    lines: () => trimmed(capture("-S", "-")),
    screen: () => trimmed(capture()),
    colored: () => capture("-e", "-S", "-"),
    resize: (width) => void tmux("resize-window", "-t", "t", "-x", String(width)),
    type: (text) => void tmux("send-keys", "-t", "t", "-l", text),
    async until(pattern, timeoutMs = 60_000) {
      const endMs = performance.now() + timeoutMs;
      for (;;) {
        const shown = capture("-S", "-");
        const match = shown.match(pattern);
        if (match) return match;
        if (performance.now() > endMs || shown.includes("Pane is dead")) throw new Error(`No ${pattern} in:\n${shown}`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
    },
    async ended() {
      const endMs = performance.now() + 60_000;
      while (tmux("list-panes", "-a", "-F", "#{pane_dead}").trim() !== "1") {
        if (performance.now() > endMs) throw new Error(`It goes on in:\n${capture("-S", "-")}`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
    },
    close() {
      spawnSync("tmux", ["-S", socket, "kill-server"]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

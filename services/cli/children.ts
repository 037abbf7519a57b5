import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { asStatorError, type Facts, type Reason } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { ModelReport } from "./model-report.ts";
import type { ProcessPortRow } from "./process-board.ts";
import type { ProcessEnd } from "./restart.ts";
import { hasColors, type Screen } from "./screen.ts";

/** What a child tells its parent. */
export type ChildReport =
  | { readonly type: "progress"; readonly phase: string; readonly fraction: number }
  | {
      readonly type: "ready";
      readonly address: string;
      readonly detail: string;
      /** Its other ports that people may want. */
      readonly ports?: readonly ProcessPortRow[];
      readonly models?: readonly ModelReport[];
    }
  /** It ends by this; or, `unusable`, it goes on and there is a model that it can never serve. */
  | { readonly type: "failed" | "unusable"; readonly reason: Reason; readonly facts: Facts };

/** What a parent tells its child. */
export interface ParentOrder {
  /** To finish what runs and end. */
  readonly type: "drain";
}

/** A process that `stator up` started. */
export interface Child {
  /** Such as worker-1, by which it stands on the board. */
  readonly name: string;
  /** undefined when the operating system did not start it. */
  readonly pid: number | undefined;
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<ProcessEnd>;
  /** Asks it to finish and end. */
  drain(): void;
  /** Ends it now. */
  kill(): void;
}

const LAUNCHER = fileURLToPath(new URL("../../bin/stator.mjs", import.meta.url));

/** The variable that makes a process obey its parent, with its name on the board: it is set by `stator up` alone. */
export const CHILD_VARIABLE = "STATOR_CHILD";

/**
 * Settings of the process of each command; the launcher gives them to what is started by hand. A frontend makes much
 * garbage and keeps little. By default V8 lets both generations grow well beyond what is alive, malloc keeps an arena for
 * each of several threads, and what held a long body once stays with the process for good. With these bounds
 * `memory/50k-requests` shows about half the resident memory; a difference in CPU time was within the noise of single
 * runs. They are given at the start of the process: set later, most of them change nothing.
 */
const SETTINGS = JSON.parse(
  readFileSync(new URL("../../bin/process-settings.json", import.meta.url), "utf8"),
) as Readonly<Record<string, { readonly flags: string[]; readonly variables: Record<string, string> }>>;

/**
 * Starts this program again with other arguments. The child is detached, so that a terminal's Ctrl-C reaches it only
 * through its parent. It is killed when the parent exits before it, and drains by itself when the parent was killed.
 */
export function startChild(
  name: string,
  args: readonly string[],
  on: { onReport(report: ChildReport): void; log: Log; screen: Screen },
): Child {
  const { screen } = on;
  const env: NodeJS.ProcessEnv = { ...process.env, [CHILD_VARIABLE]: name };
  for (const key of Object.keys(env)) if (key.startsWith("STATOR_") && key !== CHILD_VARIABLE) delete env[key];
  // A child that writes to this process does not see the terminal behind it.
  if (screen.isTerminal && hasColors(env, process.stderr)) env.FORCE_COLOR ??= "1";
  const settings = SETTINGS[args[0] ?? ""];
  Object.assign(env, settings?.variables);
  const child: ChildProcess = spawn(process.execPath, [...(settings?.flags ?? []), LAUNCHER, ...args], {
    detached: true,
    stdio: ["ignore", "inherit", screen.isTerminal ? "pipe" : "inherit", "ipc"],
    env,
  });
  // Who ends this process at once, by a second Ctrl-C, ends all of it: a child that drained on would keep its port.
  const forced = (): void => void child.kill("SIGKILL");
  process.once("exit", forced);
  child.once("exit", () => process.off("exit", forced));
  // Where lines change in place, what others write goes above them.
  if (child.stderr) createInterface({ input: child.stderr }).on("line", (line) => screen.note(`${line}\n`));
  child.on("message", (report) => on.onReport(report as ChildReport));
  const exited = new Promise<ProcessEnd>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.once("error", (error) => {
      on.log.error("child did not start", { child: name, error });
      resolve({ code: 1, signal: null });
    });
  });
  // Its last report may come after its end.
  const silent = new Promise<void>((resolve) => {
    child.once("disconnect", resolve);
    child.once("error", () => resolve());
  });
  const ended = Promise.all([exited, silent]).then(([end]) => end);
  return {
    name,
    pid: child.pid,
    ended,
    drain: () => {
      const order: ParentOrder = { type: "drain" };
      if (child.connected) child.send(order, () => {});
    },
    kill: () => void child.kill("SIGKILL"),
  };
}

/** Tells the `stator up` that started this process, and returns whether one did: a launcher's channel leads to nobody. */
export function reportToParent(report: ChildReport): boolean {
  if (process.env[CHILD_VARIABLE] === undefined) return false;
  return process.send?.(report, undefined, undefined, () => {}) ?? false;
}

/** What a child tells of an error. */
export function failureReport(type: "failed" | "unusable", caught: unknown): ChildReport {
  const { reason, facts } = asStatorError(caught);
  const plain = Object.entries(facts).map(([name, fact]) => [name, typeof fact === "bigint" ? String(fact) : fact]);
  return { type, reason, facts: Object.fromEntries(plain) as Facts };
}

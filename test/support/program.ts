import { type ChildProcess, spawn } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What a program is started as. */
export interface ProgramOrigin {
  /** User that it runs as, where the test may; this one's unless given. */
  readonly uid?: number | undefined;
  /** Root of the tree whose program it is; this one unless given. */
  readonly root?: string | undefined;
}

/** A run of the program, as a test holds it. */
export interface Program {
  readonly pid: number;
  /** Everything it wrote to standard output so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** Resolves with the match once standard output matches; rejects when the program ends first or time is up. */
  until(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>;
  signal(signal: NodeJS.Signals): void;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Ends it with SIGTERM, or SIGKILL when it does not obey. */
  close(): Promise<void>;
}

/** Starts `stator ARGS` from the root of the tree. `env` is added to the environment without any STATOR_ variable. */
export function startProgram(
  args: readonly string[],
  env: Record<string, string> = {},
  { uid, root = ROOT }: ProgramOrigin = {},
): Program {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("STATOR_")));
  const child: ChildProcess = spawn(process.execPath, [path.join(root, "bin/stator.mjs"), ...args], {
    cwd: root,
    env: { ...inherited, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(uid !== undefined && { uid }),
  });
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  child.stdout?.on("data", (data: Buffer) => {
    stdout += data.toString();
    for (const watch of watchers) watch();
  });
  child.stderr?.on("data", (data: Buffer) => {
    stderr += data.toString();
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once("close", (code, signal) => {
      resolve({ code, signal });
      for (const watch of watchers) watch();
    });
  });
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  return {
    pid: child.pid!,
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
    ended,
    signal: (signal) => void child.kill(signal),
    until(pattern, timeoutMs = 60_000) {
      return new Promise((resolve, reject) => {
        const done = (finish: () => void): void => {
          clearTimeout(timer);
          watchers.delete(watch);
          finish();
        };
        const told = () => `${pattern} in:\n${stdout}\n${stderr}`;
        const watch = (): void => {
          const match = stdout.match(pattern);
          if (match) done(() => resolve(match));
          else if (hasEnded()) done(() => reject(new Error(`The program ended without ${told()}`)));
        };
        const timer = setTimeout(() => done(() => reject(new Error(`No ${told()}`))), timeoutMs);
        watchers.add(watch);
        watch();
      });
    },
    async close() {
      if (hasEnded()) return;
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 20_000);
      await ended;
      clearTimeout(late);
    },
  };
}

/** host:port where the `stator up` of a test speaks KServe's API over gRPC. */
export function readInferencePort(program: Program): string {
  const [, address = ""] = program.stdout.match(/^ +(\S+) +KServe's API, gRPC$/m) ?? [];
  return address;
}

/** The rows that `stator up` printed: pid and address by name. */
export function readBoard(program: Program): Map<string, { pid: number; address: string }> {
  const rows = new Map<string, { pid: number; address: string }>();
  for (const [, name, pid, address] of program.stdout.matchAll(/^ {2}(\S+) +pid (\d+) +ready +(\S+)/gm)) {
    rows.set(name!, { pid: Number(pid), address: address! });
  }
  return rows;
}

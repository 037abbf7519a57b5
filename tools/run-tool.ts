import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";

/** The checkout's root folder. */
export const root = path.dirname(import.meta.dirname);

const PACKAGES = {
  biome: "@biomejs/biome",
  buf: "@bufbuild/buf",
  oxlint: "oxlint",
  tsc: "typescript",
  vitest: "vitest",
} as const;

/** A tool that npm installed. */
export type Tool = keyof typeof PACKAGES;

/** How a tool ended. */
export interface Outcome {
  /** It exited with 0. */
  readonly ok: boolean;
  /** What it wrote to both of its outputs; empty unless captured. */
  readonly output: string;
}

/** How a tool is run. */
export interface RunOptions {
  /** Returns the output instead of showing it. */
  readonly capture?: boolean;
  /** Working directory. Default: the checkout's root. */
  readonly cwd?: string;
  /** Variables added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Path of a tool's JavaScript entry: started directly, it saves the second that npx takes. */
export function toolPath(tool: Tool): string {
  const folder = path.join(root, "node_modules", PACKAGES[tool]);
  const { bin } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")) as PackageBin;
  const entry = typeof bin === "string" ? bin : bin[tool];
  if (entry === undefined) throw new Error(`${PACKAGES[tool]} has no command named ${tool}`);
  return path.join(folder, entry);
}

interface PackageBin {
  readonly bin: string | Readonly<Record<string, string>>;
}

/** Runs a tool to its end under this process's own Node. Blocks. */
export function runTool(tool: Tool, args: readonly string[], options: RunOptions = {}): Outcome {
  return runNode([toolPath(tool), ...args], options);
}

/** Runs a script to its end under this process's own Node. Blocks. */
export function runNode(args: readonly string[], options: RunOptions = {}): Outcome {
  const result = spawnSync(process.execPath, args, {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...options.env },
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: options.capture ? ["ignore", "pipe", "pipe"] : ["ignore", "inherit", "inherit"],
  });
  if (result.error !== undefined) throw result.error;
  return { ok: result.status === 0, output: `${result.stdout ?? ""}${result.stderr ?? ""}` };
}

import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { symlinkSync } from "node:fs";
import path from "node:path";
import { LANGUAGES, type Language } from "#lib/stubs/recipe";
import { generateStubs, type StubPackage } from "#services/cli/stubs/generate-stubs";
import { toolCacheFolder } from "#services/cli/stubs/tool-cache";
import { root } from "../../tools/run-tool.ts";

/** How a language's package is built and its example run, by what a machine for development has. */
interface Toolchain {
  /** What must answer on this machine. */
  readonly needs: readonly (readonly [command: string, ...args: readonly string[]])[];
  /** The command that brings it. */
  readonly bring: string;
  /** Command lines that build the package, run in its folder. */
  readonly build: readonly (readonly string[])[];
  /** Runs the example; arguments follow. */
  readonly example: readonly string[];
  /** Variables for all of it. */
  env?(made: Pick<StubPackage, "folder" | "tools">): Record<string, string>;
}

const TOOLCHAINS: Readonly<Record<Language, Toolchain>> = {
  python: {
    needs: [["python3", "-m", "pip", "--version"]],
    bring: "apt-get install python3 python3-pip",
    build: [["python3", "-m", "compileall", "-q", "src"]],
    example: ["python3", "example.py"],
    // The tools bring the libraries too: what `pip install .` would.
    env: ({ folder, tools }) => ({ PYTHONPATH: `${path.join(folder, "src")}:${tools}` }),
  },
  go: {
    needs: [["go", "version"]],
    bring: "install Go 1.25 or newer and have it on PATH",
    // Without paths in what is compiled, the next folder finds it in Go's cache.
    build: [["go", "build", "-trimpath", "./..."]],
    example: ["go", "run", "-trimpath", "./example"],
  },
  java: {
    needs: [
      ["mvn", "--version"],
      ["javac", "-version"],
    ],
    bring: "apt-get install maven default-jdk-headless",
    build: [["mvn", "--batch-mode", "--quiet", "package"]],
    example: ["java", "-cp", "target/classes:target/lib/*", "com.example.Example"],
  },
  rust: {
    needs: [["cargo", "--version"]],
    bring: "install Rust 1.88 or newer and have cargo on PATH",
    build: [["cargo", "build", "--quiet", "--example", "example"]],
    example: ["cargo", "run", "--quiet", "--example", "example"],
    // Libraries are compiled once for all folders.
    env: () => ({ CARGO_TARGET_DIR: path.join(toolCacheFolder(), "cargo-target") }),
  },
  typescript: {
    needs: [["npm", "--version"]],
    bring: "npm ci",
    build: [["node_modules/.bin/tsc"]],
    example: ["node", "dist/example.js"],
  },
};

/** Why stubs of a language cannot be made and built here, with what brings it; empty where they can. */
export function stubsMissing(language: Language): string {
  const { needs, bring } = TOOLCHAINS[language];
  const absent = needs.find(([command, ...args]) => spawnSync(command, args, { stdio: "ignore" }).status !== 0);
  return absent === undefined ? "" : `${absent[0]} is missing: ${bring}`;
}

/** Languages that this machine lacks something for, each with what brings it. */
export const STUBS_MISSING: Readonly<Record<Language, string>> = Object.fromEntries(
  LANGUAGES.map((language) => [language, stubsMissing(language)]),
) as Record<Language, string>;

/** A package of stubs as a test uses it. */
export interface BuiltStubs extends StubPackage {
  /** Variables that its programs need. */
  readonly env: Readonly<Record<string, string>>;
}

/** Makes a package with the contracts of others too, as a user would. */
export async function makeStubs(language: Language, out: string, foreign = true): Promise<BuiltStubs> {
  const made = await generateStubs({ language, out, foreign });
  return { ...made, env: stubEnvironment(language, made) };
}

/** Variables that what uses a package needs. `folder` is where the package is, `tools` where those of its language are. */
export function stubEnvironment(
  language: Language,
  made: Pick<StubPackage, "folder" | "tools">,
): Readonly<Record<string, string>> {
  return TOOLCHAINS[language].env?.(made) ?? {};
}

/** Builds it. Throws with what the compiler said. */
export function buildStubs(language: Language, made: BuiltStubs): void {
  // What `npm install` would bring is here already, at the same versions.
  if (language === "typescript") symlinkSync(path.join(root, "node_modules"), path.join(made.folder, "node_modules"));
  for (const [command = "", ...args] of TOOLCHAINS[language].build) {
    const { status, stdout, stderr } = run(command, args, made);
    if (status !== 0) throw new Error(`${command} ${args.join(" ")} in ${made.folder}: ${stdout}${stderr}`);
  }
}

/** Runs its example; returns what it printed. */
export function runExample(language: Language, made: BuiltStubs, ...args: readonly string[]): string {
  const [command = "", ...rest] = TOOLCHAINS[language].example;
  const { status, stdout, stderr } = run(command, [...rest, ...args], made);
  if (status !== 0) throw new Error(`the example in ${made.folder}: ${stdout}${stderr}`);
  return stdout;
}

function run(command: string, args: readonly string[], { folder, env }: BuiltStubs): SpawnSyncReturns<string> {
  const options = { cwd: folder, env: { ...process.env, ...env }, timeout: 900_000 };
  return spawnSync(command === "node" ? process.execPath : command, args, { ...options, encoding: "utf8" });
}

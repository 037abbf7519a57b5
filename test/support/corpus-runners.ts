import path from "node:path";
import type { Language } from "#lib/stubs/recipe";
import { root } from "../../tools/run-tool.ts";
import { JAVA_RUNNER, RUST_RUNNER, type RunnerPlace } from "./compiled-runners.ts";

/** How the runner of a language is built and run. What the package of stubs needs in variables is there for both. */
export interface RunnerRow {
  /** Command lines, one after the other. What they leave is moved as a whole: no path of it may stand in it. */
  build(place: RunnerPlace): readonly (readonly string[])[];
  /** The command before the folder of the corpus. */
  run(place: RunnerPlace): readonly [command: string, ...args: string[]];
  /** Variables beside those of the stubs. */
  env?(place: RunnerPlace): Readonly<Record<string, string>>;
}

/** The runners of the golden corpus by their languages. */
export const CORPUS_RUNNERS: Readonly<Record<Language, RunnerRow>> = {
  typescript: {
    // What `npm install` would bring is here already, at the same versions.
    build: () => [
      ["ln", "-s", path.join(root, "node_modules"), "node_modules"],
      ["node", "node_modules/typescript/bin/tsc"],
    ],
    run: ({ sources }) => [process.execPath, `${sources}/runner.ts`],
    env: ({ stubs }) => ({ CORPUS_STUBS: `${stubs}/dist` }),
  },
  python: {
    build: () => [["python3", "-m", "compileall", "-q", "src"]],
    run: ({ sources }) => ["python3", `${sources}/runner.py`],
  },
  go: {
    // In the module of the stubs, whose pins are its own then.
    build: ({ sources, build }) => [
      ["cp", "-r", sources, "runner"],
      ["go", "build", "-trimpath", "-o", `${build}/runner`, "./runner"],
    ],
    run: ({ build }) => [`${build}/runner`],
  },
  java: JAVA_RUNNER,
  rust: RUST_RUNNER,
};

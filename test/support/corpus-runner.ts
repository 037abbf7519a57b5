import { spawn } from "node:child_process";
import path from "node:path";
import { root } from "../../tools/run-tool.ts";

/** Where the golden corpus is. */
export const CORPUS = path.join(root, "test/contract/corpus");

/** A case that did not pass. */
export interface CorpusRemark {
  /** Of the case. */
  readonly name: string;
  /** Why it failed or was skipped. */
  readonly reason: string;
}

/** What a runner of the corpus said, in whatever language. */
export interface CorpusRun {
  /** Its exit code: 0 when no case failed. */
  readonly code: number | null;
  /** All that it wrote, for a person. */
  readonly output: string;
  /** How many cases passed. */
  readonly passed: number;
  /** Cases that failed, in their order. */
  readonly failed: readonly CorpusRemark[];
  /** Cases whose target is not there, in their order. */
  readonly skipped: readonly CorpusRemark[];
}

/** The command of the runner in TypeScript, before the folder of the corpus and the file of targets. */
export const TYPESCRIPT_RUNNER = [process.execPath, path.join(root, "test/contract/typescript/runner.ts")] as const;

/**
 * Runs a runner with the folder of a corpus and a file of targets to its end. Rejects when it does not end with a summary, with
 * what it wrote.
 */
export async function runCorpus(
  [command, ...before]: readonly [command: string, ...args: string[]],
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CorpusRun> {
  const child = spawn(command, [...before, ...args], { cwd: root, env: { ...process.env, ...env } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const summary = output.split("\n").findLast((line) => line.startsWith('{"passed"'));
  if (summary === undefined) throw new Error(`The runner ended with ${code} and no summary:\n${output}`);
  return { code, output, ...(JSON.parse(summary) as Pick<CorpusRun, "passed" | "failed" | "skipped">) };
}

import { spawn } from "node:child_process";
import path from "node:path";
import { root } from "../../tools/run-tool.ts";

/** Where the golden corpus is. */
export const CORPUS = path.join(root, "test/contract/corpus");

/** A runner that can be started. */
export interface CorpusRunner {
  /** The command before the folder of the corpus. */
  readonly argv: readonly [command: string, ...args: string[]];
  /** Variables that it needs. */
  readonly env: Readonly<Record<string, string>>;
}

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

/**
 * Runs a runner with the folder of a corpus and a file of targets to its end. Rejects when it does not end with a summary, with
 * what it wrote.
 */
export async function runCorpus({ argv, env }: CorpusRunner, args: readonly string[]): Promise<CorpusRun> {
  const [command, ...before] = argv;
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

import { execFile, execFileSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { root } from "../../tools/run-tool.ts";
import { writeHfTokenizer } from "../support/hf-tokenizer.ts";
import { readBoard, startProgram } from "../support/program.ts";
import { IS_LONG } from "../support/seeds.ts";

const FOLDER = path.join(import.meta.dirname, "lm-eval");
/** Python's packages stay here between runs; they come from PyPI once. */
const VENV = path.join(root, ".cache/lm-eval");

/** Why the harness is not there; undefined when it is. */
function installHarness(): string | undefined {
  const requirements = path.join(FOLDER, "requirements.txt");
  const marker = path.join(VENV, "installed.txt");
  const wanted = readFileSync(requirements, "utf8");
  if (existsSync(marker) && readFileSync(marker, "utf8") === wanted) return undefined;
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: "pipe", timeout: 600_000 });
  try {
    run("python3", "-m", "venv", "--clear", VENV);
    run(path.join(VENV, "bin/pip"), "install", "--quiet", "--requirement", requirements);
    run("cp", requirements, marker);
    return undefined;
  } catch (error) {
    return `lm-eval cannot be installed: ${String(error).split("\n")[0]}`;
  }
}

/** Results of a task by lm-evaluation-harness, unmodified and without network. */
async function evaluate(task: string, url: string, model: string): Promise<{ accuracy: number; samples: Sample[] }> {
  const scratch = mkdtempSync(path.join(os.tmpdir(), "stator-lm-eval-"));
  try {
    await writeHfTokenizer(path.join(root, "models/stator-demo-q8_0.gguf"), path.join(scratch, "tokenizer"));
    const tokenizer = `tokenizer_backend=huggingface,tokenizer=${path.join(scratch, "tokenizer")}`;
    const settings = `model=${model},base_url=${url}/v1/completions,${tokenizer},num_concurrent=4,max_retries=1`;
    const about = ["--model", "local-completions", "--model_args", settings, "--tasks", task, "--include_path", FOLDER];
    const out = ["--output_path", path.join(scratch, "out"), "--log_samples"];
    const env = { ...process.env, HF_HUB_OFFLINE: "1", HF_HOME: path.join(scratch, "home"), OPENAI_API_KEY: "none" };
    await promisify(execFile)(path.join(VENV, "bin/lm_eval"), [...about, ...out], { cwd: FOLDER, env });
    const read = (name: string) => readFileSync(globSync(path.join(scratch, "out/**", name))[0]!, "utf8");
    const { results } = JSON.parse(read("results_*.json")) as { results: Record<string, Record<string, number>> };
    const lines = read("samples_*.jsonl").trim().split("\n");
    return { accuracy: results[task]!["acc,none"]!, samples: lines.map((line) => JSON.parse(line) as Sample) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

interface Sample {
  /** Per choice: log-likelihood, and whether it is what greedy drawing gives. */
  readonly filtered_resps: readonly (readonly [number | string, boolean | string])[];
  readonly target: number | string;
}

test("lm-evaluation-harness measures what the demo model knows", { timeout: 900_000 }, async (context) => {
  if (!IS_LONG) return context.skip("npm run test:long runs it");
  const missing = installHarness();
  if (missing !== undefined) {
    expect(process.env.CI, missing).not.toBe("true");
    return context.skip(missing);
  }
  const program = startProgram(["up", "--workers", "1", "--http-port", "0"]);
  try {
    await program.until(/Try it:/, 60_000);
    const url = `http://${readBoard(program).get("frontend")!.address}`;
    const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
    const { accuracy, samples } = await evaluate("stator_capitals", url, data[0]!.id);
    expect(samples).toHaveLength(4);
    for (const { filtered_resps } of samples) {
      expect(filtered_resps).toHaveLength(4);
      for (const [likelihood] of filtered_resps) expect(Number(likelihood)).toBeLessThan(0);
    }
    if (!data[0]!.id.includes("mock")) expect(accuracy).toBe(1);
  } finally {
    await program.close();
  }
});

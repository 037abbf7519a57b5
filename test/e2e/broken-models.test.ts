import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { llamaUnavailable } from "#services/cli/compose/engine-choice";
import { type BrokenModel, brokenModels, cutModels } from "../support/broken-models.ts";
import { Cluster } from "../support/cluster.ts";
import { encoderModel } from "../support/tiny-models.ts";

/** Far more than it takes: a machine may be busy. */
const LIMIT_MS = 20_000;

const scale = Number(process.env.TEST_SCALE ?? 1);
const missing = llamaUnavailable()?.detail;
const folder = mkdtempSync(path.join(tmpdir(), "stator-broken-"));
const cluster = new Cluster();
afterEach(() => cluster.close());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What `stator up` says of a model before it ends with 1. */
async function refusal(args: readonly string[]): Promise<string> {
  const program = cluster.start(["up", "--http-port", "0", ...args]);
  const late = new Promise<string>((resolve) => void setTimeout(resolve, LIMIT_MS, "it goes on").unref());
  const end = await Promise.race([program.ended, late]);
  expect(end, program.stdout + program.stderr).toEqual({ code: 1, signal: null });
  expect(program.stderr).toMatch(/^stator up: .*\n$/);
  return program.stderr;
}

function written({ name, bytes }: Pick<BrokenModel, "name" | "bytes">): string {
  const file = path.join(folder, `${name}.gguf`);
  writeFileSync(file, bytes);
  return file;
}

describe.skipIf(missing !== undefined)(
  `a model that cannot be used ends up with one sentence (${missing ?? "llama"})`,
  () => {
    it.each(brokenModels())("$name", async (broken) => {
      expect(await refusal(["--model", written(broken)])).toMatch(broken.says);
    });

    it("cut anywhere", async () => {
      const every = scale > 1 ? 1 : 10;
      for (const cut of cutModels().filter((_, at) => at % every === 0)) {
        expect(await refusal(["--model", written(cut)]), cut.name).toMatch(cut.says);
      }
    });

    it("whose text the frontend cannot read", async () => {
      const words = written({ name: "words", bytes: encoderModel() });
      // What this vocabulary means is known to the library alone.
      expect(await refusal(["--model", words, "--tokenizer-engine", "javascript"])).toMatch(/tokenizer/i);
    });
  },
);

describe("where the native library is missing", () => {
  const copy = path.join(folder, "without-native");
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const model = path.join(root, "models/stator-demo-q8_0.gguf");
  let child: ChildProcess | undefined;
  afterEach(() => void child?.kill("SIGKILL"));

  /** Everything that a run prints until it ends, or until it says this. */
  function run(args: readonly string[], until: RegExp): Promise<{ said: string; code: number | null }> {
    if (!existsSync(copy)) {
      mkdirSync(copy);
      for (const name of ["bin", "lib", "services", "gen", "models", "package.json"])
        cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
      symlinkSync(path.join(root, "node_modules"), path.join(copy, "node_modules"));
    }
    const started = spawn(process.execPath, [path.join(copy, "bin/stator.mjs"), "up", "--http-port", "0", ...args]);
    child = started;
    let said = "";
    return new Promise((resolve) => {
      const hear = (data: Buffer): void => {
        said += data.toString();
        if (until.test(said)) resolve({ said, code: null });
      };
      started.stdout.on("data", hear);
      started.stderr.on("data", hear);
      started.once("close", (code) => resolve({ said, code }));
    });
  }

  it("who names a model gets one sentence, who names nothing a mock", async () => {
    const named = await run(["--model", model], /a mock/i);
    expect(named).toEqual({
      said: expect.stringMatching(/^stator up: The llama engine is not available: .*\n$/),
      code: 1,
    });
    const { said } = await run([], /Try it:/);
    expect(said).toContain("A mock serves in its place");
  });
});

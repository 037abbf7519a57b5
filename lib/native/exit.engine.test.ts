import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { loadNative } from "./addon.ts";

/** What every program begins with: a context on the demo model and a step that computes 1,500 tokens. */
const preamble = `
  import { DEMO_MODEL, emptyPlan, openNative } from "./test/support/engine-driver.ts";
  const { llama } = openNative();
  const say = (text) => process.stdout.write(text + "\\n");
  const size = { cellTokens: 2048, maxSequences: 4, maxBatchTokens: 2048 };
  const tokens = Uint32Array.from({ length: 1500 }, (_, i) => 300 + (i % 700));
  const long = (step) => ({ ...emptyPlan(step), slots: Int32Array.of(0), positions: Int32Array.of(0),
    counts: Int32Array.of(tokens.length), flags: Uint8Array.of(0), tokens });
`;

function run(program: string, ...flags: string[]) {
  const args = ["--disable-warning=ExperimentalWarning", ...flags, "--input-type=module", "-e", preamble + program];
  const cwd = new URL("../..", import.meta.url);
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd,
    encoding: "utf8",
    timeout: 60_000,
  });
  return { status, signal, said: stdout.trim().split("\n"), stderr };
}

describe.skipIf(loadNative().addon === undefined)("a process with the addon", () => {
  it("lives while a step is under way and ends by itself when idle, nothing closed", () => {
    const result = run(`
      const model = await llama.loadModel(DEMO_MODEL);
      const context = await model.openContext(size, (result) => say(result.status));
      context.submitStep(long(1));
      say("submitted");
    `);
    expect(result).toMatchObject({ status: 0, signal: null, said: ["submitted", "ok"], stderr: "" });
  });

  it("may exit in the middle of a step, a load or a tokenization", () => {
    const result = run(`
      const model = await llama.loadModel(DEMO_MODEL);
      const context = await model.openContext(size, () => say("never"));
      context.submitStep(long(1));
      context.exportBlocks(0, 0, [new Uint8Array(16 * context.kvLayout.tokenBytes)]).catch(() => say("never"));
      model.vocab().tokenizeAsync("a b c ".repeat(100000)).then(() => say("never"));
      llama.loadModel(DEMO_MODEL).then(() => say("never"));
      say("leaving");
      process.exit(7);
    `);
    expect(result).toMatchObject({ status: 7, signal: null, said: ["leaving"], stderr: "" });
  });

  // What ends threads too late shows in one run of five, so there are several.
  it.each([1, 2, 3, 4, 5, 6])("ends its threads before the libraries' own state goes (%i)", () => {
    const result = run(`
      const model = await llama.loadModel(DEMO_MODEL);
      const vocab = model.vocab();
      for (let i = 0; i < 20000; i++) vocab.tokenizeAsync("a b c " + i).then(() => say("never"));
      say("leaving");
      process.exit(7);
    `);
    expect(result).toMatchObject({ status: 7, signal: null, said: ["leaving"], stderr: "" });
  });

  it("treats an exception of the step callback as uncaught, and does not abort", () => {
    const result = run(`
      const model = await llama.loadModel(DEMO_MODEL);
      process.on("uncaughtException", (error) => say("caught " + error.message));
      let count = 0;
      const context = await model.openContext(size, () => { if (count++ === 0) throw new Error("in onStep"); context.close(); say("closed"); });
      context.submitStep(long(1));
      context.submitStep(emptyPlan(2));
    `);
    expect(result).toMatchObject({ status: 0, signal: null, said: ["caught in onStep", "closed"] });
  });

  it("collects contexts, models and vocabularies that were never closed", () => {
    const result = run(
      `
      for (let i = 0; i < 6; i++) {
        const model = await llama.loadModel(DEMO_MODEL);
        const vocab = model.vocab();
        const context = await model.openContext(size, () => {});
        context.submitStep({ ...emptyPlan(1) });
        vocab.tokenize("x");
        await new Promise((resolve) => setTimeout(resolve, 20));
        globalThis.gc();
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 50));
      const { readdirSync, readFileSync } = await import("node:fs");
      const names = readdirSync("/proc/self/task").map((id) => readFileSync("/proc/self/task/" + id + "/comm", "utf8").trim());
      say(String(names.filter((name) => name === "stator-engine").length <= 1));
    `,
      "--expose-gc",
    );
    expect(result).toMatchObject({ status: 0, signal: null, said: ["true"], stderr: "" });
  });

  it("works in worker threads, also when one is terminated in the middle of a step", () => {
    const result = run(`
      import { Worker } from "node:worker_threads";
      const body = ${JSON.stringify(preamble)} + \`
        import { parentPort } from "node:worker_threads";
        const model = await llama.loadModel(DEMO_MODEL);
        const context = await model.openContext(size, (result) => { parentPort.postMessage(result.status); });
        context.submitStep(long(1));
        context.submitStep({ ...long(2), positions: Int32Array.of(1500), counts: Int32Array.of(500), tokens: tokens.subarray(0, 500) });
      \`;
      const url = new URL("data:text/javascript," + encodeURIComponent(body.replaceAll("./test/", "file://" + process.cwd() + "/test/")));
      for (const terminate of [false, true]) {
        const worker = new Worker(url);
        const first = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
        if (terminate) await worker.terminate();
        else await new Promise((resolve) => worker.once("exit", resolve));
        say(first);
      }
    `);
    expect(result).toMatchObject({ status: 0, signal: null, said: ["ok", "ok"], stderr: "" });
  });
});

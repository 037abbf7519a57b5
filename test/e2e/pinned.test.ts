import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { loadNative } from "#lib/native/addon";
import { locateLlama } from "#lib/native/location";
import { Cluster, readMetric } from "../support/cluster.ts";
import { buildCudaSim, readPinNotes } from "../support/cuda.ts";
import { handOver, LegCaller } from "../support/leg-caller.ts";
import { IS_LONG } from "../support/seeds.ts";

const missing = loadNative().unavailable ?? locateLlama().unavailable;
const TOLD = /"(blocks pass through pinned memory|memory for blocks is not pinned)"/;
const folder = mkdtempSync(path.join(tmpdir(), "stator-pinned-"));
const cluster = new Cluster();
const callers: LegCaller[] = [];

afterEach(async () => {
  for (const caller of callers.splice(0)) caller.close();
  await cluster.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A worker of the llama engine that says what became of its memory. */
async function worker(role: string, driver: string, env: Record<string, string> = {}, ...more: string[]) {
  const flags = ["--engine", "llama", "--role", role, "--metrics-port", "0", "--transfer-cuda-driver", driver];
  const program = cluster.start(["worker", ...flags, "--transfer-pin", "always", ...more], env);
  const [, address = ""] = await program.until(/ on (\S+)\. Ctrl/, 60_000);
  await expect.poll(() => program.stderr, { timeout: 20_000 }).toMatch(TOLD);
  const [, port = ""] = /"metrics port open".*"port":(\d+)/.exec(program.stderr) ?? [];
  const caller = new LegCaller(address);
  callers.push(caller);
  await caller.ready;
  const metrics = async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return { program, caller, locked: async () => readMetric(await metrics(), "stator_transfer_page_locked_bytes") };
}

const words = Array.from({ length: 40 }, (_, at) => `Animal ${at} is a fox, a hen or a frog.`).join(" ");
const ask = (cacheSalt: string) => ({
  ...{ model: "stator-demo", promptText: `${words} What is a fox?`, cacheSalt },
  ...{ stopping: { maxTokens: 12, ignoreEos: true }, outputs: { logprobs: true, topLogprobs: 20 } },
});

type Worker = Awaited<ReturnType<typeof worker>>;

/**
 * The second part of an answer goes on from blocks of another worker as it does from its own. Without exact mode last digits
 * depend on what else is cached.
 */
async function goesOn(prefill: Worker, decode: Worker, tolerance = 0): Promise<void> {
  const found = await handOver(prefill.caller, decode.caller, ask("apart"));
  expect(found.second?.transfer).toMatchObject({ reason: "", heldBlocks: 0 });
  expect(found.second?.transfer?.blocks).toBeGreaterThan(10);
  const own = await handOver(decode.caller, decode.caller, ask("alone"));
  expect(found.tokens).toEqual(own.tokens);
  const apart = found.logprobs.map((each, at) => Math.abs(each - own.logprobs[at]!));
  expect(Math.max(...apart)).toBeLessThanOrEqual(tolerance);
}

describe.skipIf(missing !== undefined)(`pinned memory (${missing ?? "built"})`, () => {
  it.each<[string, string[]]>([
    ["one block at a time, as on a GPU", ["--llama-exact", "off"]],
    ...(IS_LONG ? [["many at once, in exact mode", []] satisfies [string, string[]]] : []),
  ])("blocks of two workers pass through it: %s", async (title, more) => {
    const logs = ["prefill", "decode"].map((role) => path.join(folder, `${title.slice(0, 3)}-${role}`));
    const [prefill, decode] = await Promise.all([
      worker("prefill", buildCudaSim(), { CUDA_SIM_LOG: logs[0]! }, ...more),
      worker("decode", buildCudaSim(), { CUDA_SIM_LOG: logs[1]! }, ...more),
    ]);
    await goesOn(prefill, decode, more.length > 0 ? 0.01 : 0);
    const locked = [await prefill.locked(), await decode.locked()];
    for (const { program } of [prefill, decode]) {
      program.signal("SIGTERM");
      expect(await program.ended).toEqual({ code: 0, signal: null });
    }
    for (const [at, log] of logs.entries()) {
      const notes = readPinNotes(readFileSync(log, "utf8"));
      expect(notes.map(({ what, sizeBytes }) => [what, sizeBytes])).toEqual([
        ["pin", locked[at]],
        ["unpin", locked[at]],
      ]);
      expect(locked[at]).toBeGreaterThan(10_000);
    }
  });

  it("blocks pass through other memory where the driver is none, or refuses", async () => {
    const refusing = { CUDA_SIM_FAIL: "cuMemHostRegister_v2=2" };
    const [prefill, decode] = await Promise.all([
      worker("prefill", "libm.so.6"),
      worker("decode", buildCudaSim(), refusing),
    ]);
    expect(prefill.program.stderr).toContain("The CUDA driver libm.so.6 lacks cuInit.");
    expect(decode.program.stderr).toContain("The CUDA driver refuses to pin memory: out of memory (2).");
    await goesOn(prefill, decode);
    for (const { program, locked } of [prefill, decode]) {
      expect(await locked()).toBe(0);
      program.signal("SIGTERM");
      expect(await program.ended).toEqual({ code: 0, signal: null });
    }
  });
});

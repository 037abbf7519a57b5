import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { freePort } from "../support/free-port.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/stator.mjs", import.meta.url));
type Output = "pipe" | number;

let child: ChildProcess | undefined;
const files: number[] = [];
afterEach(() => {
  child?.kill("SIGKILL");
  for (const file of files.splice(0)) closeSync(file);
});

/** Writes to it fail as on a disk without space. */
function fullDisk(): number {
  const file = openSync("/dev/full", "w");
  files.push(file);
  return file;
}

function start(args: readonly string[], { out = "pipe", errors = "pipe" }: { out?: Output; errors?: Output } = {}) {
  const started = spawn(process.execPath, [LAUNCHER, ...args], { stdio: ["ignore", out, errors] });
  child = started;
  let complaint = "";
  started.stderr?.on("data", (data: Buffer) => {
    complaint += data.toString();
  });
  const ended = new Promise<{ code: number | null; signal: string | null; complaint: string }>((resolve) => {
    started.once("close", (code, signal) => resolve({ code, signal, complaint }));
  });
  return { started, ended };
}

async function isRoutable(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
  return answer?.ok ?? false;
}

describe("output that nobody takes", () => {
  it.each([["--help"], ["up", "--help"], ["config", "page"], ["--version"], ["nonsense"]])(
    "ends %s %s quietly",
    async (...args) => {
      const { started, ended } = start(args);
      // Before it can write anything.
      started.stdout?.destroy();
      if (args[0] === "nonsense") started.stderr?.destroy();
      expect(await ended).toMatchObject({ signal: null, complaint: "" });
    },
  );

  it("ends a command of a moment on a full disk with 1", async () => {
    const { ended } = start(["--help"], { out: fullDisk() });
    expect(await ended).toEqual({ code: 1, signal: null, complaint: "" });
  });

  it("does not end a cluster, which serves on and ends when it is told", async () => {
    const port = await freePort();
    const { started, ended } = start(["up", "--engine", "mock", "--http-port", String(port), "--log-level", "info"]);
    await new Promise<void>((resolve) => void started.stdout?.once("data", () => resolve()));
    started.stdout?.destroy();
    started.stderr?.destroy();
    await expect.poll(() => isRoutable(port), { timeout: 30_000 }).toBe(true);
    started.kill("SIGTERM");
    expect(await ended).toMatchObject({ code: 0, signal: null });
  });

  it("does not end a cluster whose log is on a full disk", async () => {
    const port = await freePort();
    const args = ["up", "--engine", "mock", "--http-port", String(port), "--log-level", "debug"];
    const { started, ended } = start(args, { out: fullDisk(), errors: fullDisk() });
    await expect.poll(() => isRoutable(port), { timeout: 30_000 }).toBe(true);
    started.kill("SIGTERM");
    expect(await ended).toMatchObject({ code: 0, signal: null });
  });
});

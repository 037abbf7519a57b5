import { spawn } from "node:child_process";
import { copyFileSync, linkSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { root } from "../../tools/run-tool.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "stator-launcher-"));
const otherNode = anotherNode();

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the child's exit code becomes the launcher's", async () => {
  expect(await launch(["exit", "5"])).toMatchObject({ code: 5, signal: null });
});

test("the child's deadly signal becomes the launcher's", async () => {
  expect(await launch(["die", "SIGKILL"])).toMatchObject({ code: null, signal: "SIGKILL" });
});

test.each(["SIGTERM", "SIGHUP", "SIGINT"] as const)(
  "%s reaches the child, and its answer is waited for",
  async (signal) => {
    const ended = await launch(["wait", signal], signal);
    expect(ended).toMatchObject({ code: 7, signal: null });
    expect(ended.output).toMatch(new RegExp(`^ready v(2[4-9]|[3-9]\\d)\\..*\\ngot ${signal}\\n$`));
  },
);

test("a killed launcher leaves nothing behind", async () => {
  const script = path.join(root, "bin/stator.mjs");
  const args = [script, "hub", "--hub-port", "0"];
  const launcher = spawn(otherNode, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [, port] = await new Promise<RegExpMatchArray>((resolve) => {
    launcher.stdout.on("data", (text: Buffer) => {
      const match = text.toString().match(/hub:\/\/127\.0\.0\.1:(\d+)/);
      if (match) resolve(match);
    });
  });
  expect(await answers(Number(port))).toBe(true);
  launcher.kill("SIGKILL");
  await expect.poll(() => answers(Number(port)), { timeout: 20_000 }).toBe(false);
});

test("a program under the launcher says itself why it failed", async () => {
  // As the launcher starts it: with a channel on which nobody listens.
  const args = [path.join(root, "bin/stator.mjs"), "worker", "--engine", "mock", "--model", "package.json"];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "inherit", "pipe", "ipc"] });
  let said = "";
  child.stderr!.on("data", (text: Buffer) => {
    said += text.toString();
  });
  const code = await new Promise((resolve) => void child.once("close", resolve));
  expect({ said, code }).toEqual({
    said: expect.stringMatching(/^stator worker: package\.json cannot be used/),
    code: 1,
  });
});

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => socket.destroy());
    socket.once("error", () => {});
    socket.once("close", (failed) => resolve(!failed));
  });
}

/** A Node with another path than the one that npm brought, so that the launcher has something to start. */
function anotherNode(): string {
  const copy = path.join(folder, "node");
  try {
    linkSync(process.execPath, copy);
  } catch {
    copyFileSync(process.execPath, copy);
  }
  return copy;
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** Runs the fixture without a terminal; sends `signal` to the launcher alone when the child says that it is ready. */
function launch(args: readonly string[], signal?: NodeJS.Signals): Promise<Ended> {
  const script = path.join(root, "test/fixtures/launcher/shadowed.mjs");
  const child = spawn(otherNode, [script, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text: Buffer) => {
      output += text.toString();
      if (signal !== undefined && output.endsWith("\n") && output.split("\n").length === 2) child.kill(signal);
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, end) => resolve({ code, signal: end, output }));
  });
}

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { root, runNode } from "../support/tools.ts";

const elsewhere = mkdtempSync(path.join(os.tmpdir(), "stator-package-"));
const installed = path.join(elsewhere, "node_modules/stator");

// Packed as for publishing and unpacked elsewhere, as an install would, with the checkout's dependencies beside it.
beforeAll(() => {
  expect(runNode(["test/support/build.ts"], { capture: true })).toMatchObject({ ok: true });
  run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", elsewhere], root);
  mkdirSync(installed, { recursive: true });
  run("tar", ["xzf", `stator-${version()}.tgz`, "--strip-components=1", "-C", installed], elsewhere);
  symlinkSync(path.join(root, "node_modules"), path.join(installed, "node_modules"));
});

afterAll(() => rmSync(elsewhere, { recursive: true, force: true }));

test("the packed program runs elsewhere, without a line of TypeScript", () => {
  expect(stator("--version")).toEqual({ code: 0, output: `${version()}\n` });
  const help = stator("--help");
  expect(help.code).toBe(0);
  expect(help.output).toContain("Usage: stator");
});

test("every command of the packed program can be loaded and explains itself", () => {
  const names = [...stator("--help").output.matchAll(/^ {2}([a-z]+) {2,}/gm)].map(([, name = ""]) => name);
  expect(names.length).toBeGreaterThan(3);
  for (const name of names) expect({ name, code: stator(name, "--help").code }).toEqual({ name, code: 0 });
});

test("the packed frontend has its page, and the book behind it", async () => {
  const launcher = path.join(installed, "bin/stator.mjs");
  const args = ["frontend", "--discovery", "memory:", "--http-port", "0"];
  const frontend = spawn("node", [launcher, ...args], { cwd: elsewhere });
  const base = await new Promise<string>((resolve, reject) => {
    frontend.stdout.on("data", (data: Buffer) => {
      const found = /http:\/\/[\d.:]+/.exec(data.toString())?.[0];
      if (found) resolve(found);
    });
    frontend.once("close", () => reject(new Error("the frontend ended")));
  });
  const paths = ["/", "/docs/guide.md", "/docs/config.md"];
  const statuses = await Promise.all(paths.map(async (each) => (await fetch(base + each)).status));
  frontend.kill("SIGTERM");
  expect(statuses).toEqual([200, 200, 200]);
});

test("an unknown command is one sentence and exit code 2", () => {
  const { code, output } = stator("upp");
  expect(code).toBe(2);
  expect(output.trim().split("\n")).toHaveLength(1);
});

function version(): string {
  return (JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { version: string }).version;
}

function stator(...args: string[]): { code: number | null; output: string } {
  const launcher = path.join(installed, "bin/stator.mjs");
  const result = spawnSync("node", [launcher, ...args], { cwd: elsewhere, encoding: "utf8" });
  return { code: result.status, output: `${result.stdout}${result.stderr}` };
}

function run(command: string, args: readonly string[], cwd: string): void {
  const result = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${result.stdout}${result.stderr}`);
}

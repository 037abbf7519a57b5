import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Program, readBoard, startProgram } from "../support/program.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/stator.mjs", import.meta.url));

let cluster: Program;
let port: string;

beforeAll(async () => {
  cluster = startProgram(["up", "--engine", "mock", "--workers", "1", "--http-port", "0"]);
  await cluster.until(/Try it:/);
  port = readBoard(cluster).get("frontend")!.address.split(":").at(-1)!;
});
afterAll(() => cluster.close());

/** Runs `stator chat` with a pipe for its input, which ends at once. */
async function chat(args: readonly string[], input: string): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, [LAUNCHER, "chat", "--http-port", port, ...args], { stdio: "pipe" });
  let out = "";
  let err = "";
  child.stdout.on("data", (data: Buffer) => (out += data.toString()));
  child.stderr.on("data", (data: Buffer) => (err += data.toString()));
  child.stdin.end(input);
  const code = await new Promise<number>((resolve) => child.once("close", (each) => resolve(each ?? -1)));
  return { code, out, err };
}

it("answers a question of its command line", async () => {
  const { code, out, err } = await chat(["Hello", "there"], "");
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out.trim()).not.toBe("");
});

it("answers every line of a pipe that has ended by then", async () => {
  const { code, out, err } = await chat([], "One\n/new\nTwo\n");
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out.split("> ").filter((part) => part.trim() !== "").length).toBeGreaterThan(1);
});

it("says what the frontend refused, as the frontend said it", async () => {
  const { code, err } = await chat(["--model-name", "absent", "Hello"], "");
  expect(code).toBe(1);
  expect(err).toBe("stator chat: The model absent does not exist here. GET /v1/models lists what is served.\n");
});

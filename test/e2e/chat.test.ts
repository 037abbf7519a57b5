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

it("takes words of its own and settings, and ends at /bye", async () => {
  const args = ["--max-tokens", "3", "--temperature", "0", "--system", "Be brief."];
  const { code, out, err } = await chat(args, "/help\n\n/system\n/nope\nOne\n/bye\nTwo\n");
  expect({ code, err }).toEqual({ code: 0, err: "" });
  for (const word of ["/system TEXT", "/new", "/help", "/bye"]) expect(out).toContain(`  ${word} `);
  expect(out).toContain("There is no /nope. /help tells what there is.");
  const answers = out.slice(out.indexOf("/nope")).split("\n").slice(1);
  expect(answers.filter((line) => line.trim() !== "")).toHaveLength(1);
  const refused = await chat(["--temperature", "3"], "");
  expect(refused).toMatchObject({
    code: 2,
    err: 'stator chat: --temperature: expected a number from 0 to 2, got "3".\n',
  });
});

it("says what the frontend refused, as the frontend said it", async () => {
  const { code, err } = await chat(["--model-name", "absent", "Hello"], "");
  expect(code).toBe(1);
  expect(err).toBe("stator chat: The model absent does not exist here. GET /v1/models lists what is served.\n");
});

import { afterEach, describe, expect, it } from "vitest";
import { llamaUnavailable } from "#services/cli/compose/engine-choice";
import { type Program, startProgram } from "../support/program.ts";

const programs: Program[] = [];

function start(args: string[]): Program {
  const program = startProgram(args);
  programs.push(program);
  return program;
}

afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.close()));
});

describe("stator conform worker", () => {
  it("finds nothing wrong with a mock worker", () => conform("mock"));

  it.skipIf(llamaUnavailable())("finds nothing wrong with a llama worker", () => conform("llama"));

  it("says in one sentence that nobody answers", async () => {
    const asked = start(["conform", "worker", "127.0.0.1:1"]);
    expect((await asked.ended).code).not.toBe(0);
    expect(asked.stderr).toMatch(/127\.0\.0\.1:1 cannot be reached/);
    expect(asked.stderr).not.toMatch(/ at .*\.ts:/);
  });
});

async function conform(engine: string): Promise<void> {
  const worker = start(["worker", "--engine", engine, "--grpc-port", "0"]);
  const [, address = ""] = await worker.until(/ on (127\.0\.0\.1:\d+)\. /, 60_000);
  const asked = start(["conform", "worker", address]);
  expect(await asked.ended).toEqual({ code: 0, signal: null });
  expect(asked.stdout).toMatch(/\d\d passed, 0 failed/);
}

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
  it("finds nothing wrong with a mock worker", () => conform("mock", "any"));

  it.skipIf(llamaUnavailable())("finds nothing wrong with a llama worker", () => conform("llama", "any"));

  it("prints JUnit's XML and nothing else when it is asked to", async () => {
    const worker = start(["worker", "--engine", "mock", "--grpc-port", "0"]);
    const [, address = ""] = await worker.until(/ on (127\.0\.0\.1:\d+)\. /, 60_000);
    const asked = start(["conform", "worker", address, "--contract", "link", "--report", "junit"]);
    expect((await asked.ended).code).toBe(0);
    expect(asked.stdout).toMatch(
      /^<\?xml [\s\S]*<testsuite name="stator\.worker\.v1 \(link\) at [\s\S]*<\/testsuites>\s*$/,
    );
  });

  it("says in one sentence that nobody answers", async () => {
    const asked = start(["conform", "worker", "127.0.0.1:1"]);
    expect((await asked.ended).code).not.toBe(0);
    expect(asked.stderr).toMatch(/127\.0\.0\.1:1 cannot be reached/);
    expect(asked.stderr).not.toMatch(/ at .*\.ts:/);
  });
});

async function conform(engine: string, contract: string): Promise<void> {
  const worker = start(["worker", "--engine", engine, "--grpc-port", "0"]);
  const [, address = ""] = await worker.until(/ on (127\.0\.0\.1:\d+)\. /, 60_000);
  const asked = start(["conform", "worker", address, "--contract", contract, "--pid", String(worker.pid)]);
  const ended = await asked.ended;
  expect(asked.stdout).not.toMatch(/^FAILED/m);
  expect(ended).toEqual({ code: 0, signal: null });
  expect(asked.stdout).toMatch(/\[ stator\.worker\.v1 \(link\) \| conforms \].* \d\d passed, 0 failed/);
  expect(asked.stdout).toMatch(/\[ openengine\.v1 \| conforms \].* \d{2,3} passed, 0 failed/);
}

describe("stator conform", () => {
  it("finds nothing wrong with a hub", async () => {
    const hub = start(["hub", "--hub-port", "0"]);
    const [, address = ""] = await hub.until(/(127\.0\.0\.1:\d+)/, 60_000);
    await passes("discovery", address, "stator.discovery.v1");
  });

  it("finds nothing wrong with the doors of a frontend", async () => {
    const up = start(["up", "--engine", "mock", "--workers", "1", "--http-port", "0", "--grpc-port", "0"]);
    const [, http = ""] = await up.until(/http:\/\/(127\.0\.0\.1:\d+)/, 60_000);
    const [, grpc = ""] = await up.until(/over gRPC (127\.0\.0\.1:\d+)/, 60_000);
    await passes("frontend", http, "OpenAI's API");
    await passes("kserve", grpc, "inference.GRPCInferenceService");
  });
});

async function passes(subject: string, address: string, contract: string): Promise<void> {
  const asked = start(["conform", subject, address]);
  const { code } = await asked.ended;
  expect(asked.stdout).not.toMatch(/^FAILED/m);
  expect(asked.stdout).toContain(`[ ${contract} | conforms ]`);
  expect(code).toBe(0);
}

import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { OpenAI } from "openai";
import { afterEach, describe, expect, it } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { SAME_SIGINT_MS } from "#lib/host/stop";
import { openClient } from "#lib/rpc/open-client";
import { freePort } from "../support/free-port.ts";
import { type Program, readBoard, readInferencePort, startProgram } from "../support/program.ts";

const programs: Program[] = [];

function start(args: string[], env?: Record<string, string>): Program {
  const program = startProgram(args, env);
  programs.push(program);
  return program;
}

afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.close()));
});

describe("stator up", () => {
  it("serves a model, says what runs where, drains at SIGTERM and leaves no process behind", async () => {
    const program = start(["up", "--engine", "mock", "--http-port", "0", "--default-sampling", "top_k=40"]);
    await program.until(/Try it:/);
    const board = readBoard(program);
    expect([...board.keys()].sort()).toEqual(["frontend", "hub", "worker-1", "worker-2"]);
    const client = new OpenAI({ baseURL: `http://${board.get("frontend")!.address}/v1`, apiKey: "none" });
    const [model] = (await client.models.list()).data;
    expect(model?.id).toContain("mock");
    expect(model).toMatchObject({ default_sampling: { temperature: 1, top_k: 40 } });
    const messages = [{ role: "user" as const, content: "Hello" }];
    const answer = await client.chat.completions.create({ model: model!.id, messages, max_tokens: 8 });
    expect(answer.usage?.completion_tokens).toBe(8);
    program.signal("SIGTERM");
    expect(await program.ended).toEqual({ code: 0, signal: null });
    for (const { pid } of board.values()) expect(() => process.kill(pid, 0)).toThrow();
  });

  it.each([["--engine", "mock"], []])("has the very first request wait for its model: %s %s", async (...engine) => {
    const port = await freePort();
    const program = start(["up", ...engine, "--model-name", "early", "--http-port", String(port)]);
    const body = JSON.stringify({ model: "early", prompt: "One", max_tokens: 2 });
    const ask = () => fetch(`http://127.0.0.1:${port}/v1/completions`, { method: "POST", body });
    let answer: Response | undefined;
    while (!answer && !program.stdout.includes("Try it:")) answer = await ask().catch(() => undefined);
    // What answers first is the open port: nobody was asked before whether a model is there.
    expect([answer?.status, await answer?.json()]).toMatchObject([200, { model: "early" }]);
  });

  it("opens the gRPC port of its frontend where it is told, and says so twice", async () => {
    const port = await freePort();
    const program = start(["up", "--engine", "mock", "--http-port", "0", "--grpc-port", String(port)]);
    await program.until(/Try it:/);
    expect(program.stdout).toMatch(new RegExp(`^ +127.0.0.1:${port} +KServe's API, gRPC$`, "m"));
    await program.until(new RegExp(`or as KServe's API: http://127.0.0.1:\\d+/v2, over gRPC 127.0.0.1:${port}\n`));
    expect(readInferencePort(program)).toBe(`127.0.0.1:${port}`);
    const { client, close } = openClient(GRPCInferenceService, `127.0.0.1:${port}`);
    expect(await client.serverReady({})).toMatchObject({ ready: true });
    close();
  });

  it("finishes a running stream before it ends", async () => {
    const program = start(["up", "--engine", "mock", "--http-port", "0"]);
    await program.until(/Try it:/);
    const address = readBoard(program).get("frontend")!.address;
    const client = new OpenAI({ baseURL: `http://${address}/v1`, apiKey: "none", maxRetries: 0 });
    const model = (await client.models.list()).data[0]!.id;
    const chunks = await client.completions.create({ model, prompt: "One", max_tokens: 60, stream: true });
    let seen = 0;
    let finish: string | null | undefined;
    for await (const chunk of chunks) {
      if (++seen === 2) program.signal("SIGTERM");
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    expect(finish, "it came to its own end").toMatch(/^(length|stop)$/);
    expect((await program.ended).code).toBe(0);
  });

  it("ends at once, with all its processes, at a second Ctrl-C", async () => {
    const program = start(["up", "--engine", "mock", "--mock-speed", "0.1", "--workers", "1", "--http-port", "0"]);
    await program.until(/Try it:/);
    const board = readBoard(program);
    const url = `http://${board.get("frontend")!.address}/v1/completions`;
    const body = JSON.stringify({ model: "stator-mock", prompt: "x", max_tokens: 20_000, stream: true });
    const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
    program.signal("SIGINT");
    await program.until(/Stopping/);
    // Two within half a second count as one: npm forwards the terminal's.
    await new Promise((resolve) => setTimeout(resolve, SAME_SIGINT_MS + 100));
    program.signal("SIGINT");
    expect(await program.ended).toEqual({ code: 130, signal: null });
    await expect(answer.text()).rejects.toThrow();
    // An orphan that ended stays listed, as Z, where nobody collects it.
    const alive = (pid: number): boolean => {
      const file = `/proc/${pid}/stat`;
      return existsSync(file) && !/\) Z /.test(readFileSync(file, "utf8"));
    };
    for (const { pid } of board.values()) await expect.poll(() => alive(pid)).toBe(false);
  });

  /** Kills one of its processes and resolves with the pid of the next one. */
  async function killed(program: Program, name: string): Promise<number> {
    const { pid } = readBoard(program).get(name)!;
    process.kill(pid, "SIGKILL");
    await expect.poll(() => readBoard(program).get(name)?.pid, { timeout: 20_000 }).not.toBe(pid);
    return readBoard(program).get(name)!.pid;
  }

  it("starts a worker again that was killed, at once each time", async () => {
    const program = start(["up", "--engine", "mock", "--http-port", "0"]);
    await program.until(/Try it:/);
    const pids = [];
    for (let time = 0; time < 3; time++) pids.push(await killed(program, "worker-2"));
    expect(new Set(pids).size).toBe(3);
    const waits = [...program.stderr.matchAll(/starting it again.*"waitMs":(\d+)/g)].map(([, waitMs]) => waitMs);
    expect(waits).toEqual(["0", "0", "0"]);
  });

  /** The pid of a child that has not told that it is ready. */
  async function starting(program: Program, name: string): Promise<number> {
    const [, pid] = await program.until(new RegExp(`${name} +pid (\\d+) +starting`));
    return Number(pid);
  }

  it("ends with one sentence when a worker crashes before any was ready", async () => {
    const program = start(["up", "--engine", "mock", "--http-port", "0"]);
    process.kill(await starting(program, "worker-1"), "SIGABRT");
    expect(await program.ended).toEqual({ code: 1, signal: null });
    expect(program.stderr).toMatch(/^stator up: The engine failed: worker-1 ended by SIGABRT before it was ready.*\n$/);
  });

  it("waits before it starts a worker again that somebody killed before it was ready", async () => {
    const program = start(["up", "--engine", "mock", "--http-port", "0"]);
    process.kill(await starting(program, "worker-1"), "SIGKILL");
    await program.until(/Try it:/);
    expect(program.stderr).toMatch(/"process":"worker-1".*"waitMs":1000/);
  });

  it("starts a frontend again that was killed, where it was", async () => {
    const program = start(["up", "--engine", "mock", "--http-port", "0"]);
    await program.until(/Try it:/);
    const { address } = readBoard(program).get("frontend")!;
    const inference = readInferencePort(program);
    await killed(program, "frontend");
    expect(readBoard(program).get("frontend")!.address).toBe(address);
    const { client: grpc, close } = openClient(GRPCInferenceService, inference);
    await expect.poll(async () => (await grpc.modelReady({ name: "stator-mock" })).ready).toBe(true);
    close();
    const client = new OpenAI({ baseURL: `http://${address}/v1`, apiKey: "none", maxRetries: 5 });
    const ask = { model: "stator-mock", prompt: "Hello", max_tokens: 4 };
    await expect.poll(async () => (await client.completions.create(ask)).usage?.completion_tokens).toBe(4);
    program.signal("SIGTERM");
    expect((await program.ended).code).toBe(0);
  });
});

describe("what goes wrong at the start gets one sentence and an exit code", () => {
  async function fails(args: string[], env?: Record<string, string>): Promise<string> {
    const program = start(args, env);
    const { code } = await program.ended;
    expect(code, program.stdout + program.stderr).toBeGreaterThan(0);
    expect(program.stderr).not.toMatch(/^\s+at /m);
    return program.stderr;
  }

  it("a port in use", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as { port: number };
    const said = await fails(["up", "--engine", "mock", "--http-port", String(port)]);
    taken.close();
    expect(said).toContain(`Port ${port} on 127.0.0.1 is in use. Choose another with --http-port`);
  });

  it("a missing model, a damaged model", async () => {
    expect(await fails(["up", "--model", "/nowhere/model.gguf"])).toContain("There is no file /nowhere/model.gguf.");
    expect(await fails(["worker", "--model", "package.json"])).toContain("package.json cannot be used as a model");
  });

  it("an unreachable etcd, an unreachable hub", async () => {
    expect(await fails(["frontend", "--discovery", "etcd://127.0.0.1:1"])).toMatch(/etcd.*cannot be reached/);
    expect(await fails(["worker", "--engine", "mock", "--discovery", "hub://127.0.0.1:1"])).toMatch(
      /hub.*cannot be reached/,
    );
  });

  it("unknown commands, options, variables and keys", async () => {
    expect(await fails(["upp"])).toContain("Did you mean up?");
    expect(await fails(["up", "--http-prt", "1"])).toContain("Did you mean --http-port?");
    expect(await fails(["up", "--default-sampling", "temp=1"])).toContain("the names being temperature, top_k");
    expect(await fails(["up"], { STATOR_HTTP_PROT: "1" })).toContain("Did you mean STATOR_HTTP_PORT?");
    expect(await fails(["config", "explain", "http.prot"])).toContain("Did you mean http.port?");
    expect(await fails(["up", "--workers", "65"])).toContain("--workers: up starts at most 64 on one machine.");
    expect(await fails(["hub", "--config", "lib"])).toContain(
      "lib, named by --config, cannot be read: it is a folder.",
    );
  });

  it("listening beyond loopback without TLS", async () => {
    expect(await fails(["hub", "--hub-host", "0.0.0.0", "--hub-port", "0"])).toContain("--insecure-listen");
    const open = ["--http-host", "0.0.0.0", "--http-port", "0"];
    expect(await fails(["frontend", "--discovery", "memory:", ...open])).toContain(
      "The OpenAI API on 0.0.0.0 would be open to anyone on the network",
    );
  });

  it("an option that the command would not read, words that it has no use for", async () => {
    expect(await fails(["hub", "--workers", "5"])).toContain("--workers is not an option here.");
    expect(await fails(["worker", "extra"])).toContain("worker takes options alone, not extra.");
  });

  it("a worker that is not there to be checked", async () => {
    expect(await fails(["conform", "worker", "127.0.0.1:1"])).toBe(
      "stator conform: A worker at 127.0.0.1:1 cannot be reached: nobody listens there; name the gRPC port of a worker, as HOST:PORT.\n",
    );
  });
});

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js";
import { afterAll, expect, test } from "vitest";
import { root, runTool } from "../../tools/run-tool.ts";
import { FINISHED, PREFILL_REQUEST, TOKEN } from "./vectors.ts";

// Debian's Python: the one that its packages python3-grpcio and python3-protobuf belong to.
const PYTHON = "/usr/bin/python3";
const missing = findMissing();
const stubs = mkdtempSync(path.join(os.tmpdir(), "stator-python-"));
const server = new Server();
const received: string[] = [];

afterAll(() => {
  server.forceShutdown();
  rmSync(stubs, { recursive: true, force: true });
});

if (process.env.CI === "true") {
  test("Python, its gRPC and the plugins are here", () => {
    expect(missing).toBe("");
  });
}

const title = "a Python client with generated stubs sends and reads the same bytes";
test.skipIf(missing !== "")(missing === "" ? title : `${title} (${missing} is missing)`, async () => {
  generateStubs();
  const address = await openServer();
  const client = path.join(root, "test/contract/python/client.py");
  const { code, output } = await run(PYTHON, [client, address, PREFILL_REQUEST.hex]);
  expect(output.trim().split("\n")).toEqual([TOKEN.hex, FINISHED.hex]);
  expect(code).toBe(0);
  expect(received).toEqual([PREFILL_REQUEST.hex]);
});

function findMissing(): string {
  const needs: readonly (readonly [string, string, readonly string[]])[] = [
    ["protoc", "protoc", ["--version"]],
    ["grpc_python_plugin", "sh", ["-c", "command -v grpc_python_plugin"]],
    ["Python with gRPC", PYTHON, ["-c", "import grpc, google.protobuf"]],
  ];
  return needs.find(([, command, args]) => spawnSync(command, args).status !== 0)?.[0] ?? "";
}

function generateStubs(): void {
  const paths = ["--path", "proto/foreign/openengine", "--path", "proto/ours/stator"];
  const template = ["--template", "test/contract/python/buf.gen.yaml"];
  const outcome = runTool("buf", ["generate", ...template, ...paths, "--output", stubs], { capture: true });
  expect(outcome).toEqual({ ok: true, output: "" });
}

/** A server that knows bytes only, so that nothing of ours stands between the client and the vectors. */
function openServer(): Promise<string> {
  const pass = (bytes: Buffer) => bytes;
  const method = {
    path: "/openengine.v1.Inference/Generate",
    requestStream: false,
    responseStream: true,
    requestSerialize: pass,
    requestDeserialize: pass,
    responseSerialize: pass,
    responseDeserialize: pass,
  } as const;
  const generate = (call: ServerWritableStream<Buffer, Buffer>) => {
    received.push(call.request.toString("hex"));
    for (const { hex } of [TOKEN, FINISHED]) call.write(Buffer.from(hex, "hex"));
    call.end();
  };
  server.addService({ generate: method }, { generate });
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(`127.0.0.1:${port}`);
      else reject(error);
    });
  });
}

function run(command: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(command, args, { env: { ...process.env, PYTHONPATH: stubs, PYTHONDONTWRITEBYTECODE: "1" } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text.toString()));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

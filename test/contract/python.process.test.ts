import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js";
import { afterAll, expect, test } from "vitest";
import { root } from "../../tools/run-tool.ts";
import { makeStubs, STUBS_MISSING } from "../support/stub-packages.ts";
import { FINISHED, PREFILL_REQUEST, TOKEN } from "./vectors.ts";

const missing = STUBS_MISSING.python;
const folder = mkdtempSync(path.join(os.tmpdir(), "stator-python-"));
const server = new Server();
const received: string[] = [];

afterAll(() => {
  server.forceShutdown();
  rmSync(folder, { recursive: true, force: true });
});

if (process.env.CI === "true") {
  test("Python is here", () => {
    expect(missing).toBe("");
  });
}

const title = "a Python client with generated stubs sends and reads the same bytes";
test.skipIf(missing !== "")(
  missing === "" ? title : `${title} (skipped: ${missing})`,
  { timeout: 300_000 },
  async () => {
    const { env } = await makeStubs("python", path.join(folder, "stubs"));
    const address = await openServer();
    const client = path.join(root, "test/contract/python/client.py");
    const { code, output } = await run("python3", [client, address, PREFILL_REQUEST.hex], env);
    expect(output.trim().split("\n")).toEqual([TOKEN.hex, FINISHED.hex]);
    expect(code).toBe(0);
    expect(received).toEqual([PREFILL_REQUEST.hex]);
  },
);

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

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

function run(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  const child = spawn(command, args, { env: { ...process.env, ...env } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text.toString()));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

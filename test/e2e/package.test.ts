import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { createHealth } from "#lib/rpc/health";
import { openServer } from "#lib/rpc/server";
import { root, runNode, runTool } from "../../tools/run-tool.ts";
import { STUBS_MISSING } from "../support/stub-packages.ts";
import { drawTrace, writeTrace } from "../support/traces.ts";

const elsewhere = mkdtempSync(path.join(os.tmpdir(), "stator-package-"));
const installed = path.join(elsewhere, "node_modules/stator");

// Packed as for publishing and unpacked elsewhere, as an install would, with the checkout's dependencies beside it.
beforeAll(() => {
  expect(runNode(["tools/build/build.ts"], { capture: true })).toMatchObject({ ok: true });
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

test("the packed program replays a trace, in threads, and writes its page", () => {
  const trace = path.join(elsewhere, "trace.jsonl");
  const page = path.join(elsewhere, "page.html");
  writeTrace(trace, drawTrace(50));
  const { code, output } = stator("replay", trace, "--rule", "ttft,random", "--html", page);
  expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining("one endless cache") });
  expect(readFileSync(page, "utf8")).toContain("50 requests of trace.jsonl");
});

test.skipIf(STUBS_MISSING.python !== "")("the packed program makes stubs, without a compiler of contracts", () => {
  const stubs = path.join(elsewhere, "stubs");
  const { code, output } = stator("stubs", "--lang", "python", "--out", stubs);
  expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining("stator.worker.v1") });
  expect(readFileSync(path.join(stubs, "src/stator/common/v1/common_pb2.pyi"), "utf8")).toContain("class ErrorDetail");
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

/** What somebody writes who has installed the package: stubs, the typed client, contracts. */
const CONSUMER = `
import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { type Client, type OpenedClient, openClient, StatorError } from "stator/client";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "stator/stubs/grpc/health/v1/health_pb";
import { GenerateRequestSchema, type TokenInfo } from "stator/stubs/openengine/v1/generation_pb";
import { Inference } from "stator/stubs/openengine/v1/openengine_pb";

const address = process.argv[2] ?? "";
const health: OpenedClient<typeof Health> = openClient(Health, address);
const { status } = await health.client.check({ service: "" });
health.close();

const request = create(GenerateRequestSchema, { requestId: "r1", model: "m" });
const inference = openClient(Inference, address);
async function textOf(client: Client<typeof Inference>): Promise<string> {
  let text = "";
  for await (const answer of client.generate(request)) {
    const token: TokenInfo | undefined = answer.event.case === "token" ? answer.event.value.tokens[0] : undefined;
    text += token?.token ?? "";
  }
  return text;
}
const refused = await textOf(inference.client).catch((error: unknown) => (error instanceof StatorError ? error.reason : error));
inference.close();
const contract = readFileSync(new URL(import.meta.resolve("stator/proto/ours/stator/worker/v1/link.proto")), "utf8");
console.log(status === Serving.SERVING, refused, contract.startsWith("syntax"));
`;

/** What somebody writes who serves in a program of their own. */
const EMBEDDING = `
import { createFrontend, createWorker, type Engine, type EngineRecipe, StatorError } from "stator";

const [discovery = ""] = process.argv.slice(2);
const mine: EngineRecipe = {
  engine: "mine",
  model: "m",
  aliases: [],
  open: (): Promise<Engine> => Promise.reject(new StatorError("ENGINE_FAILED", { detail: "none here" })),
};
const failed = await createWorker({ discovery }, { engine: mine }).catch((error: unknown) => (error instanceof StatorError ? error.reason : error));
const worker = await createWorker({ discovery, engine: "mock", "mock.speed": 0 });
const frontend = await createFrontend({ discovery, "http.port": 0 });
const response = await fetch(\`http://\${frontend.address}/v1/completions\`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ model: worker.card.model, prompt: "Hello", max_tokens: 3 }),
});
const { usage } = (await response.json()) as { usage: { completion_tokens: number } };
console.log(failed, response.status, usage.completion_tokens);
await frontend.close();
await worker.close();
`;

const CONSUMER_CONFIG = {
  compilerOptions: {
    ...{ target: "es2024", module: "nodenext", moduleResolution: "nodenext", outDir: "out", rootDir: "." },
    ...{ strict: true, types: ["node"], skipLibCheck: false },
  },
  files: ["consumer.ts", "embedding.ts"],
};

test("the packed stubs and the typed client compile and call in a project that installed them", async () => {
  symlinkSync(path.join(root, "node_modules/@types"), path.join(elsewhere, "node_modules/@types"));
  symlinkSync(path.join(root, "node_modules/@bufbuild"), path.join(elsewhere, "node_modules/@bufbuild"));
  writeFileSync(path.join(elsewhere, "package.json"), '{"type": "module"}');
  writeFileSync(path.join(elsewhere, "consumer.ts"), CONSUMER);
  writeFileSync(path.join(elsewhere, "embedding.ts"), EMBEDDING);
  writeFileSync(path.join(elsewhere, "tsconfig.json"), JSON.stringify(CONSUMER_CONFIG));
  expect(runTool("tsc", ["-p", elsewhere], { capture: true })).toEqual({ ok: true, output: "" });
  const health = createHealth();
  health.set("", true);
  const listen = {
    host: "127.0.0.1",
    port: 0,
    credentials: loopbackCredentials,
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
  };
  const server = await openServer({ ...listen, services: [health.service] });
  const out = await outputOf("out/consumer.js", server.address);
  health.close();
  await server.drain(1_000);
  expect(out).toMatch(/^true \w+ true\n$/);
});

test("a program that installed the package serves in its own process, and ends when it has closed", async () => {
  const folder = path.join(elsewhere, "discovery");
  mkdirSync(folder);
  expect(await outputOf("out/embedding.js", pathToFileURL(folder).href)).toBe("ENGINE_FAILED 200 3\n");
});

test("what the package does not export cannot be imported", () => {
  const script = 'import("stator/dist/lib/rpc/channel.js").catch((error) => console.log(error.code))';
  const { stdout } = spawnSync("node", ["--input-type=module", "--eval", script], { cwd: elsewhere, encoding: "utf8" });
  expect(stdout).toBe("ERR_PACKAGE_PATH_NOT_EXPORTED\n");
});

/** Everything that a program of the project wrote until it ended. */
function outputOf(...args: string[]): Promise<string> {
  return new Promise((resolve) => {
    const program = spawn(process.execPath, args, { cwd: elsewhere });
    let text = "";
    for (const stream of [program.stdout, program.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk));
    program.on("close", () => resolve(text));
  });
}

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

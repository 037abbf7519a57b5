import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { createHealth } from "#lib/rpc/health";
import { openServer } from "#lib/rpc/server";
import { RECIPES } from "#lib/stubs/recipes";
import { PROJECT_KINDS } from "#services/cli/new/create-project";
import { toolCacheFolder, toolFolderName } from "#services/cli/stubs/tool-cache";
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
  const args = ["frontend", "--discovery", "memory:", "--http-port", "0"];
  const frontend = await serving(/http:\/\/[\d.:]+/, args);
  const paths = ["/", "/docs/guide.md", "/docs/config.md"];
  const statuses = await Promise.all(paths.map(async (each) => (await fetch(frontend.said + each)).status));
  frontend.end();
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
    ...{ strict: true, types: ["node"], skipLibCheck: false, rewriteRelativeImportExtensions: true },
  },
  files: ["consumer.ts", "embedding.ts", "echo.ts", "a-worker/worker.ts", "a-service/service.ts"],
};

/** The engine of docs/engines.md that has all of `Engine`. */
function echo(): string {
  return /^```ts echo\.ts\n(.*?)^```$/ms.exec(readFileSync(path.join(installed, "docs/engines.md"), "utf8"))?.[1] ?? "";
}

test("the packed stubs and the typed client compile and call in a project that installed them", async () => {
  symlinkSync(path.join(root, "node_modules/@types"), path.join(elsewhere, "node_modules/@types"));
  for (const scope of ["@bufbuild", "@connectrpc"])
    symlinkSync(path.join(root, "node_modules", scope), path.join(elsewhere, "node_modules", scope));
  expect(stator("new", "worker", "--lang", "typescript", "a-worker").code).toBe(0);
  expect(stator("new", "service", "--lang", "typescript", "a-service").code).toBe(0);
  writeFileSync(path.join(elsewhere, "package.json"), '{"type": "module"}');
  writeFileSync(path.join(elsewhere, "consumer.ts"), CONSUMER);
  writeFileSync(path.join(elsewhere, "embedding.ts"), EMBEDDING);
  writeFileSync(path.join(elsewhere, "echo.ts"), echo());
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

test("a new worker passes its test, and the packed program serves its engine", async () => {
  const project = path.join(elsewhere, "a-worker");
  run(process.execPath, ["--test"], project);
  const place = ["--discovery", pathToFileURL(project).href];
  const [frontend, worker] = await Promise.all([
    serving(/http:\/\/[\d.:]+/, ["frontend", "--http-port", "0", ...place]),
    serving(/serves shout on/, ["worker", "--engine", "module:./worker.ts", ...place], project),
  ]);
  const complete = async () => {
    const body = JSON.stringify({ model: "shout", prompt: "once upon a time", max_tokens: 2 });
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${frontend.said}/v1/completions`, { method: "POST", headers, body });
    return ((await response.json()) as { choices?: { text: string }[] }).choices?.[0]?.text;
  };
  await expect.poll(complete, { timeout: 10_000 }).toBe("ONCE UPON ");
  worker.end();
  frontend.end();
});

test("a new service passes its test", () => {
  run(process.execPath, ["--test"], path.join(elsewhere, "a-service"));
});

/** How the tests of projects in other languages are run; `tools` has the libraries that an install would bring. */
const PROJECT_TESTS = {
  python: {
    command: ["python3", "-m", "unittest"],
    env: (folder: string) => ({ PYTHONPATH: `${path.join(folder, "stubs/src")}:${pythonTools()}` }),
  },
  // As the tests of stubs compile: what both need is compiled once.
  go: { command: ["go", "test", "-trimpath", "./..."], env: () => ({}) },
} as const;

const templates = readdirSync(path.join(root, "services/cli/new/templates"));
const projects = (["python", "go"] as const).flatMap((language) =>
  PROJECT_KINDS.filter((kind) => templates.includes(`${kind}-${language}`)).map((kind) => ({ language, kind })),
);

describe.each(projects)("a new $kind in $language", ({ language, kind }) => {
  const missing = STUBS_MISSING[language];
  test.skipIf(missing !== "")(`passes its test${missing && ` (skipped: ${missing})`}`, async () => {
    const name = `${language}-${kind}`;
    expect(stator("new", kind, "--lang", language, name)).toMatchObject({ code: 0 });
    const hub = await serving(/hub:\/\/([\d.:]+)(?=\. )/, ["hub", "--hub-port", "0"]);
    const { command, env } = PROJECT_TESTS[language];
    const [program, ...args] = command;
    const folder = path.join(elsewhere, name);
    try {
      run(program, args, folder, { ...env(folder), STATOR_HUB: hub.said.replace("hub://", "") });
    } finally {
      hub.end();
    }
  });
});

function pythonTools(): string {
  const { tools } = RECIPES.python;
  const version = spawnSync("python3", ["--version"], { encoding: "utf8" }).stdout.match(/\d+\.\d+/)?.[0] ?? "";
  const set = tools({ arch: process.arch })!;
  return path.join(toolCacheFolder(), toolFolderName("python", set, process.arch, [version]));
}

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

/** Starts a command of the packed program, and waits for what it says when it serves. */
function serving(said: RegExp, args: readonly string[], cwd = elsewhere): Promise<{ said: string; end(): void }> {
  const program = spawn("node", [path.join(installed, "bin/stator.mjs"), ...args], { cwd });
  return new Promise((resolve, reject) => {
    let text = "";
    program.stdout.on("data", (data: Buffer) => {
      text += data;
      const found = said.exec(text)?.[0];
      if (found !== undefined) resolve({ said: found, end: () => void program.kill("SIGTERM") });
    });
    program.once("close", () => reject(new Error(`${args[0]} ended`)));
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

function run(command: string, args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}): void {
  const result = spawnSync(command, args, { cwd, env: { ...process.env, ...env }, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${result.stdout}${result.stderr}`);
}

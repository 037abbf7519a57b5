import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import type { Found } from "#lib/conform/check";
import { conformWorker } from "#lib/conform/conform-worker";
import { ENGINE_FAULTS } from "#lib/conform/openengine/engine-faults";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { root } from "../../tools/run-tool.ts";
import { conformForeign, type ForeignWorker, startForeignWorker, templateFolder } from "../support/foreign-worker.ts";
import { IS_LONG } from "../support/seeds.ts";
import { type BuiltStubs, makeStubs, STUBS_MISSING } from "../support/stub-packages.ts";

const FAULTY = fileURLToPath(new URL("python/faulty_worker.py", import.meta.url));
const folder = mkdtempSync(path.join(os.tmpdir(), "stator-workers-"));
const workers: ForeignWorker[] = [];

afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const failed = (founds: readonly Found[]) =>
  founds.flatMap(({ name, outcome, reason }) => (outcome === "failed" ? [`${name}: ${reason}`] : []));

it("the page shows the engines of the templates as they are", () => {
  const page = readFileSync(path.join(root, "docs/polyglot.md"), "utf8");
  const python = readFileSync(path.join(templateFolder("python"), "engine.py"), "utf8");
  const go = readFileSync(path.join(templateFolder("go"), "engine.go"), "utf8");
  expect(page).toContain(`\`\`\`python\n${python}\`\`\``);
  expect(page).toContain(`\`\`\`go\n${go.slice(go.indexOf("// next is"))}\`\`\``);
});

describe.skipIf(STUBS_MISSING.python !== "")(`workers in Python ${STUBS_MISSING.python}`, { timeout: 120_000 }, () => {
  let stubs: BuiltStubs;
  beforeAll(async () => {
    stubs = await makeStubs("python", path.join(folder, "python"));
  }, 600_000);

  async function start(file: string, ...args: string[]): Promise<ForeignWorker> {
    const worker = await startForeignWorker(["python3", file, "--model", "m", ...args], stubs.env);
    workers.push(worker);
    return worker;
  }

  const template = (file: string) => path.join(templateFolder("python"), file);

  it("keep openengine.v1, and end well when they have drained", async () => {
    const worker = await start(template("worker.py"));
    const founds = await conformForeign(worker);
    expect(failed(founds)).toEqual([]);
    expect(founds.filter(({ outcome }) => outcome === "passed").length).toBeGreaterThan(80);
    expect(await worker.ended).toEqual({ code: 0, signal: null });
  });

  it("keep the link", async () => {
    const worker = await start(template("link_worker.py"));
    const sessions: Channel[] = [];
    const connect = () => {
      const session = new Channel(worker.address, loopbackCredentials, systemClock);
      sessions.push(session);
      return session.open(WorkerLinkService.method.link);
    };
    expect(failed(await conformWorker({ connect, clock: systemClock }))).toEqual([]);
    for (const session of sessions) session.close();
  });

  it.each(ENGINE_FAULTS)("are named when one $does", async ({ name, check }) => {
    const worker = await start(FAULTY, "--fault", name);
    const only = IS_LONG ? undefined : (each: string) => each === check;
    const founds = await conformForeign(worker, { only, mostKeptBytes: 1024 * 1024 });
    expect(founds.find((found) => found.name === check)).toMatchObject({ outcome: "failed" });
  });
});

describe.skipIf(STUBS_MISSING.go !== "")(`a worker in Go ${STUBS_MISSING.go}`, { timeout: 300_000 }, () => {
  it("passes its own test, keeps openengine.v1, and ends well when it has drained", async () => {
    const project = path.join(folder, "go");
    cpSync(templateFolder("go"), project, { recursive: true });
    const stubs = await makeStubs("go", path.join(project, "stubs"));
    const program = path.join(project, "worker");
    for (const args of [
      ["test", "-trimpath", "."],
      ["build", "-trimpath", "-o", program, "."],
    ]) {
      const { status, stdout, stderr } = spawnSync("go", args, { cwd: project, encoding: "utf8" });
      expect(status, `${stdout}${stderr}`).toBe(0);
    }
    const worker = await startForeignWorker([program, "-model", "m"], stubs.env);
    workers.push(worker);
    const founds = await conformForeign(worker);
    expect(failed(founds)).toEqual([]);
    expect(founds.filter(({ outcome }) => outcome === "passed").length).toBeGreaterThan(80);
    expect(await worker.ended).toEqual({ code: 0, signal: null });
  });
});

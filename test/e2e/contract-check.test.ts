import { spawnSync } from "node:child_process";
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { root } from "../../tools/run-tool.ts";

// A project of somebody else with our contracts, which has copied the script and the workflow.
const project = mkdtempSync(path.join(os.tmpdir(), "stator-project-"));
const summary = path.join(project, "summary.md");
const link = path.join(project, "proto/ours/stator/worker/v1/link.proto");
const STATOR = `${process.execPath} ${path.join(root, "bin/stator.mjs")}`;

beforeAll(() => {
  cpSync(path.join(root, "proto"), path.join(project, "proto"), { recursive: true });
  cpSync(path.join(root, "deploy/contracts/contract-check.sh"), path.join(project, "contract-check.sh"));
  git("init", "--quiet", "--initial-branch=main");
  git("add", ".");
  git("commit", "--quiet", "--message", "first");
  git("update-ref", "refs/remotes/origin/main", "HEAD");
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

function git(...args: readonly string[]): void {
  run(["git", "-c", "user.name=t", "-c", "user.email=t@t", ...args]);
}

function run([program = "", ...args]: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const options = { cwd: project, env: { ...process.env, STATOR, ...env }, encoding: "utf8" } as const;
  const { status, stdout, stderr } = spawnSync(program, args, options);
  return { status, stdout, stderr };
}

/** The steps of the workflow that a machine without network can take, as GitHub runs them. */
function workflowSteps(): readonly string[] {
  const text = readFileSync(path.join(root, "deploy/contracts/contract-check.yaml"), "utf8");
  const { jobs, on } = parse(text) as {
    on: object;
    jobs: Record<string, { steps: { run?: string; uses?: string }[] }>;
  };
  expect(Object.keys(on)).toEqual(["pull_request"]);
  const { steps } = jobs.check!;
  expect(steps.map(({ uses }) => uses).filter(Boolean)).toEqual(["actions/checkout@v4", "actions/setup-node@v4"]);
  return steps.flatMap(({ run: script }) => (script === undefined || script === "npm ci" ? [] : [script]));
}

test("the workflow lets an addition pass and writes it into the summary", () => {
  appendFileSync(link, "\n// New.\nmessage Fresh {\n  // One.\n  uint32 one = 1;\n}\n");
  const steps = workflowSteps();
  expect(steps).toHaveLength(1);
  const { status, stdout, stderr } = run(["bash", "-e", "-c", steps[0]!], {
    BASE: "main",
    GITHUB_STEP_SUMMARY: summary,
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toContain("Compatible: 1 difference,");
  expect(readFileSync(summary, "utf8")).toContain("- The message stator.worker.v1.Fresh is new.");
});

test("the script says no to a break, with whom it breaks and what to do", () => {
  writeFileSync(link, readFileSync(link, "utf8").replace("uint32 duration_us = 3;", "string duration_us = 3;"));
  const { status, stdout } = run(["sh", "./contract-check.sh", "main", "proto"]);
  expect(status).toBe(1);
  expect(stdout).toMatch(/BREAKS {2}stator\.worker\.v1\.\w+\.duration_us {2}\(stator\/worker\/v1\/link\.proto\)/);
  expect(stdout).toContain("What to do: Add a field with a number and a name of its own");
  const json = run([
    process.execPath,
    path.join(root, "bin/stator.mjs"),
    ..."contract check main:proto proto --format json".split(" "),
  ]);
  expect(json.status).toBe(1);
  expect(JSON.parse(json.stdout)).toMatchObject({ compatible: false, counts: { breaks: 1 } });
});

test("what cannot be compared ends with 2 and one sentence; what is not there yet cannot break", () => {
  const unknown = run(["sh", "./contract-check.sh", "origin/nowhere", "proto"]);
  expect(unknown.status).toBe(2);
  expect(unknown.stderr).toContain("contract-check: there is no origin/nowhere here");
  expect(run(["sh", "./contract-check.sh", "main", "elsewhere"])).toMatchObject({ status: 0, stderr: "" });
  const nothing = run(["sh", "./contract-check.sh"], { STATOR: "", PATH: "/usr/bin:/bin" });
  expect(nothing).toMatchObject({ status: 2, stderr: expect.stringContaining("there is no stator here") });
  const wrong = run([process.execPath, path.join(root, "bin/stator.mjs"), "contract", "check", "nowhere"]);
  expect(wrong.status).toBe(2);
  expect(wrong.stderr).toMatch(/^stator contract: nowhere is no file, no folder and no git reference here\..*\n$/);
});

import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { INPUTS, OUTPUTS } from "#services/frontend/doors/kserve/tensors";
import { OPERATIONS } from "#services/frontend/inference/operation-table";
import { Cluster } from "../support/cluster.ts";
import {
  expectPrinted,
  openPageCluster,
  type PageCluster,
  readExamples,
  readPage,
  runExample,
} from "../support/kserve-page.ts";

// What docs/kserve.md says, tried. Its programs in Python are tried by kserve-clients.test.ts.

const cluster = new Cluster();
let opened: PageCluster | undefined;
beforeAll(async () => {
  opened = await openPageCluster(cluster);
}, 90_000);
afterAll(async () => {
  await cluster.close();
  expect(cluster.complaints).toEqual([]);
});

const SHELL = readExamples().filter(({ language }) => language === "sh");

function has(program: string): boolean {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe("docs/kserve.md", () => {
  it("has examples of every client", () => {
    const count = (program: string) => SHELL.filter(({ code }) => code.includes(`${program} `)).length;
    expect([SHELL.length, count("curl"), count("grpcurl")]).toEqual([8, 8, 1]);
  });

  it.for(SHELL)("$code", async (example, context) => {
    const program = example.code.includes("grpcurl") ? "grpcurl" : "curl";
    if (!has(program)) return context.skip(`${program} is not installed`);
    if (!opened) return context.skip("the llama engine is not built");
    expectPrinted(await runExample(example, opened, ["sh", "-c"]), example);
  });

  it("names every method of the service, every route, every tensor of text models", () => {
    const page = readPage();
    for (const { name } of GRPCInferenceService.methods) expect(page).toContain(name);
    const routes = OPERATIONS.map(({ api }) => api.path.replace("/v2/", "").replace("{model}", "M"));
    const told = routes.filter((route) => !/sharedmemory|^\/v2$/.test(route));
    for (const route of told) expect(page, route).toContain(route.split("/").at(-1));
    for (const tensor of [...Object.keys(INPUTS), ...Object.keys(OUTPUTS)]) expect(page).toContain(`\`${tensor}\``);
  });
});

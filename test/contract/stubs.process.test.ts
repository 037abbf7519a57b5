import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { LANGUAGES, type Language } from "#lib/stubs/recipe";
import { Cluster } from "../support/cluster.ts";
import { IS_LONG } from "../support/seeds.ts";
import { buildStubs, makeStubs, runExample, STUBS_MISSING } from "../support/stub-packages.ts";

// As a team would: a package made into an empty folder, built by its own language's tools, and its example beside a
// running system. Java and Rust take minutes to compile, so that is for the long form.
const BUILT: readonly Language[] = IS_LONG ? LANGUAGES : ["python", "typescript", "go"];

/** What each package has at its top. */
const PROJECT_FILES: Readonly<Record<Language, string>> = {
  python: "pyproject.toml",
  go: "go.sum",
  java: "pom.xml",
  rust: "Cargo.toml",
  typescript: "package.json",
};

const folder = mkdtempSync(path.join(os.tmpdir(), "stator-stubs-"));
const cluster = new Cluster();
let address = "";

beforeAll(async () => {
  const hub = await cluster.hub();
  const discovery = ["--discovery", `hub://${hub.address}`];
  await cluster.worker(...discovery, "--model-name", "stator-demo");
  const frontend = await cluster.frontend(...discovery);
  const ready = async () => {
    const { data } = (await (await fetch(`http://${frontend.address}/v1/models`)).json()) as { data: unknown[] };
    return data.length;
  };
  await vi.waitFor(async () => expect(await ready()).toBe(1), { timeout: 60_000, interval: 50 });
  address = ((await (await fetch(`http://${frontend.address}/health`)).json()) as { operators: string }).operators;
}, 120_000);

afterAll(async () => {
  await cluster.close();
  rmSync(folder, { recursive: true, force: true });
});

if (process.env.CI === "true") {
  test("every language is here", () => {
    expect(Object.values(STUBS_MISSING).filter((sentence) => sentence !== "")).toEqual([]);
  });
}

describe.each(LANGUAGES)("stubs for %s", (language) => {
  const missing = STUBS_MISSING[language];
  const told = missing === "" ? "" : ` (skipped: ${missing})`;
  const built = BUILT.includes(language);

  test.skipIf(missing !== "")(`a package with ours alone${told}`, { timeout: 1_800_000 }, async () => {
    const made = await makeStubs(language, path.join(folder, language, "ours"), false);
    expect(existsSync(path.join(made.folder, PROJECT_FILES[language]))).toBe(true);
    expect(readFileSync(path.join(made.folder, "README.md"), "utf8")).not.toContain("openengine");
    if (!built) return;
    buildStubs(language, made);
    expect(runExample(language, made, address)).toMatch(/^127\.0\.0\.1:\d+ ready\n$/);
  });

  test.skipIf(missing !== "")(`a package with those of others${told}`, { timeout: 900_000 }, async () => {
    const made = await makeStubs(language, path.join(folder, language, "all"));
    expect(made.project.packages).toEqual(expect.arrayContaining(["inference", "openengine.v1", "stator.worker.v1"]));
    if (!built) return;
    buildStubs(language, made);
    expect(runExample(language, made, address, "stator-demo").trim().length).toBeGreaterThan(40);
  });
});

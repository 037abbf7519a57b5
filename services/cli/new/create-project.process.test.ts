import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { createProject } from "./create-project.ts";

// What the projects do is tried where the package is (test/e2e/package.test.ts).

const home = mkdtempSync(path.join(os.tmpdir(), "stator-new-"));
const { PATH, XDG_CACHE_HOME } = process.env;
afterEach(() => Object.assign(process.env, { PATH, ...(XDG_CACHE_HOME !== undefined && { XDG_CACHE_HOME }) }));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const worker = (folder: string) => createProject({ kind: "worker", language: "typescript", folder });

test("a project is called as its folder, in what says its name, and is nowhere else", async () => {
  const folder = await worker(path.join(home, "deep/my-worker"));
  expect(JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"))).toMatchObject({ name: "my-worker" });
  expect(readFileSync(path.join(folder, "README.md"), "utf8")).toMatch(/^# my-worker\n/);
  expect(readdirSync(path.join(home, "deep"))).toEqual(["my-worker"]);
  for (const file of readdirSync(folder)) expect(readFileSync(path.join(folder, file), "utf8")).not.toContain("{{");
});

test.each(["Mine", "my_worker", "-mine", "mine-", "9mine", "my--worker", "m".repeat(65), "w\u00f6rter"])(
  "%j is no name of a project",
  async (name) => {
    await expect(worker(path.join(home, "names", name))).rejects.toThrow("is no name for one: take a-z, digits");
  },
);

test("a folder that is not empty stays as it is, and an empty one becomes the project", async () => {
  const folder = path.join(home, "full");
  mkdirSync(folder);
  writeFileSync(path.join(folder, "kept"), "");
  await expect(worker(folder)).rejects.toThrow(`${folder} is not empty: name a folder that is not there yet.`);
  expect(readdirSync(folder)).toEqual(["kept"]);
  await expect(worker(path.join(folder, "kept"))).rejects.toThrow("kept is a file: name a folder");
  rmSync(path.join(folder, "kept"));
  await worker(folder);
  expect(readdirSync(folder)).toContain("worker.ts");
});

test("a project whose stubs cannot be made leaves nothing", async () => {
  process.env.PATH = path.join(home, "nothing");
  process.env.XDG_CACHE_HOME = path.join(home, "cache");
  const parent = path.join(home, "half");
  const making = createProject({ kind: "service", language: "go", folder: path.join(parent, "mine") });
  await expect(making).rejects.toThrow("go is not on PATH");
  expect(readdirSync(home)).not.toContain("half");
});

test("the book shows what the projects have", () => {
  const read = (file: string) => readFileSync(new URL(`../../../${file}`, import.meta.url), "utf8");
  const blocksOf = (page: string) => [...read(page).matchAll(/^```ts (\S+)\n(.*?)^```$/gms)];
  const template = (name: string) => read(`services/cli/new/templates/${name}`);
  const [shout] = blocksOf("docs/engines.md");
  expect(shout?.[2]).toBe(template("worker-typescript/worker.ts"));
  const served = blocksOf("docs/polyglot.md").filter(([, name]) => name === "worker.ts");
  expect(served.map(([, , code]) => code)).toEqual([shout?.[2]]);
  const services = blocksOf("docs/services.md");
  expect(services).toHaveLength(2);
  for (const [, name, code = ""] of services) expect(template(`service-typescript/${name}`)).toContain(code);
});

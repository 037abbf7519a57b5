import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import type { Language, Recipe } from "#lib/stubs/recipe";
import { RECIPES } from "#lib/stubs/recipes";
import { generateStubs } from "./generate-stubs.ts";
import { openTools, toolFolderName } from "./tool-cache.ts";

const home = mkdtempSync(path.join(os.tmpdir(), "stator-stubs-"));
const { PATH } = process.env;
let count = 0;

afterEach(() => {
  process.env.PATH = PATH;
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** An empty place: nothing of a refused order may be left in it. */
function place(): { readonly out: string; readonly cacheFolder: string; readonly left: () => string[] } {
  const folder = path.join(home, String(count++));
  mkdirSync(folder);
  const left = () => readdirSync(folder, { recursive: true }).map(String);
  return { out: path.join(folder, "deep/er/stubs"), cacheFolder: path.join(folder, "cache"), left };
}

/** Puts a program in the place of a tool of Go's set. */
function fakeTool(cacheFolder: string, script: string): void {
  const folder = path.join(
    cacheFolder,
    toolFolderName("go", RECIPES.go.tools({ arch: process.arch })!, process.arch, []),
  );
  mkdirSync(folder, { recursive: true });
  writeProgram(path.join(folder, "protoc-gen-go"), script);
}

function writeProgram(file: string, script: string): void {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

const refusal = async (order: Parameters<typeof generateStubs>[0]): Promise<string> =>
  generateStubs(order).then(
    () => "nothing was refused",
    (error: Error) => error.message,
  );

const VERSION = 'if [ "$1" = --version ]; then echo protoc-gen-go v1.36.11; exit; fi';

test.each([
  [
    "of another version",
    "echo protoc-gen-go v1.36.110",
    /^protoc-gen-go says that it is "protoc-gen-go v1\.36\.110", not v1\.36\.11\. /,
  ],
  ["that crashes", `${VERSION}; kill -SEGV $$`, /^protoc-gen-go crashed \(SIGSEGV\)\. /],
  [
    "that fails",
    `${VERSION}; cat >/dev/null; echo bad parameter >&2; exit 3`,
    /^protoc-gen-go failed with exit code 3: bad parameter\. /,
  ],
  [
    "that answers nonsense",
    `${VERSION}; cat >/dev/null; echo hello`,
    /^protoc-gen-go answered something that is no answer of a plugin\./,
  ],
  ["that floods", `${VERSION}; exec cat /dev/zero`, /^protoc-gen-go wrote more than \d+ bytes\. /],
])("a plugin %s is refused in a sentence, and nothing is written", async (_, script, sentence) => {
  const { out, cacheFolder, left } = place();
  fakeTool(cacheFolder, script);
  expect(await refusal({ language: "go", out, cacheFolder })).toMatch(sentence);
  expect(left().filter((name) => !name.startsWith("cache"))).toEqual([]);
});

test("a plugin that is gone from its folder is refused with what to do", async () => {
  const { out, cacheFolder } = place();
  fakeTool(cacheFolder, "");
  const [folder = ""] = readdirSync(cacheFolder);
  rmSync(path.join(cacheFolder, folder, "protoc-gen-go"));
  expect(await refusal({ language: "go", out, cacheFolder })).toBe(
    `protoc-gen-go is not there. Delete ${path.join(cacheFolder, folder)} and try again: it is made anew.`,
  );
});

test.each([
  ["go", "go"],
  ["rust", "cargo"],
  ["java", "mvn"],
  ["python", "python3"],
] as const)("without what makes the tools for %s the sentence says what to install", async (language, command) => {
  const { out, cacheFolder, left } = place();
  process.env.PATH = path.join(home, "empty");
  const { bring } = RECIPES[language].tools({ arch: "x64" })!.machine[0]!;
  expect(await refusal({ language, out, cacheFolder })).toBe(`${command} is not on PATH. ${bring}`);
  expect(left()).toEqual([]);
});

test.each([
  ["go version go1.19.8 linux/amd64", "go is version 1.19, older than 1.25."],
  ["go version devel", "go does not tell its version."],
])("a machine's Go that says %j is not used", async (said, sentence) => {
  const { out, cacheFolder } = place();
  process.env.PATH = path.join(home, `bin${count}`);
  writeProgram(path.join(process.env.PATH, "go"), `echo "${said}"`);
  expect(await refusal({ language: "go", out, cacheFolder })).toContain(sentence);
});

test("tools that cannot be made leave nothing behind, and the lines of what failed were shown", async () => {
  const { out, cacheFolder, left } = place();
  const bin = path.join(home, `bin${count}`);
  writeProgram(
    path.join(bin, "go"),
    '[ "$1" = version ] && echo go1.30.1 && exit; echo half >half; echo no such module >&2; exit 1',
  );
  process.env.PATH = `${bin}:${PATH}`;
  const lines: string[] = [];
  const sentence = await refusal({ language: "go", out, cacheFolder, progress: (line) => lines.push(line) });
  expect(sentence).toContain("go failed with exit code 1: no such module, making protoc-gen-go");
  expect(lines.at(-1)).toBe("no such module");
  expect(left()).toEqual(["cache"]);
});

test("what was downloaded and is something else is not kept", async () => {
  const { cacheFolder, left } = place();
  const set = {
    ...RECIPES.go.tools({ arch: "x64" })!,
    machine: [],
    steps: [{ words: ["touch", "a"] }],
    digests: { a: "00" },
  };
  const cache = { folder: cacheFolder, progress: () => {} };
  await expect(openTools("x", set, "x64", cache)).rejects.toThrow(/^a has the digest e3b0c44\w+, not 00\. /);
  expect(left()).toEqual(["cache"]);
});

test("two that make the same tools at once both get them", async () => {
  const { cacheFolder, left } = place();
  const steps = [{ words: ["sh", "-c", "sleep 0.1; echo done >a"] }];
  const set = { ...RECIPES.go.tools({ arch: "x64" })!, machine: [], steps };
  const cache = { folder: cacheFolder, progress: () => {} };
  const [one, other] = await Promise.all([openTools("x", set, "x64", cache), openTools("x", set, "x64", cache)]);
  expect(one).toBe(other);
  expect(left()).toEqual(["cache", `cache/${path.basename(one)}`, `cache/${path.basename(one)}/a`]);
});

test("tools that nobody used for months go when others are made, and no more than those", async () => {
  const { cacheFolder } = place();
  const DAY_S = 86_400;
  const now = Date.now() / 1000;
  const make = (name: string, days: number) => {
    mkdirSync(path.join(cacheFolder, name), { recursive: true });
    utimesSync(path.join(cacheFolder, name), now - days * DAY_S, now - days * DAY_S);
  };
  const digest = (digit: string) => digit.repeat(16);
  for (const [name, days] of [
    [`go-${digest("a")}`, 61],
    [`go-${digest("b")}`, 59],
    ["new-half", 2],
    ["new-begun", 0],
    ["cargo-target", 400],
  ] as const) {
    make(name, days);
  }
  const set = { ...RECIPES.go.tools({ arch: "x64" })!, machine: [], steps: [] };
  const cache = { folder: cacheFolder, progress: () => {} };
  const made = await openTools("x", set, "x64", cache);
  const left = ["cargo-target", `go-${digest("b")}`, "new-begun", path.basename(made)];
  expect(readdirSync(cacheFolder).sort()).toEqual(left.sort());
  // What is used stays.
  make(path.basename(made), 100);
  await openTools("x", set, "x64", cache);
  await openTools("y", set, "x64", cache);
  expect(readdirSync(cacheFolder)).toContain(path.basename(made));
});

test("another pin is another folder", () => {
  const nameOf = (recipe: Recipe, versions: string[]) =>
    toolFolderName(recipe.language, recipe.tools({ arch: "x64" })!, "x64", versions);
  const { python, go } = RECIPES;
  expect(nameOf(python, ["3.11"])).not.toBe(nameOf(python, ["3.12"]));
  const set = go.tools({ arch: "x64" })!;
  const other = { ...set, steps: set.steps.map(({ words }) => ({ words: [...words.slice(0, -1), "other@v2"] })) };
  expect(toolFolderName("go", other, "x64", [])).not.toBe(nameOf(go, []));
});

test.each([
  [
    "a folder that is not empty",
    "is not empty: name a folder that is not there yet.",
    (out: string) => void writeFileSync(path.join(out, "kept"), ""),
  ],
  [
    "a file",
    "is a file: name a folder that is not there yet.",
    (out: string) => {
      rmSync(out, { recursive: true });
      writeFileSync(out, "");
    },
  ],
])("%s stays as it is", async (_, sentence, prepare) => {
  const { out, cacheFolder, left } = place();
  mkdirSync(out, { recursive: true });
  prepare(out);
  const before = left();
  expect(await refusal({ language: "typescript" satisfies Language, out, cacheFolder })).toBe(
    `--out ${out} ${sentence}`,
  );
  expect(left()).toEqual(before);
});

test("an order that is stopped leaves nothing", async () => {
  const { out, cacheFolder, left } = place();
  fakeTool(cacheFolder, `${VERSION}; exec sleep 60`);
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 500);
  expect(await refusal({ language: "go", out, cacheFolder, signal: stop.signal })).toMatch(/was stopped/);
  expect(left().filter((name) => !name.startsWith("cache"))).toEqual([]);
});

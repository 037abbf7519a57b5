import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { type Compilers, findCompilers } from "./compiler.ts";
import { importPath, importRoots } from "./import-roots.ts";
import { PROGRAM_LIMITS, runProgram } from "./run-program.ts";
import { compareSides } from "./sides.ts";
import { readFolder, TREE_LIMITS } from "./trees.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "stator-sides-"));
const compilers = findCompilers({ folder, searched: "" });
const PROTO = (fields: string) => `syntax = "proto3";\npackage a.v1;\nmessage M { ${fields} }\n`;

beforeAll(async () => {
  const git = (...args: string[]) =>
    runProgram(["git", "-c", "user.name=t", "-c", "user.email=t@t", ...args], { cwd: folder });
  write("proto/ours/a/v1/a.proto", PROTO("string a = 1;"));
  write(
    "proto/ours/a/v1/b.proto",
    'syntax = "proto3";\npackage a.v1;\nimport "a/v1/a.proto";\nmessage B { M m = 1; }\n',
  );
  write("bad/bad.proto", 'syntax = "proto3";\nmessage {');
  write("empty/readme.txt", "nothing");
  write("twice/one/a/v1/a.proto", PROTO("string a = 1;"));
  write("twice/two/a/v1/a.proto", PROTO("string a = 1;"));
  write("cut.binpb", "\u000a\u0020a");
  await git("init", "--quiet");
  await git("add", "proto");
  await git("commit", "--quiet", "--message", "first");
  write("proto/ours/a/v1/a.proto", PROTO("bytes a = 1;"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): void {
  mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
  writeFileSync(path.join(folder, name), text);
}

async function kindsOf(older: string, newer: string, used: Compilers = compilers): Promise<string[]> {
  return (await compareSides(older, newer, { folder, compilers: used })).map(({ kind }) => kind);
}

test("a git reference and a folder are compared, in whatever depth the contracts lie", async () => {
  expect(await kindsOf("HEAD:proto", "proto")).toEqual(["TYPE_TEXT_BYTES"]);
  expect(await kindsOf("git:HEAD:proto/ours", "proto/ours")).toEqual(["TYPE_TEXT_BYTES"]);
  expect(await kindsOf("proto", "proto")).toEqual([]);
});

test("images need no compiler", async () => {
  const build = (target: string, cwd: string) =>
    runProgram([...compilers.buf!, "build", "-o", target], { cwd: path.join(folder, cwd) });
  await build(path.join(folder, "now.binpb"), "proto/ours");
  expect(await kindsOf("now.binpb", "now.binpb", {})).toEqual([]);
});

describe("what cannot be compared is told in one sentence, with what to do", () => {
  test.each([
    ["a name that is nothing", "nowhere", /^nowhere is no file, no folder and no git reference here\. Look at .*\.$/],
    ["a folder that a reference does not have", "HEAD:nowhere", /^There is no folder nowhere in HEAD\. Name one/],
    [
      "a folder without contracts",
      "empty",
      /^empty has no \.proto files\. Name the folder that holds the contracts\.$/,
    ],
    ["a contract that does not compile", "bad", /^bad does not compile: bad\.proto:2:\d+:.*Mend it and try again\.$/],
    ["an image that was cut off", "cut.binpb", /^cut\.binpb is damaged: .*Make it again, such as with `buf build/],
    ["one contract", "proto/ours/a/v1/a.proto", /is one contract\. Name the folder/],
    ["two contracts of one name", "twice", /two files that are imported as a\/v1\/a\.proto/],
    ["a name that is too long for a file", "x".repeat(5_000), /^x+ cannot be read \(ENAMETOOLONG\)\. Name something/],
    ["an option in place of a reference", "--output=x", /no git reference/],
  ])("%s", async (_, name, sentence) => {
    const refused = await compareSides(name, "proto", { folder, compilers }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(StatorError);
    expect(refused).toMatchObject({ reason: "BAD_CONFIG", message: expect.stringMatching(sentence) });
  });

  test("no buf and no protoc", async () => {
    await expect(kindsOf("proto", "proto", {})).rejects.toThrow(/neither buf nor protoc is here\. Install one/);
  });

  test("a buf that cannot be started, and one that says nothing that is known", async () => {
    await expect(kindsOf("proto", "proto", { buf: ["/nowhere/buf"] })).rejects.toThrow(
      "/nowhere/buf cannot be started.",
    );
    const mute = [process.execPath, "-e", "process.exit(1)", "--"];
    await expect(kindsOf("proto", "proto", { buf: mute })).rejects.toThrow(
      "does not compile: the compiler does not say why",
    );
  });
});

test("a protoc is asked as protoc is, with the files laid out by what they import", async () => {
  const script =
    'const a = process.argv.slice(1); process.stderr.write(a.filter((x) => !x.includes("/")).join(" ")); process.exit(1)';
  const protoc = [process.execPath, "-e", script, "--"];
  await expect(kindsOf("proto", "proto", { protoc })).rejects.toThrow("does not compile: -I . --include_imports");
});

test("bounds of programs and trees hold", async () => {
  const node = (script: string, limits: object) =>
    runProgram([process.execPath, "-e", script], { limits: { ...PROGRAM_LIMITS, ...limits } });
  await expect(node("setInterval(() => {}, 1000)", { timeoutMs: 200 })).rejects.toThrow("was ended by SIGKILL");
  await expect(node("console.log('x'.repeat(100))", { outputBytes: 10 })).rejects.toThrow("wrote more than 10 bytes");
  const read = (limits: object) => () => readFolder(path.join(folder, "proto"), "proto", { ...TREE_LIMITS, ...limits });
  expect(read({ files: 1 })).toThrow("has more than 1 contracts");
  expect(read({ bytes: 10 })).toThrow("has more than 10 bytes of contracts");
  expect(read({ entries: 2 })).toThrow("has more than 2 files to look at");
});

test("files are imported from above their packages, or from the modules of a buf.yaml", () => {
  const tree = new Map([
    ["x/ours/a/v1/a.proto", Buffer.from(PROTO(""))],
    ["x/foreign/b.proto", Buffer.from('syntax = "proto3";')],
  ]);
  expect([...tree.keys()].map((file) => importPath(file, importRoots(tree)))).toEqual([
    "a/v1/a.proto",
    "x/foreign/b.proto",
  ]);
  tree.set("buf.yaml", Buffer.from("modules: [{path: 3}, null]"));
  expect(importRoots(tree)).toEqual(["x/ours"]);
  tree.set("buf.yaml", Buffer.from("modules: ["));
  expect(() => importRoots(tree)).toThrow("The buf.yaml is not valid YAML. Mend it");
  tree.set("buf.yaml", Buffer.from("version: v2\nmodules:\n  - path: x/foreign\n  - path: ./x\n"));
  expect([...tree.keys()].map((file) => importPath(file, importRoots(tree)))).toEqual([
    "ours/a/v1/a.proto",
    "b.proto",
    "buf.yaml",
  ]);
});

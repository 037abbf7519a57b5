import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { StatorError } from "#lib/base/errors";
import { badInput } from "./bad-input.ts";
import type { Tree } from "./import-roots.ts";
import { runProgram } from "./run-program.ts";

/** What is read of a tree at most. */
export interface TreeLimits {
  /** Contracts. */
  readonly files: number;
  /** Their bytes together. */
  readonly bytes: number;
  /** Folders and files that are looked at. */
  readonly entries: number;
}

/** Bounds that a folder of contracts stays far below, and a disk does not. */
export const TREE_LIMITS: TreeLimits = { files: 20_000, bytes: 67_108_864, entries: 500_000 };

/** What of a tree is read: contracts, and what says how they belong together. */
const WANTED = /\.proto$|^buf\.(yaml|work\.yaml|lock)$/;
const SKIPPED = new Set(["node_modules", ".git"]);

/** Reads the contracts below a folder, which errors call `name`. Throws BAD_CONFIG where there are none, or too many. */
export function readFolder(folder: string, name: string, limits: TreeLimits = TREE_LIMITS): Tree {
  const files: string[] = [];
  const open = [""];
  let looked = 0;
  for (let inner = open.pop(); inner !== undefined; inner = open.pop()) {
    for (const entry of readdirSync(path.join(folder, inner), { withFileTypes: true })) {
      if (++looked > limits.entries) throw tooMany(name, `${limits.entries} files to look at`);
      const inside = path.posix.join(inner, entry.name);
      if (entry.isDirectory() && !SKIPPED.has(entry.name)) open.push(inside);
      else if (entry.isFile() && WANTED.test(inside)) files.push(inside);
    }
  }
  return keepTree(name, files.sort(), limits, (file) => readFileSync(path.join(folder, file)));
}

/** Reads the contracts of a git reference, REF or REF:PATH; a PATH is from the top of the repository, and without one it is `cwd`. */
export async function readReference(reference: string, cwd: string, limits: TreeLimits = TREE_LIMITS): Promise<Tree> {
  const at = reference.indexOf(":");
  const [name, folder] = at < 0 ? [reference, "./"] : [reference.slice(0, at), reference.slice(at + 1)];
  const git = (...args: string[]) => runProgram(["git", ...args], { cwd });
  if (!(await git("rev-parse", "--git-dir")).ok) {
    throw badInput(
      `${reference} is no file and no folder here, and this is no git repository. Name a folder, an image or a git reference`,
    );
  }
  const find = async (what: string) =>
    (await git("rev-parse", "--verify", "--quiet", "--end-of-options", what)).output.toString().trim();
  if (name === "" || (await find(`${name}^{commit}`)) === "") {
    throw badInput(
      `${reference} is no file, no folder and no git reference here. Look at \`git branch --all\`; in a shallow clone \`git fetch origin ${name || "REF"}\` brings one`,
    );
  }
  const tree = await find(`${name}:${folder}`);
  const listed = tree === "" ? undefined : await git("ls-tree", "-r", "-z", "--full-tree", tree);
  if (!listed?.ok) throw badInput(`There is no folder ${folder} in ${name}. Name one that is there, as ${name}:FOLDER`);
  const objects = new Map(listed.output.toString().split("\0").flatMap(readEntry));
  const wanted = [...objects].filter(
    ([file]) => WANTED.test(file) && !file.split("/").some((part) => SKIPPED.has(part)),
  );
  const input = wanted.map(([, object]) => `${object}\n`).join("");
  const { output } = await runProgram(["git", "cat-file", "--batch"], { cwd, input });
  const contents = readBatch(output, wanted.length);
  const byFile = new Map(wanted.map(([file], place) => [file, contents[place]!]));
  return keepTree(reference, [...byFile.keys()].sort(), limits, (file) => byFile.get(file)!);
}

/** A line of ls-tree: mode, type and object, a tab, the path. Links and submodules are none. */
function readEntry(line: string): [file: string, object: string][] {
  const [, object, file] = /^100\d+ blob ([0-9a-f]+)\t(.+)$/s.exec(line) ?? [];
  return object === undefined || file === undefined ? [] : [[file, object]];
}

/** Objects as cat-file writes them: a line that ends with the length, the bytes, a line break. */
function readBatch(output: Buffer, count: number): readonly Buffer[] {
  const contents: Buffer[] = [];
  let at = 0;
  while (contents.length < count) {
    const end = output.indexOf("\n", at);
    const length = Number(output.subarray(at, end).toString().split(" ")[2]);
    if (end < 0 || !Number.isInteger(length))
      throw badInput("git told less than it was asked for; is the repository whole? `git fsck` tells");
    contents.push(output.subarray(end + 1, end + 1 + length));
    at = end + 1 + length + 1;
  }
  return contents;
}

function keepTree(name: string, files: readonly string[], limits: TreeLimits, read: (file: string) => Buffer): Tree {
  const protos = files.filter((file) => file.endsWith(".proto"));
  if (protos.length === 0) throw badInput(`${name} has no .proto files. Name the folder that holds the contracts`);
  if (protos.length > limits.files) throw tooMany(name, `${limits.files} contracts`);
  const tree = new Map<string, Buffer>();
  let bytes = 0;
  for (const file of files) {
    const contents = read(file);
    bytes += contents.length;
    if (bytes > limits.bytes) throw tooMany(name, `${limits.bytes} bytes of contracts`);
    tree.set(file, contents);
  }
  return tree;
}

function tooMany(name: string, what: string): StatorError {
  return badInput(`${name} has more than ${what}. Name the folder that holds the contracts alone`);
}

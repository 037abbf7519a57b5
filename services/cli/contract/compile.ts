import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { badInput } from "./bad-input.ts";
import type { Compilers } from "./compiler.ts";
import { importPath, importRoots, type Tree } from "./import-roots.ts";
import { type ProgramEnd, runProgram } from "./run-program.ts";

/** What a tree is compiled with. */
export interface CompileOptions {
  /** What errors call the tree. */
  readonly name: string;
  /** The programs that are at hand. */
  readonly compilers: Compilers;
  /** An empty folder of the caller's to work in. */
  readonly work: string;
}

/**
 * Compiles a tree into an image, with buf where it is at hand, else with protoc. A tree with a buf.yaml is compiled by buf as
 * that says; of any other the files are laid out by the paths that they are imported by. Throws BAD_CONFIG with what the
 * compiler says first, and where neither is at hand.
 */
export async function compileTree(tree: Tree, { name, compilers, work }: CompileOptions): Promise<Uint8Array> {
  const { buf, protoc } = compilers;
  if (!buf && !protoc) {
    throw badInput(
      `${name} must be compiled, and neither buf nor protoc is here. Install one (npm install --save-dev @bufbuild/buf), or name images, which need neither`,
    );
  }
  const isWorkspace = buf !== undefined && (tree.has("buf.yaml") || tree.has("buf.work.yaml"));
  const laid = isWorkspace ? tree : layOut(tree, name);
  const source = path.join(work, "source");
  for (const [file, contents] of laid) {
    const target = path.join(source, file);
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, contents);
  }
  const image = path.join(work, "image.binpb");
  const end = buf
    ? await runProgram([...buf, "build", "--exclude-source-info", "-o", image], { cwd: source })
    : await runProtoc(protoc!, [...laid.keys()], { cwd: source, image, work });
  if (!end.ok) throw doesNotCompile(name, end, work);
  return readFileSync(image);
}

/** The contracts of a tree by the paths that they import each other by. */
function layOut(tree: Tree, name: string): Tree {
  const roots = importRoots(tree);
  const laid = new Map<string, Buffer>();
  for (const [file, contents] of tree) {
    if (!file.endsWith(".proto")) continue;
    const place = importPath(file, roots);
    if (laid.has(place))
      throw badInput(`${name} has two files that are imported as ${place}. Name the folder of one of them`);
    laid.set(place, contents);
  }
  return laid;
}

/** Names go by a file: a command line is bounded. */
function runProtoc(
  protoc: readonly string[],
  files: readonly string[],
  { cwd, image, work }: { readonly cwd: string; readonly image: string; readonly work: string },
): Promise<ProgramEnd> {
  const list = path.join(work, "files.txt");
  writeFileSync(list, files.join("\n"));
  return runProgram([...protoc, "-I", ".", "--include_imports", `--descriptor_set_out=${image}`, `@${list}`], { cwd });
}

function doesNotCompile(name: string, { complaint, output }: ProgramEnd, work: string): Error {
  const text = (complaint || output.toString()).replaceAll(`${path.join(work, "source")}/`, "");
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const others = lines.length > 1 ? `, and ${lines.length - 1} more` : "";
  return badInput(
    `${name} does not compile: ${(lines[0] ?? "the compiler does not say why").replace(/\.$/, "")}${others}. Mend it and try again`,
  );
}

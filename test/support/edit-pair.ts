import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parse } from "yaml";
import { root as checkout, runTool } from "../../tools/run-tool.ts";

/** One edit, as its table has it. */
export interface ContractEdit {
  readonly edit: string;
  readonly before: string;
  readonly after?: string;
  readonly syntax?: string | readonly [before: string, after: string];
  readonly suffix?: string;
  readonly renamed?: true;
  readonly kinds: readonly string[];
  /** Of old servers, new servers, JSON and stubs. */
  readonly verdicts: string;
  readonly file: readonly string[];
  readonly wireJson: readonly string[];
}

/** The table of edits. */
export function readEdits(): readonly ContractEdit[] {
  return parse(readFileSync(path.join(checkout, "test/fixtures/contract-edits.yaml"), "utf8")) as ContractEdit[];
}

/** What buf says: one line of its JSON. */
export interface BufComplaint {
  /** File of the newer contract; absent where the file is gone. */
  readonly path?: string;
  /** Its rule. */
  readonly type: string;
  readonly message: string;
}

/** Both sides of edits as images, all of them in one, and what buf says between them. */
export interface EditPair {
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  readonly complaints: readonly BufComplaint[];
}

type Source = Pick<ContractEdit, "before" | "after" | "syntax" | "suffix" | "renamed">;

/** Writes each edit into a package of its own, compiles both sides in `folder` and has buf compare them by all its rules. */
export function buildEdits(edits: readonly Source[], folder: string): EditPair {
  const sides = ["before", "after"] as const;
  for (const [at, edit] of edits.entries())
    for (const side of sides) writeSide(edit, at, side, path.join(folder, side));
  for (const side of sides) {
    writeFileSync(path.join(folder, side, "buf.yaml"), "version: v2\n");
    const { ok, output } = buf(["build", "-o", path.join(folder, `${side}.binpb`)], path.join(folder, side));
    if (!ok) throw new Error(output);
  }
  const rules = "version: v2\nbreaking:\n  use: [FILE, PACKAGE, WIRE_JSON, WIRE]\n";
  writeFileSync(path.join(folder, "buf.yaml"), rules);
  const compare = [
    "breaking",
    "after.binpb",
    "--against",
    "before.binpb",
    "--config",
    "buf.yaml",
    "--error-format",
    "json",
  ];
  const lines = buf(compare, folder).output.split("\n").filter(Boolean);
  const [before, after] = sides.map((side) => readFileSync(path.join(folder, `${side}.binpb`)));
  return { before: before!, after: after!, complaints: lines.map((line) => JSON.parse(line) as BufComplaint) };
}

/** The package of an edit, by its place in the list, without what may be behind it. */
export function packageOfEdit(at: number): string {
  return `t.e${at}.v1`;
}

/** The complaints about an edit. */
export function complaintsOf({ complaints }: EditPair, at: number): BufComplaint[] {
  const isOf = new RegExp(String.raw`\bt[./]e${at}\b`);
  return complaints.filter(({ path: file, message }) => isOf.test(file ?? message));
}

function buf(args: readonly string[], cwd: string) {
  return runTool("buf", args, { capture: true, cwd });
}

function writeSide(edit: Source, at: number, side: "before" | "after", root: string): void {
  const body = edit[side];
  if (body === undefined) return;
  const isAfter = side === "after";
  const { syntax = 'syntax = "proto3";', suffix = "" } = edit;
  const [was, is] = typeof syntax === "string" ? [syntax, syntax] : syntax;
  const [line, ...options] = (isAfter ? is : was).split(/(?<=;) /);
  const packageLine = `package ${packageOfEdit(at)}${isAfter ? suffix : ""};`;
  const folder = path.join(root, ...packageOfEdit(at).split("."));
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, isAfter && edit.renamed ? "y.proto" : "x.proto");
  writeFileSync(file, [line, packageLine, ...options, body, ""].join("\n"));
}

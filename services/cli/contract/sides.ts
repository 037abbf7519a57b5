import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { StatorError } from "#lib/base/errors";
import { type BufComplaint, withComplaints } from "#lib/contract/buf-complaints";
import { compareContracts } from "#lib/contract/compare";
import { readImage } from "#lib/contract/contract";
import type { Difference } from "#lib/contract/difference";
import { CONTRACT_LIMITS } from "#lib/contract/limits";
import { badInput } from "./bad-input.ts";
import { compileTree } from "./compile.ts";
import type { Compilers } from "./compiler.ts";
import { runProgram } from "./run-program.ts";
import { readFolder, readReference } from "./trees.ts";

/** What a comparison of two named contracts needs. */
export interface SideOptions {
  /** The working folder: names of files and folders are relative to it, and git asks the repository around it. */
  readonly folder: string;
  /** The programs that are at hand. */
  readonly compilers: Compilers;
}

/**
 * The differences from one contract to the other, each named as an image, a folder or a git reference (with `git:` before it
 * where a file has the same name), and whatever the buf that is at hand complains about beyond them. Throws BAD_CONFIG, as a
 * sentence with what to do, for whatever cannot be read, compiled or compared.
 */
export async function compareSides(older: string, newer: string, options: SideOptions): Promise<readonly Difference[]> {
  const work = mkdtempSync(path.join(os.tmpdir(), "stator-contract-"));
  try {
    const [before, after] = await Promise.all([
      readSide(older, { ...options, work: path.join(work, "before") }),
      readSide(newer, { ...options, work: path.join(work, "after") }),
    ]);
    const contracts = [readImage(before, older), readImage(after, newer)] as const;
    const complaints = askBuf(before, after, { buf: options.compilers.buf, work });
    return withComplaints(compareContracts(...contracts), await complaints);
  } catch (error) {
    // What is wrong with an image or too large is wrong with what was asked for.
    if (!(error instanceof StatorError) || error.reason === "BAD_CONFIG") throw error;
    const detail =
      error.reason === "CORRUPT"
        ? `${error.message} Make it again, such as with \`buf build -o FILE.binpb\`.`
        : error.message;
    throw new StatorError("BAD_CONFIG", { detail }, { cause: error });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function readSide(name: string, options: SideOptions & { readonly work: string }): Promise<Uint8Array> {
  const { folder, compilers, work } = options;
  mkdirSync(work);
  const place = path.resolve(folder, name);
  try {
    const found = name.startsWith("git:") ? undefined : statSync(place, { throwIfNoEntry: false });
    if (found?.isFile()) return readImageFile(place, name, found.size);
    const isFolder = found?.isDirectory() ?? false;
    const tree = isFolder ? readFolder(place, name) : await readReference(name.replace(/^git:/, ""), folder);
    return await compileTree(tree, { name, compilers, work });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof StatorError || code === undefined) throw error;
    throw badInput(`${name} cannot be read (${code}). Name something that this user may read`, error);
  }
}

function readImageFile(place: string, name: string, bytes: number): Uint8Array {
  if (name.endsWith(".proto"))
    throw badInput(`${name} is one contract. Name the folder that holds it and what it imports`);
  if (bytes > CONTRACT_LIMITS.imageBytes)
    throw badInput(`${name} is longer than an image may be (${CONTRACT_LIMITS.imageBytes} bytes)`);
  return readFileSync(place);
}

/** What buf says of two images by all of its rules; nothing where it is not at hand, and of one that equals the other. */
async function askBuf(
  before: Uint8Array,
  after: Uint8Array,
  { buf, work }: { readonly buf: readonly string[] | undefined; readonly work: string },
): Promise<readonly BufComplaint[]> {
  if (!buf || Buffer.from(before).equals(after)) return [];
  writeFileSync(path.join(work, "before.binpb"), before);
  writeFileSync(path.join(work, "after.binpb"), after);
  writeFileSync(path.join(work, "buf.yaml"), "version: v2\nbreaking:\n  use: [FILE, PACKAGE, WIRE_JSON, WIRE]\n");
  const args = [
    "breaking",
    "after.binpb",
    "--against",
    "before.binpb",
    "--config",
    "buf.yaml",
    "--error-format",
    "json",
  ];
  const { ok, output, complaint } = await runProgram([...buf, ...args], { cwd: work });
  const lines = output.toString().split("\n").filter(Boolean);
  try {
    if (ok || lines.length > 0) return lines.map((line) => JSON.parse(line) as BufComplaint);
  } catch (error) {
    throw badInput(`buf answers in a form that is not known here: ${lines[0]}`, error);
  }
  throw badInput(`buf cannot compare them: ${complaint.split("\n")[0] ?? "it does not say why"}`);
}

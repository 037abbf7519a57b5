import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { RELEASES } from "../../tools/lock/contracts.ts";
import { root } from "../../tools/run-tool.ts";
import { commitOf } from "./commit.ts";
import { cachedFolder } from "./packages.ts";

/** A release, as test/contract/released keeps it. */
export interface Release {
  /** Such as 0.1.0; with a word before it for a commit that was no release and has no image. */
  readonly version: string;
  /** The whole id of the commit that it is built from. */
  readonly commit: string;
}

/** How many releases back callers and servers still meet. */
const KEPT = 2;

/** The newest releases, oldest first. */
export function newestReleases(): readonly Release[] {
  return (JSON.parse(readFileSync(RELEASES, "utf8")) as Release[]).slice(-KEPT);
}

/** Why the commit of a release cannot be had here, with what to do; empty where it can. */
export function releaseMissing({ version, commit }: Release): string {
  try {
    commitOf(commit, root);
    return "";
  } catch {
    return `the commit of ${version} is not in this clone: git fetch --unshallow`;
  }
}

/** A folder of a release's tree, as it was; kept in the cache. undefined when it had none. */
export function folderOf({ commit }: Release, folder: string): string | undefined {
  const git = (...args: readonly string[]) => execFileSync("git", args, { cwd: root, maxBuffer: 1 << 28 });
  if (git("ls-tree", "--name-only", commit, `${folder}/`).length === 0) return undefined;
  const kept = cachedFolder(`release-${commit.slice(0, 12)}-${path.basename(folder)}`, (scratch) => {
    const archive = path.join(scratch, ".archive.tar");
    git("archive", "--output", archive, commit, folder);
    execFileSync("tar", ["-xf", archive, "-C", scratch]);
    rmSync(archive);
  });
  return path.join(kept, folder);
}

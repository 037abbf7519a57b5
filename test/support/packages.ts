import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

/** Where what the long tests download is kept, outside of the checkout. */
export const CACHE_FOLDER = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), ".cache"), "stator");

/** Runs Python. Throws when it fails. */
export function python(...args: readonly string[]): void {
  execFileSync("python3", args, { stdio: "pipe", timeout: 900_000 });
}

/** Downloads one package of PyPI into an empty folder; returns its path. */
export function downloadPackage(requirement: string, to: string, ...options: readonly string[]): string {
  python("-m", "pip", "download", "--quiet", "--no-deps", ...options, "--dest", to, requirement);
  return path.join(to, readdirSync(to)[0]!);
}

/** Throws when a file is not the one that was pinned by its SHA-256. */
export function checkDigest(name: string, file: string, digest: string): void {
  const found = createHash("sha256").update(readFileSync(file)).digest("hex");
  if (found !== digest) throw new Error(`${name} has the digest ${found}, not ${digest}`);
}

/** Makes a folder of the cache once: what `make` puts into an empty one is kept only when all of it is there. */
export function cachedFolder(name: string, make: (folder: string) => void): string {
  const folder = path.join(CACHE_FOLDER, name);
  if (existsSync(folder)) return folder;
  mkdirSync(path.dirname(folder), { recursive: true });
  const scratch = mkdtempSync(path.join(path.dirname(folder), "new-"));
  try {
    make(scratch);
    renameSync(scratch, folder);
  } catch (error) {
    rmSync(scratch, { recursive: true, force: true });
    throw error;
  }
  return folder;
}

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import path from "node:path";

/** Where a commit is taken from, and below which folder it is put. */
export interface CheckoutPlace {
  /** Root of a checkout, which has the commit in its history. */
  readonly root: string;
  readonly cache: string;
}

/** A commit beside this checkout, ready to run. */
export interface Checkout {
  readonly root: string;
  /** The first 12 digits of its id. */
  readonly commit: string;
}

const BUILT = ["stamp", "stator.node", "libstator-llama.so"];

function run(command: string, args: readonly string[], cwd: string): string {
  return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28 });
}

/** The first 12 digits of a commit's id. Throws when this checkout does not have it. */
export function commitOf(name: string, root: string): string {
  try {
    return run("git", ["rev-parse", "--verify", "--end-of-options", `${name}^{commit}`], root).slice(0, 12);
  } catch {
    throw new Error(`There is no commit ${name} here.`);
  }
}

/** Files of the commit as they were, without a word in the repository about it. */
function unpack(commit: string, root: string, folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  const half = `${folder}.half`;
  rmSync(half, { recursive: true, force: true });
  mkdirSync(half, { recursive: true });
  const archive = path.join(half, ".archive.tar");
  run("git", ["archive", "--output", archive, commit], root);
  run("tar", ["-xf", archive, "-C", half], root);
  rmSync(archive);
  run("mv", [half, folder], root);
}

/** Name, version and digest of every package of a lock file; what else stands there changes nothing that is installed. */
function packagesOf(place: string): string {
  const lock = JSON.parse(readFileSync(path.join(place, "package-lock.json"), "utf8")) as Lock;
  const packages = Object.entries(lock.packages ?? {}).filter(([name]) => name !== "");
  return JSON.stringify(packages.map(([name, { version, integrity }]) => [name, version, integrity]).sort());
}

interface Lock {
  readonly packages?: Readonly<Record<string, { readonly version?: string; readonly integrity?: string }>>;
}

/** The same packages in the lock file: those of this checkout are used. Otherwise the commit gets its own. */
function installPackages(root: string, folder: string): void {
  const modules = path.join(folder, "node_modules");
  const isLink = lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  if (isLink) rmSync(modules);
  if (packagesOf(root) !== packagesOf(folder)) {
    if (!existsSync(modules)) run("npm", ["ci"], folder);
    return;
  }
  rmSync(modules, { recursive: true, force: true });
  symlinkSync(path.join(root, "node_modules"), modules);
}

/** What was built here counts where the sources are the same, which the build itself finds out. */
function buildNative(root: string, folder: string): void {
  const [from, to] = [root, folder].map((place) => path.join(place, "native/build")) as [string, string];
  if (!existsSync(path.join(to, "stamp"))) {
    mkdirSync(to, { recursive: true });
    const built = BUILT.filter((file) => existsSync(path.join(from, file)));
    for (const file of built) copyFileSync(path.join(from, file), path.join(to, file));
  }
  run(process.execPath, ["native/build.mjs", "--prepare"], folder);
}

/**
 * Puts a commit into a folder of the cache, once, installs and builds it there. Throws when there is no such commit, or when
 * its packages cannot be installed.
 */
export function openCommit(name: string, { root, cache }: CheckoutPlace): Checkout {
  const commit = commitOf(name, root);
  const folder = path.join(cache, "commits", commit);
  if (!existsSync(path.join(folder, "package.json"))) unpack(commit, root, folder);
  installPackages(root, folder);
  buildNative(root, folder);
  return { root: folder, commit };
}

import { createHash, randomUUID } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { StatorError } from "#lib/base/errors";
import type { MachineTool, ToolSet } from "#lib/stubs/recipe";
import { runTool } from "./run-tool.ts";

/** Where this program is: the checkout, or what was installed. */
export const PROGRAM_FOLDER = fileURLToPath(new URL("../../..", import.meta.url));

/** How tools are kept and made. */
export interface ToolCache {
  /** The folder of all tools; it may be deleted at any time. */
  readonly folder: string;
  /** Told what takes long, a line at a time. */
  progress(line: string): void;
  /** Ends what is under way. */
  readonly signal?: AbortSignal | undefined;
}

/** Where tools are kept: below XDG_CACHE_HOME, else ~/.cache. */
export function toolCacheFolder(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return path.join(env.XDG_CACHE_HOME || path.join(homedir(), ".cache"), "stator", "stubs");
}

/** Bounds on what makes tools. */
const STEP = { timeoutMs: 1_800_000, maxBytes: 16_777_216 } as const;
const PROBE = { timeoutMs: 60_000, maxBytes: 65_536 } as const;
/** A folder that somebody began to make so long ago was left by a crash. */
const LEFT_MS = 86_400_000;
/** Tools that nobody used for so long are of pins that are no more. */
const UNUSED_MS = 60 * 86_400_000;

/**
 * The folder of a set of tools: made when no run before did, and kept by its description, so that another pin is another
 * folder. A run that dies leaves nothing that a later one takes for whole. Throws TOOL_UNUSABLE.
 */
export async function openTools(name: string, set: ToolSet, arch: string, cache: ToolCache): Promise<string> {
  const beside = findBeside(set);
  if (beside !== undefined) return beside;
  const versions: string[] = [];
  for (const tool of set.machine.filter(({ runs }) => runs)) versions.push(await machineVersion(tool, cache));
  const folder = path.join(cache.folder, toolFolderName(name, set, arch, versions));
  if (existsSync(folder)) {
    markUsed(folder);
    return folder;
  }
  for (const tool of set.machine.filter(({ runs }) => !runs)) await machineVersion(tool, cache);
  cache.progress(`Making ${set.title} once; this takes ${set.takes}, and is kept in ${folder}`);
  await makeTools(set, folder, cache);
  return folder;
}

/** The name of the folder of a set of tools. `versions`: those of what runs them, such as 3.11. */
export function toolFolderName(name: string, set: ToolSet, arch: string, versions: readonly string[]): string {
  const { files, steps, digests } = set;
  const key = createHash("sha256").update(JSON.stringify({ files, steps, digests, arch, versions }));
  return `${name}-${key.digest("hex").slice(0, 16)}`;
}

/** A checkout has the plugin of npm among its development packages: nothing is fetched there. */
function findBeside({ beside }: ToolSet): string | undefined {
  if (beside === undefined) return undefined;
  const manifest = path.join(PROGRAM_FOLDER, "node_modules", beside.name, "package.json");
  if (!existsSync(manifest)) return undefined;
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version?: string };
  return version === beside.version ? PROGRAM_FOLDER : undefined;
}

/** Checks a program of the machine; returns the first two numbers of its version. */
async function machineVersion(tool: MachineTool, { signal }: ToolCache): Promise<string> {
  const { command, versionArgs, least, bring } = tool;
  const refuse = (detail: string): StatorError =>
    new StatorError("TOOL_UNUSABLE", { tool: command, detail, hint: bring });
  const line = { words: [command, ...versionArgs] };
  const { failure, isMissing, output } = await runTool(line, { places: {}, folder: homedir(), signal, ...PROBE });
  if (isMissing) throw refuse("is not on PATH");
  if (failure !== "") throw refuse(failure);
  const [version = "", major = "", minor = "0"] =
    /(\d+)(?:\.(\d+))?/.exec(stripVTControlCharacters(output.toString())) ?? [];
  const [leastMajor = 0, leastMinor = 0] = least.split(".").map(Number);
  if (version === "") throw refuse("does not tell its version");
  const isOlder = Number(major) < leastMajor || (Number(major) === leastMajor && Number(minor) < leastMinor);
  if (isOlder) throw refuse(`is version ${version}, older than ${least}`);
  return `${major}.${minor}`;
}

async function makeTools(set: ToolSet, folder: string, cache: ToolCache): Promise<void> {
  mkdirSync(cache.folder, { recursive: true });
  sweep(cache.folder);
  const scratch = path.join(cache.folder, `new-${randomUUID()}`);
  mkdirSync(scratch);
  try {
    for (const [name, text] of Object.entries(set.files)) writeFileSync(path.join(scratch, name), text);
    for (const step of set.steps) {
      const places = { tools: scratch };
      const run = { places, folder: scratch, signal: cache.signal, ...STEP, onLine: cache.progress };
      const { failure } = await runTool(step, run);
      if (failure === "") continue;
      const hint = "See the lines above; packages come from the registry that this machine is set up for.";
      throw new StatorError("TOOL_UNUSABLE", { tool: step.words[0], detail: `${failure}, making ${set.title}`, hint });
    }
    for (const [name, digest] of Object.entries(set.digests)) checkDigest(path.join(scratch, name), digest);
    for (const name of set.executables) chmodSync(path.join(scratch, name), 0o755);
    moveOrKeep(scratch, folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Another run may have been faster: then its folder stays. */
function moveOrKeep(scratch: string, folder: string): void {
  try {
    renameSync(scratch, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
}

function checkDigest(file: string, digest: string): void {
  const name = path.basename(file);
  const hint = "Nothing of it was kept; ask whoever runs the registry that this machine is set up for.";
  const refuse = (detail: string): StatorError => new StatorError("TOOL_UNUSABLE", { tool: name, detail, hint });
  if (!existsSync(file)) throw refuse("was not downloaded");
  const found = createHash("sha256").update(readFileSync(file)).digest("hex");
  if (found !== digest) throw refuse(`has the digest ${found}, not ${digest}`);
}

/** A cache that this user may read and not write is used as it is. */
function markUsed(folder: string): void {
  try {
    utimesSync(folder, new Date(), new Date());
  } catch {}
}

/** Removes what a crash left, and tools that nobody uses. */
function sweep(folder: string): void {
  for (const name of readdirSync(folder)) {
    const keptMs = name.startsWith("new-") ? LEFT_MS : /^[a-z]+-[\da-f]{16}$/.test(name) ? UNUSED_MS : Infinity;
    const left = path.join(folder, name);
    const { mtimeMs } = statSync(left, { throwIfNoEntry: false }) ?? {};
    if (mtimeMs !== undefined && mtimeMs < Date.now() - keptMs) rmSync(left, { recursive: true, force: true });
  }
}

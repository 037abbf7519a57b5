// Builds native/build/stator.node and native/build/libstator-llama.so. Plain JavaScript for any Node from 20, no network.
//   node native/build.mjs             builds what is stale; exit 1 and one sentence when it cannot
//   node native/build.mjs --prepare   the same from `npm ci`; always exit 0
//   node native/build.mjs --force     builds anew
//   node native/build.mjs --direct    compiler calls only, without cmake
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const buildDir = join(here, "build");
const stampPath = join(buildDir, "stamp");
const addonPath = join(buildDir, "stator.node");
const enginePath = join(buildDir, "libstator-llama.so");
const require = createRequire(import.meta.url);
const options = new Set(process.argv.slice(2));

/** A failure that the user can do something about. */
class Unbuildable extends Error {}

function say(text) {
  process.stderr.write(`native: ${text}\n`);
}

function packageDir(name) {
  try {
    return dirname(require.resolve(`${name}/package.json`));
  } catch {
    throw new Unbuildable(`The package ${name} is not installed. Run: npm ci`);
  }
}

/** The folder of the prebuilt libllama for this machine, or undefined. */
function llamaDir() {
  const name = `linux-${process.arch}`;
  try {
    const found = join(dirname(require.resolve(`@node-llama-cpp/${name}`)), "..", "bins", name);
    return existsSync(join(found, "libllama.v0.5.0.so")) ? found : undefined;
  } catch {
    return undefined;
  }
}

function sourcesIn(folder) {
  return readdirSync(join(here, folder), { withFileTypes: true })
    .flatMap((each) => (each.isDirectory() ? sourcesIn(join(folder, each.name)) : [join(folder, each.name)]))
    .sort();
}

const folders = ["core", "text", "engine", "transfer", "binding", "llama", "include"];

/** Changes with every source, package version and machine that the result depends on. */
function stampOf(libDir) {
  const hash = createHash("sha256");
  const files = [...folders.flatMap(sourcesIn), "CMakeLists.txt", "build.mjs"];
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(join(here, file)));
  for (const name of ["node-addon-api", "node-api-headers"]) {
    hash.update(readFileSync(join(packageDir(name), "package.json")));
  }
  return hash.update(`${process.platform} ${process.arch} ${libDir ? "llama" : "no llama"}`).digest("hex");
}

function isFresh(stamp, libDir) {
  const built = existsSync(addonPath) && (libDir === undefined || existsSync(enginePath));
  return built && existsSync(stampPath) && readFileSync(stampPath, "utf8") === stamp;
}

function run(command, args) {
  try {
    execFileSync(command, args, { cwd: here, stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
  } catch (error) {
    if (error.code === "ENOENT") throw new Unbuildable(`${command} is not installed.`);
    const output = `${error.stdout ?? ""}\n${error.stderr ?? ""}`.split("\n");
    const told = output.filter((line) => /error|Error|fatal/.test(line)).slice(0, 8);
    throw new Unbuildable(`${command} failed:\n${(told.length > 0 ? told : output.slice(-8)).join("\n")}`);
  }
}

function has(command) {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function nodeIncludes() {
  return [packageDir("node-addon-api"), join(packageDir("node-api-headers"), "include")];
}

/** cmake-js takes its headers from node-api-headers because native/package.json declares napi_versions; no download. */
function buildWithCmakeJs(libDir) {
  const out = join(buildDir, "cmake");
  const args = [join(packageDir("cmake-js"), "bin", "cmake-js"), "compile", "-d", here, "-O", out];
  args.push("--parallel", String(availableParallelism()), "--silent");
  args.push(`--CDSTATOR_NODE_INCLUDES=${nodeIncludes().join(";")}`);
  if (libDir !== undefined) args.push(`--CDSTATOR_LLAMA_DIR=${libDir}`);
  run(process.execPath, args);
  take(findBuilt(out, "stator.node"), addonPath);
  if (libDir !== undefined) take(findBuilt(out, "libstator-llama.so"), enginePath);
}

function findBuilt(out, name) {
  const found = [join(out, "Release", name), join(out, name)].find(existsSync);
  if (found === undefined) throw new Unbuildable(`cmake-js left no ${name}.`);
  return found;
}

/** One call of the compiler per library. */
function buildDirectly(libDir) {
  const compiler = ["g++", "c++", "clang++"].find(has);
  if (compiler === undefined) throw new Unbuildable("There is no C++ compiler.");
  const flags = ["-std=c++20", "-O3", "-DNDEBUG", "-fPIC", "-shared", "-fvisibility=hidden", "-I", here];
  flags.push("-I", join(here, "include"));
  const sources = ["core", "text", "engine", "transfer", "binding"]
    .flatMap(sourcesIn)
    .filter((file) => file.endsWith(".cpp"));
  const defines = ["-DNAPI_VERSION=9", "-DNAPI_CPP_EXCEPTIONS", "-DNODE_ADDON_API_DISABLE_DEPRECATED"];
  const includes = nodeIncludes().flatMap((each) => ["-isystem", each]);
  run(compiler, [...flags, ...defines, ...includes, ...sources, "-o", `${addonPath}.new`, "-ldl", "-pthread"]);
  take(`${addonPath}.new`, addonPath);
  if (libDir === undefined) return;
  const libraries = ["libllama.v0.5.0.so", "libggml.v0.5.0.so", "libggml-base.so"].map((name) => join(libDir, name));
  const engine = sourcesIn("llama").filter((file) => file.endsWith(".cpp"));
  run(compiler, [...flags, ...engine, "-o", `${enginePath}.new`, ...libraries]);
  take(`${enginePath}.new`, enginePath);
}

/** A rename, so that a process that has the old file open keeps it. */
function take(from, to) {
  renameSync(from, to);
}

/** Whether a process still runs. */
function lives(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** One build at a time in a tree: waits for another one, for at most five minutes. */
function withLock(work) {
  const lock = join(buildDir, "lock");
  mkdirSync(buildDir, { recursive: true });
  for (let waited = 0; ; waited++) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const owner = Number(existsSync(lock) ? readFileSync(lock, "utf8") : 0);
    if (waited > 300 || (owner > 0 && !lives(owner))) rmSync(lock, { force: true });
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function build(libDir) {
  rmSync(stampPath, { force: true });
  if (!options.has("--direct") && has("cmake")) {
    try {
      buildWithCmakeJs(libDir);
      return "cmake-js";
    } catch (error) {
      if (!(error instanceof Unbuildable)) throw error;
      say(`cmake-js did not work, trying the compiler alone. ${error.message}`);
    }
  }
  buildDirectly(libDir);
  return "the compiler";
}

function main() {
  if (process.platform !== "linux") throw new Unbuildable("The native layer is built on Linux only.");
  const libDir = llamaDir();
  const stamp = stampOf(libDir);
  if (!options.has("--force") && isFresh(stamp, libDir)) return;
  withLock(() => {
    // Whoever held the lock may have built the same.
    if (!options.has("--force") && isFresh(stamp, libDir)) return;
    const since = Date.now();
    say("building (about half a minute) ...");
    const how = build(libDir);
    writeFileSync(stampPath, stamp);
    const seconds = Math.round((Date.now() - since) / 1000);
    say(`built ${relative(process.cwd(), buildDir) || "."} with ${how} in ${seconds} s`);
  });
  if (libDir === undefined) say(`no prebuilt llama.cpp for linux-${process.arch}: the engine "llama" is unavailable`);
}

try {
  main();
} catch (error) {
  say(error instanceof Unbuildable ? error.message : `unexpected failure: ${error.message}`);
  say('The engine "llama" is unavailable, everything else runs. With a compiler (Debian: apt-get install g++ cmake)');
  say("run: npm run build:native");
  process.exitCode = options.has("--prepare") ? 0 : 1;
}

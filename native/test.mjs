// Builds and runs the native layer's own tests, without Node-API and without llama.cpp: a fake stands behind the table.
//   node native/test.mjs                  under AddressSanitizer and UndefinedBehaviorSanitizer
//   node native/test.mjs --thread         under ThreadSanitizer
//   node native/test.mjs --headers DIR    also compares our declarations with the headers in a llama.cpp source tree
// The last line is `N passed, N failed`. Without a compiler nothing runs and the exit code is 0, or 1 when CI is set.
// Objects are kept by their content in `stator/native-tests` below XDG_CACHE_HOME, else ~/.cache: a checkout of its own
// compiles what no other one did. The folder may be deleted at any time.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const optionOf = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
const sanitizer = args.includes("--thread") ? "thread" : "address,undefined";
const buildDir = join(here, "build", `test-${sanitizer.split(",")[0]}`);
const objectDir = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "stator", "native-tests");
const headers = optionOf("--headers") ?? process.env.STATOR_LLAMA_HEADERS;
const compiler = ["g++", "clang++"].find((each) => spawnSync(each, ["--version"]).status === 0);
// Under sanitizers -O1 takes twice as long to compile as -Og and saves less when the tests run.
const flags = [
  "-std=c++20",
  "-Og",
  "-g1",
  "-Wall",
  "-Wextra",
  "-Wno-missing-field-initializers",
  "-fno-omit-frame-pointer",
];
flags.push(`-fsanitize=${sanitizer}`, "-fno-sanitize-recover=all", "-I", ".", "-I", "include");
/** Objects that no run has used for so long are deleted. */
const KEPT_DAYS = 14;

/** Files below a folder whose names end so, as paths from here. */
const list = (folder, end) =>
  readdirSync(join(here, folder), { recursive: true })
    .filter((each) => each.endsWith(end))
    .map((each) => join(folder, each))
    .sort();

/** Adds a source and all of ours that it includes to `found`, by their paths from here. */
function addIncluded(source, found = new Map()) {
  if (found.has(source)) return found;
  const text = readFileSync(join(here, source), "utf8");
  found.set(source, text);
  for (const [, name] of text.matchAll(/^\s*#\s*include\s+"(.+)"/gm)) {
    const places = [dirname(source), ".", "include"].map((folder) => join(folder, name));
    const place = places.find((each) => existsSync(join(here, each)));
    if (place !== undefined) addIncluded(place, found);
  }
  return found;
}

/** A look-alike library is opened at run time, so its code may lie anywhere. */
const flagsOf = (source) => (source.startsWith("sim") ? [...flags, "-fPIC"] : flags);

/** Where the object of a source lies: its name changes with all that it is made of. */
function objectOf(source, tool) {
  const hash = createHash("sha256").update(`${tool}\0${flagsOf(source).join(" ")}`);
  for (const [name, text] of addIncluded(source)) hash.update(`\0${name}\0${text}`);
  return join(objectDir, `${basename(source, ".cpp")}-${hash.digest("hex").slice(0, 32)}.o`);
}

/** Compiles what was never compiled, a few files at a time. */
async function objectsOf(sources) {
  mkdirSync(objectDir, { recursive: true });
  const tool = spawnSync(compiler, ["-v"], { encoding: "utf8" }).stderr;
  const pairs = sources.map((source) => [source, objectOf(source, tool)]);
  const missing = pairs.filter(([, object]) => !existsSync(object));
  const work = async () => {
    for (let next = missing.shift(); next !== undefined; next = missing.shift()) {
      const [source, object] = next;
      const half = `${object}.${process.pid}`;
      // No path of this checkout is left in an object that another one may use.
      const options = [...flagsOf(source), `-ffile-prefix-map=${here}=native`, "-c", source, "-o", half];
      const child = spawn(compiler, options, { cwd: here, stdio: ["ignore", "inherit", "inherit"] });
      const status = await new Promise((resolve) => child.on("close", resolve));
      if (status !== 0) throw new Error(`${basename(source)} does not compile.`);
      renameSync(half, object);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  const objects = pairs.map(([, object]) => object);
  forgetOld(new Set(objects));
  return objects;
}

function forgetOld(used) {
  const now = Date.now() / 1000;
  for (const object of used) utimesSync(object, now, now);
  for (const name of readdirSync(objectDir)) {
    const object = join(objectDir, name);
    const { mtimeMs } = statSync(object, { throwIfNoEntry: false }) ?? {};
    if (mtimeMs / 1000 < now - KEPT_DAYS * 86_400) rmSync(object, { force: true });
  }
}

/** Runs the tests in several processes, each its share of them; resolves to the exit code. */
async function runParts(program, env) {
  const parts = Math.min(availableParallelism(), 8);
  const run = async (part) => {
    const child = spawn(program, [String(part), String(parts)], { stdio: ["ignore", "pipe", "inherit"], env });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    const status = await new Promise((resolve) => child.on("close", resolve));
    const [, told, passed, failed] = /^([\s\S]*?)(\d+) passed, (\d+) failed\n$/.exec(output) ?? [];
    // A part that did not come to its end failed, however many of its tests passed.
    process.stdout.write(told ?? output);
    return { status, passed: Number(passed ?? 0), failed: Number(failed ?? 1) };
  };
  const ran = await Promise.all(Array.from({ length: parts }, (_, part) => run(part)));
  const sum = (key) => ran.reduce((total, each) => total + each[key], 0);
  process.stdout.write(`${sum("passed")} passed, ${sum("failed")} failed\n`);
  return ran.every(({ status, failed }) => status === 0 && failed === 0) ? 0 : 1;
}

function checkHeaders() {
  if (headers === undefined) {
    process.stdout.write("skipped: comparison with llama.cpp's headers (give --headers DIR, a source tree of it)\n");
    return 0;
  }
  const includes = ["include", "ggml/include"].flatMap((each) => ["-I", join(headers, each)]);
  const program = join(buildDir, "abi_check");
  const source = join(here, "test", "abi_check.cpp");
  const built = spawnSync(compiler, ["-std=c++20", "-I", join(here, "include"), ...includes, source, "-o", program], {
    stdio: "inherit",
  });
  process.stdout.write(
    built.status === 0 ? "our declarations equal the headers\n" : "our declarations differ from the headers\n",
  );
  return built.status;
}

async function main() {
  if (compiler === undefined) {
    process.stdout.write("skipped: there is no C++ compiler (Debian: apt-get install g++)\n");
    return process.env.CI ? 1 : 0;
  }
  mkdirSync(buildDir, { recursive: true });
  if (checkHeaders() !== 0) return 1;
  const tests = list("test", ".cpp").filter((each) => basename(each) !== "abi_check.cpp");
  const folders = ["core", "text", "engine", "transfer"];
  const sources = [...folders.flatMap((each) => list(each, ".cpp")), ...tests];
  const [nixl, cuda, ...objects] = await objectsOf(["sim/nixl_sim.cpp", "sim/cuda_sim.cpp", ...sources]);
  const libraries = { nixl: join(buildDir, "libnixl_capi.so"), cuda: join(buildDir, "libcuda.so.1") };
  for (const [object, library] of [
    [nixl, libraries.nixl],
    [cuda, libraries.cuda],
  ]) {
    const shared = spawnSync(compiler, [...flags, "-shared", object, "-o", library, "-pthread"], { stdio: "inherit" });
    if (shared.status !== 0) return 1;
  }
  const program = join(buildDir, "tests");
  const options = [...flags, ...objects, "-o", program, "-ldl", "-pthread"];
  const linked = spawnSync(compiler, options, { cwd: here, stdio: "inherit" });
  if (linked.status !== 0) return 1;
  const env = {
    ...process.env,
    STATOR_NIXL_SIM: libraries.nixl,
    STATOR_CUDA_SIM: libraries.cuda,
    ASAN_OPTIONS: "detect_leaks=1:strict_string_checks=1",
    TSAN_OPTIONS: "halt_on_error=1",
  };
  return await runParts(program, env);
}

process.exitCode = await main();

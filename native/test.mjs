// Builds and runs the native layer's own tests, without Node-API and without llama.cpp: a fake stands behind the table.
//   node native/test.mjs                  under AddressSanitizer and UndefinedBehaviorSanitizer
//   node native/test.mjs --thread         under ThreadSanitizer
//   node native/test.mjs --headers DIR    also compares our declarations with the headers in a llama.cpp source tree
// The last line is `N passed, N failed`. Without a compiler nothing runs and the exit code is 0, or 1 when CI is set.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const optionOf = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
const sanitizer = args.includes("--thread") ? "thread" : "address,undefined";
const buildDir = join(here, "build", `test-${sanitizer.split(",")[0]}`);
const headers = optionOf("--headers") ?? process.env.STATOR_LLAMA_HEADERS;
const compiler = ["g++", "clang++"].find((each) => spawnSync(each, ["--version"]).status === 0);
const flags = [
  "-std=c++20",
  "-O1",
  "-g1",
  "-Wall",
  "-Wextra",
  "-Wno-missing-field-initializers",
  "-fno-omit-frame-pointer",
];
flags.push(`-fsanitize=${sanitizer}`, "-fno-sanitize-recover=all", "-I", here, "-I", join(here, "include"));

const list = (folder, end) =>
  readdirSync(join(here, folder))
    .filter((each) => each.endsWith(end))
    .map((each) => join(here, folder, each));
const timeOf = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

/** Compiles what is older than its source or any header, a few files at a time. */
async function objectsOf(sources) {
  const newest = Math.max(
    ...["core", "text", "engine", "test", "include/stator"].flatMap((each) => list(each, ".h")).map(timeOf),
  );
  const pairs = sources.map((source) => [source, join(buildDir, `${basename(source)}.o`)]);
  const stale = pairs.filter(([source, object]) => timeOf(object) < Math.max(timeOf(source), newest));
  const work = async () => {
    for (let next = stale.shift(); next !== undefined; next = stale.shift()) {
      const [source, object] = next;
      const child = spawn(compiler, [...flags, "-c", source, "-o", object], {
        stdio: ["ignore", "inherit", "inherit"],
      });
      const status = await new Promise((resolve) => child.on("close", resolve));
      if (status !== 0) throw new Error(`${basename(source)} does not compile.`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return pairs.map(([, object]) => object);
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
  const objects = await objectsOf([...["core", "text", "engine"].flatMap((each) => list(each, ".cpp")), ...tests]);
  const program = join(buildDir, "tests");
  const linked = spawnSync(compiler, [...flags, ...objects, "-o", program, "-ldl", "-pthread"], { stdio: "inherit" });
  if (linked.status !== 0) return 1;
  const env = {
    ...process.env,
    ASAN_OPTIONS: "detect_leaks=1:strict_string_checks=1",
    TSAN_OPTIONS: "halt_on_error=1",
  };
  return spawnSync(program, { stdio: "inherit", env }).status ?? 1;
}

process.exitCode = await main();

// npm run build: dist/, the whole program as JavaScript with its declarations, laid out as the checkout is, so that every
// relative path in it stays true. Types are checked by `npm run check`, not here.
import { cpSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root, runTool } from "../run-tool.ts";

const dist = path.join(root, "dist");

/** Projects that `stator new` writes: all of each. */
const TEMPLATES = "services/cli/new/templates";

/** What the program reads or starts besides its own code. */
const COPIED = [
  "bin",
  "models",
  "native",
  "docs",
  "gen/docs",
  "services/frontend/page/index.html",
  "services/cli/replay/page.html",
  TEMPLATES,
];

const NOT_COPIED = /(^|\/)(build|test|fuzz|recipe)(\/|$)/;

/** A file named by its address, which the compiler leaves as it is. */
const REFERENCE = /(new URL\(\s*["'][^"']+)\.ts(["'],\s*import\.meta\.url)/g;

rmSync(dist, { recursive: true, force: true });
const compiled = runTool("tsc", ["-p", "tools/build/tsconfig.build.json"]);
if (compiled.ok) {
  for (const file of globSync("**/*.js", { cwd: dist })) renameReferences(path.join(dist, file));
  for (const name of COPIED.filter((each) => existsSync(path.join(root, each)))) copyAsIs(name);
  writeManifest();
  writeContracts();
  process.stdout.write(`dist/: ${globSync("**/*.js", { cwd: dist }).length} files of JavaScript\n`);
} else {
  process.exitCode = 1;
}

function renameReferences(file: string): void {
  const text = readFileSync(file, "utf8");
  const renamed = text.replaceAll(REFERENCE, "$1.js$2");
  if (renamed !== text) writeFileSync(file, renamed);
}

function copyAsIs(name: string): void {
  const from = path.join(root, name);
  const wanted = (source: string) => name === TEMPLATES || !NOT_COPIED.test(path.relative(from, source));
  cpSync(from, path.join(dist, name), { recursive: true, filter: wanted });
}

/** dist/ has a package.json of its own: the same map of imports, to JavaScript. */
function writeManifest(): void {
  const { version, imports } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as Manifest;
  const mapped = Object.fromEntries(
    Object.entries(imports).map(([name, target]) => [name, target.replace(/\.ts$/, ".js")]),
  );
  const manifest = { name: "stator", version, private: true, type: "module", imports: mapped };
  writeFileSync(path.join(dist, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Installs have no compiler of contracts: what `stator stubs` generates from lies ready. */
function writeContracts(): void {
  const image = path.join(dist, "gen/contracts.binpb");
  const { ok } = runTool("buf", ["build", "--as-file-descriptor-set", "--output", image]);
  if (!ok) process.exitCode = 1;
}

interface Manifest {
  readonly version: string;
  readonly imports: Readonly<Record<string, string>>;
}

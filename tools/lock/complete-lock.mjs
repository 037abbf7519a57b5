// npm run lock: makes package-lock.json whole and free of addresses and engines. A registry that offers only the packages
// of some platforms makes npm leave the others out of the lock, and `npm ci` then refuses the lock on every machine. What
// packages say of Node is about the Node that runs them: here that is the one the install brings, while npm compares it
// with the one that installs and writes 60 lines of warnings under Node 20.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const SYSTEMS = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const PROCESSORS = {
  x64: "x64",
  arm64: "arm64",
  aarch64: "arm64",
  arm: "arm",
  armv7: "arm",
  ia32: "ia32",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
  loong64: "loong64",
  mips64el: "mips64el",
  wasm32: "wasm32",
};

/**
 * What a platform package's name says about where it can be installed, in package.json's words. A part of the name
 * counts only as a whole word between dashes: "openharmony" is not "arm".
 *
 * @param {string} name such as @biomejs/cli-linux-arm64-musl
 * @returns {{ os?: string[], cpu?: string[], libc?: string[] }}
 */
export function parsePlatform(name) {
  const words = name.split(/[-/]/);
  const os = words.find((word) => SYSTEMS.includes(word));
  const cpu = words.map((word) => PROCESSORS[word]).find((word) => word !== undefined);
  const libc = words.some((word) => word.startsWith("musl")) ? "musl" : words.includes("gnu") ? "glibc" : undefined;
  return { ...(cpu && { cpu: [cpu] }), ...(os && { os: [os] }), ...(libc && { libc: [libc] }) };
}

/**
 * The same lock with an entry for every optional dependency of every package, without download addresses and, but for
 * our own package, without engines.
 * `added` counts the new entries. Throws when a missing package's name does not tell its platform.
 *
 * @param {{ packages: Record<string, any> }} lock parsed package-lock.json; not changed
 */
export function completeLock(lock) {
  const packages = Object.fromEntries(
    Object.entries(lock.packages).map(([key, entry]) => [key, key === "" ? entry : bare(entry)]),
  );
  let added = 0;
  for (const [parent, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (isLocked(packages, parent, name)) continue;
      packages[`node_modules/${name}`] = missingEntry(name, version, entry);
      added += 1;
    }
  }
  const sorted = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  return { lock: { ...lock, packages: sorted }, added };
}

function bare(entry) {
  const { resolved: _address, engines: _engines, ...rest } = entry;
  return rest;
}

/** Whether `name`, asked for by the package at `parent`, has an entry: beside it or in any folder above. */
function isLocked(packages, parent, name) {
  for (let folder = parent; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    if (packages[`${folder === "" ? "" : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (folder === "") return false;
  }
}

function missingEntry(name, version, parent) {
  const platform = parsePlatform(name);
  if (platform.os === undefined && platform.cpu === undefined) {
    throw new Error(`${name}: its name does not tell for which platform it is; add it to package-lock.json by hand`);
  }
  const { cpu, os, libc } = platform;
  return {
    version,
    ...(cpu && { cpu }),
    ...(parent.dev && { dev: true }),
    ...(parent.license && { license: parent.license }),
    optional: true,
    ...(os && { os }),
    ...(libc && { libc }),
  };
}

/** What npm repeats of package.json in the lock's own entry, in npm's order. */
const REPEATED = [
  "name",
  "version",
  "license",
  "dependencies",
  "bin",
  "devDependencies",
  "engines",
  "optionalDependencies",
];

function repeatManifest(lock, manifest) {
  const own = Object.fromEntries(REPEATED.filter((key) => manifest[key]).map((key) => [key, manifest[key]]));
  return { ...lock, packages: { ...lock.packages, "": own } };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), "../..");
  const file = path.join(folder, "package-lock.json");
  const read = (name) => JSON.parse(readFileSync(path.join(folder, name), "utf8"));
  const { lock, added } = completeLock(repeatManifest(read("package-lock.json"), read("package.json")));
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  process.stdout.write(`package-lock.json: ${added} packages of other platforms added\n`);
}

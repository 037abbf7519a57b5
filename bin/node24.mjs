// Plain JavaScript on purpose: it runs under whatever Node is installed and finds the one that Stator needs.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(import.meta.url);

/** The Node executable, version 24 or newer, that runs Stator: this process's own, else the one the install brought. */
export function findNode24() {
  if (Number(process.versions.node.split(".")[0]) >= 24) return process.execPath;
  try {
    const root = path.dirname(require.resolve(`node-linux-${process.arch}/package.json`));
    const executable = path.join(root, "bin", "node");
    return existsSync(executable) ? executable : undefined;
  } catch {
    return undefined;
  }
}

/** One sentence for people whose machine has neither. */
export const NODE24_MISSING =
  `Stator needs Node 24 and this is ${process.version} on ${process.platform}-${process.arch}. ` +
  "Run `npm ci` (on linux x64 and arm64 it brings Node 24 along), or install Node 24 from your system.";

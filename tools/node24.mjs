// node tools/node24.mjs SCRIPT [ARGS]: runs a TypeScript script of this repository, whatever Node is installed.
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ensureNode24 } from "../bin/relaunch.mjs";

if (ensureNode24(fileURLToPath(import.meta.url), process.argv.slice(2))) {
  const [, , script = "", ...args] = process.argv;
  process.argv = [process.execPath, path.resolve(script), ...args];
  await import(pathToFileURL(path.resolve(script)).href);
}

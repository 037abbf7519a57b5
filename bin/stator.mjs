#!/usr/bin/env node
// Plain JavaScript on purpose: it runs under whatever Node is installed and continues under Node 24.
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { applySettings, settingsOf } from "./process-settings.mjs";
import { ensureNode24 } from "./relaunch.mjs";

const script = fileURLToPath(import.meta.url);
const root = path.dirname(path.dirname(script));

/** The cli: TypeScript in a checkout, JavaScript in a package and in dist/, undefined when there is none. */
function findMain() {
  const candidates = ["services/cli/main.ts", "dist/services/cli/main.js", "services/cli/main.js"];
  return candidates.map((name) => path.join(root, name)).find((file) => existsSync(file));
}

/** Compiled code is kept between starts; the environment's own choice of a folder wins. */
async function keepCompiledCode() {
  const { enableCompileCache } = await import("node:module");
  const inCheckout = existsSync(path.join(root, "services/cli/main.ts"));
  enableCompileCache(process.env.NODE_COMPILE_CACHE ?? (inCheckout ? path.join(root, ".cache/compile") : undefined));
}

const args = process.argv.slice(2);
if (ensureNode24(script, args, settingsOf(args[0]))) {
  applySettings(script, args);
  await keepCompiledCode();
  const main = findMain();
  if (main === undefined) {
    process.stderr.write("stator: This install is not complete: services/cli is missing. Install the package again.\n");
    process.exitCode = 1;
  } else {
    const { main: run } = await import(pathToFileURL(main).href);
    const code = await run?.(args);
    if (typeof code === "number") process.exitCode = code;
  }
}

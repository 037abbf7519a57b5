// npm's `prepare`: builds the addon when there is something to build it with. It never fails the install; `npm start`
// looks again and says what is missing.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const build = path.join(path.dirname(fileURLToPath(import.meta.url)), "../../native/build.mjs");
if (existsSync(build)) {
  const { status } = spawnSync(process.execPath, [build, "--prepare"], { stdio: "inherit" });
  if (status !== 0) process.stderr.write("The native addon was not built; everything but the llama engine works.\n");
}

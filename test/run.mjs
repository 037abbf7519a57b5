// What `npm test` runs: every check and every test, in the order in which a mistake is found fastest.
//   node test/run.mjs [all | check | fix | NAME…] [--long]
// `check` is everything but builds and tests; a NAME is one of the steps that `node test/run.mjs --list` prints.
// CI=true turns a missing dependency into a failure. TEST_SCALE multiplies the volume of random tests; --long sets it.
import { fileURLToPath } from "node:url";
import { ensureNode24 } from "../bin/relaunch.mjs";

const args = process.argv.slice(2);
if (ensureNode24(fileURLToPath(import.meta.url), args)) {
  const { runSteps } = await import("./steps.ts");
  process.exitCode = await runSteps(args);
}

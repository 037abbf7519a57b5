// Starts the Stator that the golden corpus is run against. `npm run corpus [-- PART_OF_A_NAME]` runs it with the runner in
// TypeScript; `npm run corpus -- --serve` prints the file of targets for other runners and ends with Ctrl+C.
import { startCorpusCluster } from "../support/corpus-cluster.ts";
import { CORPUS, runCorpus, TYPESCRIPT_RUNNER } from "../support/corpus-runner.ts";

const [part = ""] = process.argv.slice(2);
const cluster = await startCorpusCluster();
if (part === "--serve") {
  process.stdout.write(`${CORPUS} ${cluster.targetsFile}\n`);
  const alive = setInterval(() => {}, 60_000);
  await new Promise((resolve) => process.once("SIGINT", resolve).once("SIGTERM", resolve));
  clearInterval(alive);
} else {
  const { code, output } = await runCorpus(TYPESCRIPT_RUNNER, [CORPUS, cluster.targetsFile, part]);
  process.stdout.write(output);
  process.exitCode = code ?? 1;
}
await cluster.close();

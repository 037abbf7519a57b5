// Starts the Stator that the golden corpus is run against. `npm run corpus [-- [--lang LANGUAGE] [PART_OF_A_NAME]]` runs it with
// the runner in that language, TypeScript when none is given; `npm run corpus -- --serve` prints the file of targets for
// other runners and ends with Ctrl+C.
import { parseArgs } from "node:util";
import { LANGUAGES, type Language } from "#lib/stubs/recipe";
import { startCorpusCluster } from "../support/corpus-cluster.ts";
import { CORPUS, runCorpus } from "../support/corpus-runner.ts";
import { CORPUS_RUNNERS } from "../support/corpus-runners.ts";
import { openRunner } from "../support/open-runner.ts";

const { values, positionals } = parseArgs({
  options: { lang: { type: "string", default: "typescript" }, serve: { type: "boolean", default: false } },
  allowPositionals: true,
});
const language = LANGUAGES.find((each): each is Language => each === values.lang && each in CORPUS_RUNNERS);
if (language === undefined) {
  process.stderr.write(`--lang ${values.lang}: there are runners in ${Object.keys(CORPUS_RUNNERS).join(", ")}.\n`);
  process.exit(2);
}
// Built first: a runner that cannot be made starts nothing.
const runner = values.serve ? undefined : await openRunner(language);
const cluster = await startCorpusCluster();
if (runner === undefined) {
  process.stdout.write(`${CORPUS} ${cluster.targetsFile}\n`);
  const alive = setInterval(() => {}, 60_000);
  await new Promise((resolve) => process.once("SIGINT", resolve).once("SIGTERM", resolve));
  clearInterval(alive);
} else {
  const { code, output } = await runCorpus(runner, [CORPUS, cluster.targetsFile, positionals[0] ?? ""]);
  process.stdout.write(output);
  process.exitCode = code ?? 1;
}
await cluster.close();

import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../../tools/run-tool.ts";
import { openCommit } from "../support/commit.ts";
import { type CorpusTrees, startCorpusCluster } from "../support/corpus-cluster.ts";
import { CORPUS, runCorpus } from "../support/corpus-runner.ts";
import { openRunner } from "../support/open-runner.ts";
import { CACHE_FOLDER } from "../support/packages.ts";
import { folderOf, newestReleases, releaseMissing } from "../support/releases.ts";
import { IS_LONG } from "../support/seeds.ts";

/** Names of all cases of a corpus. */
function namesOf(corpus: string): string[] {
  const read = (file: string) => JSON.parse(readFileSync(path.join(corpus, file), "utf8"));
  const { files } = read("corpus.json") as { files: readonly string[] };
  return files.flatMap((file) => (read(file) as { cases: readonly { name: string }[] }).cases.map(({ name }) => name));
}

describe.each(newestReleases())("beside $version", (release) => {
  const missing = releaseMissing(release);
  const skipped = missing === "" && !IS_LONG ? "it is built in test:long" : missing;
  const told = skipped === "" ? "" : ` (skipped: ${skipped})`;
  /** Which processes are of the release, when it is built in this folder. */
  const mixtures: readonly (readonly [string, (built: string) => CorpusTrees])[] = [
    ["its servers answer programs of today", (built) => ({ front: built, workers: built })],
    ["its workers serve a frontend of today", (built) => ({ workers: built })],
    ["its frontend finds workers of today", (built) => ({ front: built })],
  ];

  it.skipIf(skipped !== "").each(mixtures)(`%s${told}`, { timeout: 1_800_000 }, async (_, treesOf) => {
    const { root: built } = openCommit(release.commit, { root, cache: CACHE_FOLDER });
    const released = folderOf(release, "test/contract/corpus");
    const cluster = await startCorpusCluster(treesOf(built));
    try {
      const { failed, passed } = await runCorpus(await openRunner("typescript"), [CORPUS, cluster.targetsFile]);
      // What is promised since then is nobody's promise there.
      const promised = new Set(namesOf(released ?? CORPUS));
      expect(failed.filter(({ name }) => promised.has(name))).toEqual([]);
      expect(passed).toBeGreaterThan(0);
    } finally {
      await cluster.close();
    }
  });
});

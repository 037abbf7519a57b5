import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LANGUAGES, type Language } from "#lib/stubs/recipe";
import { type CorpusCluster, startCorpusCluster } from "../support/corpus-cluster.ts";
import { CORPUS, type CorpusRun, type CorpusRunner, runCorpus } from "../support/corpus-runner.ts";
import { openRunner } from "../support/open-runner.ts";
import { IS_LONG } from "../support/seeds.ts";
import { STUBS_MISSING } from "../support/stub-packages.ts";

let cluster: CorpusCluster;
const runners = new Map<Language, CorpusRunner>();
const folder = mkdtempSync(path.join(tmpdir(), "stator-corpus-wrong-"));

/** Java and Rust take minutes to compile: that is for the long form. */
const WITH_RUNNER: readonly Language[] = IS_LONG ? LANGUAGES : ["python", "go", "typescript"];
const missing = (language: Language) => STUBS_MISSING[language] !== "";
const told = (language: Language) =>
  missing(language) ? `${language} (skipped: ${STUBS_MISSING[language]})` : language;

beforeAll(async () => {
  for (const language of WITH_RUNNER.filter((each) => !missing(each))) {
    runners.set(language, await openRunner(language));
  }
  cluster = await startCorpusCluster();
  // Where nothing was built before, compilers and libraries come first: minutes.
}, 1_800_000);
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await cluster?.close();
});

interface Case {
  readonly name: string;
  readonly steps: readonly unknown[];
}

function readCases(): Map<string, Case> {
  const read = (file: string) => JSON.parse(readFileSync(path.join(CORPUS, file), "utf8"));
  const { files } = read("corpus.json") as { files: readonly string[] };
  const cases = files.flatMap((file) => (read(file) as { cases: readonly Case[] }).cases);
  return new Map(cases.map((each) => [each.name, each]));
}

/** Runs a corpus of these cases alone. */
function runOnly(runner: CorpusRunner, cases: readonly Case[]): Promise<CorpusRun> {
  cpSync(path.join(CORPUS, "corpus.json"), path.join(folder, "whole.json"));
  const whole = JSON.parse(readFileSync(path.join(folder, "whole.json"), "utf8"));
  writeFileSync(path.join(folder, "corpus.json"), JSON.stringify({ ...whole, files: ["cases.json"] }));
  writeFileSync(path.join(folder, "cases.json"), JSON.stringify({ cases }));
  return runCorpus(runner, [folder, cluster.targetsFile]);
}

/** A case, what stands in it, and what is put in its place; on no line of it needs a model that may be missing. */
const MISTAKES: readonly (readonly [name: string, from: string, to: string])[] = [
  ["generate/explicit-index", '"first":{"token":{"outputIndex":0}}', '"first":{"token":{"outputIndex":1}}'],
  ["generate/two-outputs", '{"finished":{"outputIndex":1}}', '{"finished":{"outputIndex":2}}'],
  ["generate/seed-beyond-2-to-53", '"$not":', '"$equal":'],
  ["errors/model-not-found", '"param":"model"', '"param":"models"'],
  ["errors/no-request-id", '"code":3', '"code":5'],
  ["errors/abort-nothing", '"blame":"BLAME_CALLER"', '"blame":"BLAME_SERVER"'],
  ["errors/timeout", '"retry":"RETRY_BACKOFF"', '"retry":"RETRY_NEVER"'],
  ["errors/key", "No Key", "a-key"],
  ["calls/cancel", '"code":1', '"code":0'],
  ["calls/cancel-leaves-others", '"$count":200', '"$count":201'],
  ["calls/deadline-kept", '"schemaRevision":1', '"schemaRevision":2'],
  ["calls/sleeping-reader", '"completionTokens":600', '"completionTokens":601'],
  ["calls/sleeping-reader-of-much", '"id":"chunk","rawOutput', '"id":"other","rawOutput'],
  ["calls/record-limit", '"$text":262112', '"$text":262111'],
  ["tensors/raw/UINT64", '"rawOutputContents":["AAAA', '"rawOutputContents":["AQAA'],
  [
    "tensors/decoupled",
    '"gathered":{"inferResponse.rawOutputContents":["BA',
    '"gathered":{"inferResponse.rawOutputContents":["BQ',
  ],
  ["kv/link/snapshot-and-events", '"$bytes":32', '"$bytes":40'],
  ["kv/openengine/snapshot-and-events", '"parentBlockHash":{"$absent":true}', '"parentBlockHash":{"$present":true}'],
  ["discovery/watch", '"snapshot":true', '"snapshot":false'],
  [
    "discovery/maximal",
    '{"$equal":{"instanceId":"18446744073709551615"',
    '{"$equal":{"instanceId":"18446744073709551614"',
  ],
  ["discovery/newer", '"contains":"', '"contains":"AAAA'],
  ["discovery/empty", '"totalKvBlocks":"0","weight":0}}', '"weight":0}}'],
  ["values/openengine.v1.Usage", '"promptTokens":4294967295', '"promptTokens":4294967294'],
  ["values/stator.router.v1.Term", '"sameBytes":true', '"sameBytes":true,"wire":"KgA="'],
  ["values/stator.discovery.v1.Record", '"step":"codec"', '"step":"code"'],
  ["values/stator.common.v1.ErrorDetail", '"type":"stator.common', '"type":"stator.uncommon'],
];

if (process.env.CI === "true") {
  it("has all that its runners need", () => {
    expect(Object.values(STUBS_MISSING).filter((sentence) => sentence !== "")).toEqual([]);
    expect(cluster.missing).toBeUndefined();
  });
}

describe.each(WITH_RUNNER)("the golden corpus", (language) => {
  it.skipIf(missing(language))(`passes whole in ${told(language)}`, { timeout: 240_000 }, async () => {
    const { code, failed, skipped, passed } = await runCorpus(runners.get(language)!, [CORPUS, cluster.targetsFile]);
    expect(failed).toEqual([]);
    expect(code).toBe(0);
    if (cluster.missing === undefined) expect(skipped).toEqual([]);
    else expect(new Set(skipped.map(({ reason }) => reason))).toEqual(new Set(["there is no target llama"]));
    expect(passed + skipped.length).toBe(readCases().size);
    expect(cluster.complaints).toEqual([]);
  });
});

// Behind all that is right: a case that fails leaves behind what its later steps would have removed.
describe.each(WITH_RUNNER)("a mistake in the golden corpus", (language) => {
  it.skipIf(missing(language))(`is named in ${told(language)}`, { timeout: 240_000 }, async () => {
    const cases = readCases();
    const wrong = MISTAKES.map(([name, from, to]) => {
      const text = JSON.stringify(cases.get(name));
      expect(text, name).toContain(from);
      return JSON.parse(text.replace(from, to)) as Case;
    });
    const right = cases.get("errors/abort-unknown")!;
    const { code, passed, failed } = await runOnly(runners.get(language)!, [...wrong, right]);
    expect(failed.map(({ name }) => name)).toEqual(MISTAKES.map(([name]) => name));
    expect(failed.filter(({ reason }) => !/^step \d+, \w+: ./.test(reason))).toEqual([]);
    expect([passed, code]).toEqual([1, 1]);
  });
});

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CorpusCluster, startCorpusCluster } from "../support/corpus-cluster.ts";
import { CORPUS, type CorpusRun, runCorpus, TYPESCRIPT_RUNNER } from "../support/corpus-runner.ts";

let cluster: CorpusCluster;
const folder = mkdtempSync(path.join(tmpdir(), "stator-corpus-wrong-"));

beforeAll(async () => {
  cluster = await startCorpusCluster();
});
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
function runOnly(cases: readonly Case[]): Promise<CorpusRun> {
  cpSync(path.join(CORPUS, "corpus.json"), path.join(folder, "whole.json"));
  const whole = JSON.parse(readFileSync(path.join(folder, "whole.json"), "utf8"));
  writeFileSync(path.join(folder, "corpus.json"), JSON.stringify({ ...whole, files: ["cases.json"] }));
  writeFileSync(path.join(folder, "cases.json"), JSON.stringify({ cases }));
  return runCorpus(TYPESCRIPT_RUNNER, [folder, cluster.targetsFile]);
}

describe("the golden corpus, by generated TypeScript", () => {
  it("passes whole", { timeout: 240_000 }, async () => {
    const { code, failed, skipped, passed } = await runCorpus(TYPESCRIPT_RUNNER, [CORPUS, cluster.targetsFile]);
    expect(failed).toEqual([]);
    expect(code).toBe(0);
    if (process.env.CI === "true") expect(cluster.missing).toBeUndefined();
    if (cluster.missing === undefined) expect(skipped).toEqual([]);
    else expect(new Set(skipped.map(({ reason }) => reason))).toEqual(new Set(["there is no target llama"]));
    expect(passed + skipped.length).toBe(readCases().size);
    expect(cluster.complaints).toEqual([]);
  });
});

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

describe("a mistake in the golden corpus", () => {
  it("is a failure of its case, which is named", { timeout: 240_000 }, async () => {
    const cases = readCases();
    const wrong = MISTAKES.map(([name, from, to]) => {
      const text = JSON.stringify(cases.get(name));
      expect(text, name).toContain(from);
      return JSON.parse(text.replace(from, to)) as Case;
    });
    const right = cases.get("errors/abort-unknown")!;
    const { code, passed, failed } = await runOnly([...wrong, right]);
    expect(failed.map(({ name }) => name)).toEqual(MISTAKES.map(([name]) => name));
    expect(failed.filter(({ reason }) => !/^step \d+, \w+: ./.test(reason))).toEqual([]);
    expect([passed, code]).toEqual([1, 1]);
  });
});

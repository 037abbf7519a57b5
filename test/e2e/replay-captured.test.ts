import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { aboutPath, type CaptureAbout } from "#services/cli/capture/about";
import type { CapturedRow } from "#services/cli/capture/row";
import { captureConversations } from "../support/captures.ts";
import { Cluster } from "../support/cluster.ts";

const LOAD = { conversations: 12, turns: 5, atOnce: 6, seed: 7n } as const;
const REQUESTS = LOAD.conversations * LOAD.turns;
const WORKERS = 3;
const folder = mkdtempSync(path.join(tmpdir(), "stator-replay-captured-"));
const file = path.join(folder, "monday.jsonl");
const cluster = new Cluster();
let rows: readonly CapturedRow[];
let about: CaptureAbout;

beforeAll(async () => {
  const up = ["--engine", "mock", "--workers", String(WORKERS), "--mock-speed", "4", "--router-rule", "ttft"];
  const constants = ["--router-kv-overlap-score-credit", "0.5"];
  rows = await captureConversations(cluster, { up: [...up, ...constants], load: LOAD, file });
  about = JSON.parse(readFileSync(aboutPath(file), "utf8")) as CaptureAbout;
}, 240_000);
afterAll(async () => {
  await cluster.close();
  rmSync(folder, { recursive: true });
});

async function replay(...args: string[]) {
  const program = cluster.start(["replay", ...args]);
  const { code } = await program.ended;
  return { code, out: program.stdout, err: program.stderr };
}

/** What of the JSON is looked at. */
interface Replayed {
  readonly cluster: { readonly own: Readonly<Record<string, { readonly blocks?: number }>> };
  readonly captured: { readonly options: readonly string[] };
  readonly besideCapture: readonly {
    readonly name: string;
    readonly rows: number;
    readonly compared: number;
    readonly same: number;
    readonly elsewhere: readonly {
      readonly row: number;
      readonly before: number;
      readonly now: number;
      readonly because?: { readonly term: string; readonly before: number; readonly now: number };
    }[];
  }[];
}

describe("a captured trace", { timeout: 120_000 }, () => {
  it("is replayed on the workers that were there, beside what was seen, and nothing has to be said", async () => {
    expect(rows).toHaveLength(REQUESTS);
    const { code, out, err } = await replay(file);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const [{ total_blocks: blocks }] = about.ranks as [CaptureAbout["ranks"][number]];
    const head = `${REQUESTS} requests of monday.jsonl at 1 times their speed on ${WORKERS} workers of ${blocks} blocks of ${about.block_size} tokens, profile as captured, seed 1.`;
    expect(out.startsWith(head)).toBe(true);
    expect(out).toMatch(/^From monday\.jsonl\.about\.json: router\.kv-overlap-score-credit, rule, workers, blocks, /m);
    expect(out).toMatch(/^ttft +[\d.]+ %/m);
    const [, told, same] = /^BESIDE THE CAPTURE .*\nttft +(\d+) .* (\d+) of \d+$/m.exec(out) ?? [];
    expect(Number(told)).toBe(REQUESTS);
    expect(Number(same)).toBeLessThanOrEqual(REQUESTS);
    expect(out.includes("Not where they were captured")).toBe(Number(same) < REQUESTS);
  });

  it("says which rows go elsewhere when a worker is slow, and the term that differs", async () => {
    const first = about.ranks[0]!.worker;
    const theirs = rows.flatMap(({ stator }, row) => (stator.worker === first ? [row] : []));
    expect(theirs.length).toBeGreaterThan(5);
    const slow = [file, "--worker-speed", "0=0.002"];
    const [told, printed, twice] = await Promise.all([
      replay(...slow, "--json"),
      replay(...slow),
      replay(...slow, "--json", "--rule", "ttft,round-robin"),
    ]);
    const { cluster: on, captured, besideCapture } = JSON.parse(told.out) as Replayed;
    expect(Object.values(on.own).map(({ blocks }) => blocks)).toEqual(about.ranks.map((rank) => rank.total_blocks));
    expect(captured.options).toContain("profile");
    const [beside] = besideCapture;
    expect(beside).toMatchObject({ name: "ttft", rows: REQUESTS, compared: REQUESTS });
    const moved = beside!.elsewhere.filter(({ before }) => before === 0);
    expect(moved.length).toBeGreaterThan(0);
    for (const { row, now, because } of moved) {
      expect(theirs).toContain(row);
      expect(now).not.toBe(0);
      // Whatever differs most: of a worker that is so slow it is the prompt's own time, or that of those before it.
      expect(because?.term).toMatch(/^(prefill|wait|delay of others|delay of those beside)$/);
      expect(because!.before).toBeGreaterThan(because!.now);
    }
    // A word of the first of them, and how many there are.
    const { row, now, because } = moved[0]!;
    expect(printed.out).toContain(`  row ${row}: worker ${now}, not worker 0, because of ${because!.term} (`);
    expect(printed.out).toMatch(/^Not where they were captured with ttft:\n( {2}row \d+: .*\n){5} {2}and \d+ more$/m);
    // Of a rule that did not choose then it is not said who went elsewhere.
    const both = (JSON.parse(twice.out) as Replayed).besideCapture;
    expect(both.map(({ name, compared }) => [name, compared])).toEqual([
      ["ttft", REQUESTS],
      ["round-robin", 0],
    ]);
  });

  it("goes by what somebody says before what was captured, and not by a description that cannot be", async () => {
    const { code, out } = await replay(file, "--workers", "2", "--profile", "bench-8k", "--blocks", "500");
    expect(code).toBe(0);
    expect(out).toMatch(/ on 2 workers of 500 blocks of 16 tokens, profile bench-8k, seed 1\./);
    expect(out).toMatch(/^From monday\.jsonl\.about\.json: .*rule, block-tokens, trace-block-tokens\.$/m);
    const copy = path.join(folder, "wrong.jsonl");
    writeFileSync(copy, readFileSync(file));
    writeFileSync(aboutPath(copy), JSON.stringify({ ...about, block_size: 0 }));
    const wrong = await replay(copy);
    expect(wrong).toMatchObject({ code: 2, out: "" });
    expect(wrong.err).toMatch(/^stator replay: .*wrong\.jsonl\.about\.json.*trace-block-tokens: expected .*\n$/);
  });
});

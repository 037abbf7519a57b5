import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import type { RuleName } from "#lib/routing/rules/table";
import { distributionOf } from "#lib/simulation/replay/report/distribution";
import type { CapturedRow } from "#services/cli/capture/row";
import { llamaUnavailable } from "#services/cli/compose/engine-choice";
import { captureConversations } from "../support/captures.ts";
import { Cluster } from "../support/cluster.ts";
import { IS_LONG } from "../support/seeds.ts";

const WHY_NOT = IS_LONG ? llamaUnavailable()?.detail : "npm run test:long runs it";

/** 200 requests, of two people at a time who think now and then: two workers and the rest have two cores. */
const LOAD = { conversations: 25, turns: 8, atOnce: 2, thinkMs: 300, seed: 5n } as const;
/** Before that, of other words: engines are warm, and the router has seen how fast they are. */
const WARM_UP = { ...LOAD, conversations: 8, seed: 99n };
const RULES = ["ttft", "round-robin", "dynamo"] as const satisfies readonly RuleName[];
/** Of the first rule. */
const REPEATS = 5;
const folder = mkdtempSync(path.join(tmpdir(), "stator-replay-captured-"));
const cluster = new Cluster();
afterEach(() => cluster.close());
afterAll(() => rmSync(folder, { recursive: true }));

/** What was captured of one run of all conversations. */
interface Capture {
  readonly file: string;
  readonly rows: readonly CapturedRow[];
  /** Mean time to the first token. */
  readonly seenMs: number;
}

/** Conversations with a cluster of their own, which uses this rule. */
async function capture(rule: RuleName, name: string): Promise<Capture> {
  const file = path.join(folder, `${name}.jsonl`);
  const up = ["--engine", "llama", "--workers", "2", "--router-rule", rule];
  const rows = await captureConversations(cluster, { up, warmUp: WARM_UP, load: LOAD, file });
  // Also those that the model ended with its first token: their prompts were computed.
  expect(rows).toHaveLength(LOAD.conversations * LOAD.turns);
  return { file, rows, seenMs: meanOf(rows.map(({ stator }) => stator.seen_ms!)) };
}

/** What of the JSON of `stator replay` is looked at. */
interface Replayed {
  readonly cluster: { readonly workers: number; readonly blockTokens: number };
  readonly rules: readonly {
    readonly rule: string;
    readonly hitRatio: number;
    readonly ttftMs: { readonly mean: number };
  }[];
  readonly besideCapture: readonly { readonly rows: number; readonly replayedError: { readonly p50: number } }[];
}

/** Replays a capture as it is: nothing is said but the rules. */
async function replay({ file }: Capture, rules: readonly RuleName[]): Promise<Replayed> {
  const program = cluster.start(["replay", file, "--rule", rules.join(","), "--json"]);
  expect(await program.ended).toMatchObject({ code: 0 });
  return JSON.parse(program.stdout) as Replayed;
}

/** How far times to the first token of one run are from those of another, for half of the prompts that both had. */
function distanceOf(one: Capture, other: Capture): number {
  const keyOf = ({ input_length, output_length }: CapturedRow) => `${input_length} ${output_length}`;
  const alone = (rows: readonly CapturedRow[]) =>
    new Map([...Map.groupBy(rows, keyOf)].flatMap(([key, all]) => (all.length === 1 ? [[key, all[0]!] as const] : [])));
  const others = alone(other.rows);
  const apart = [...alone(one.rows)].flatMap(([key, { stator }]) => {
    const seenMs = others.get(key)?.stator.seen_ms;
    return seenMs === undefined ? [] : [Math.abs(stator.seen_ms! - seenMs) / seenMs];
  });
  expect(apart.length).toBeGreaterThan(one.rows.length / 2);
  return distributionOf(Float64Array.from(apart)).p50;
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const told = (value: number) => value.toFixed(3);

test("a replay of what was captured with real engines finds what they found, and tells which rule is better", {
  timeout: 1_200_000,
}, async (context) => {
  if (WHY_NOT !== undefined) return context.skip(WHY_NOT);
  const repeats: Capture[] = [];
  for (let at = 0; at < REPEATS; at++) repeats.push(await capture(RULES[0], `${RULES[0]}-${at}`));
  const [first] = repeats;
  const others: Capture[] = [];
  for (const rule of RULES.slice(1)) others.push(await capture(rule, rule));
  const captures = [first!, ...others];

  // Row by row times are told, and nothing is promised of them: docs/replay.md says what was seen.
  const noise = meanOf(repeats.slice(1).map((each, at) => distanceOf(each, repeats[at]!)));
  const offs: number[] = [];
  for (const [at, each] of captures.entries()) {
    const { cluster: on, rules, besideCapture } = await replay(each, [RULES[at]!]);
    expect(on).toMatchObject({ workers: 2, blockTokens: 16 });
    expect(besideCapture[0]!.rows).toBe(each.rows.length);
    const tokens = (of: (row: CapturedRow) => number) => each.rows.reduce((sum, row) => sum + of(row), 0);
    const seenRatio = tokens(({ stator }) => stator.seen_tokens!) / tokens((row) => row.input_length);
    expect(Math.abs(rules[0]!.hitRatio - seenRatio), `hits of ${RULES[at]}`).toBeLessThan(0.05);
    offs.push(besideCapture[0]!.replayedError.p50);
  }
  const replayedMs = (await replay(first!, RULES)).rules.map(({ ttftMs }) => ttftMs.mean);
  const means = repeats.map(({ seenMs }) => seenMs);
  const spread = Math.max(...means) - Math.min(...means);
  const seenMs = [meanOf(means), ...others.map((each) => each.seenMs)];
  const figures = `off by ${offs.map(told)} with ${RULES}, one run from another ${told(noise)}; seen ${seenMs.map(told)} ms, five repeats ${told(spread)} ms apart, replayed ${replayedMs.map(told)} ms`;
  process.stdout.write(`${figures}\n`);
  for (const left of RULES.keys()) {
    for (const right of RULES.keys()) {
      if (seenMs[left]! + spread < seenMs[right]!) expect(replayedMs[left]!, figures).toBeLessThan(replayedMs[right]!);
    }
  }
});

import { expect, test } from "vitest";
import { PROFILES } from "../profile.ts";
import { replay } from "../replay.ts";
import type { TraceRow } from "../trace-row.ts";
import { GROUPED_TRAFFIC, syntheticTraffic, type TrafficOptions } from "./synthetic-traffic.ts";

const GROUPED: TrafficOptions = { ...GROUPED_TRAFFIC, seed: 7n, blockTokens: 16 };

/** Rows by the group whose beginning they have. */
function byGroup(rows: readonly TraceRow[]): Map<bigint, TraceRow[]> {
  const groups = new Map<bigint, TraceRow[]>();
  for (const row of rows) groups.set(row.names[0]!, [...(groups.get(row.names[0]!) ?? []), row]);
  return groups;
}

/** Blocks that two prompts begin with alike. */
function shared(left: TraceRow, right: TraceRow): number {
  let count = 0;
  while (count < left.names.length && left.names[count] === right.names[count]) count++;
  return count;
}

test("128 groups of 32 prompts share their first half and come 12 in a second", () => {
  const rows = [...syntheticTraffic(GROUPED)];
  expect(rows).toHaveLength(4096);
  const groups = byGroup(rows);
  expect(groups.size).toBe(128);
  for (const members of groups.values()) {
    expect(members).toHaveLength(32);
    const [first, ...others] = members;
    for (const other of others) {
      const shorter = Math.min(first!.inputTokens, other.inputTokens);
      expect(shared(first!, other)).toBe(Math.floor(shorter / 2 / 16));
    }
  }
  // A block is the group's or of one prompt alone.
  const owned = rows.flatMap(({ names, inputTokens }) => [...names.subarray(Math.floor(inputTokens / 2 / 16))]);
  expect(new Set(owned).size).toBe(owned.length);
  const lengths = rows.map(({ inputTokens }) => inputTokens);
  expect(Math.min(...lengths)).toBeLessThan(540);
  expect(Math.min(...lengths)).toBeGreaterThanOrEqual(512);
  expect(Math.max(...lengths)).toBeGreaterThan(8170);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(8192);
  expect(rows.every(({ names, inputTokens }) => names.length === Math.ceil(inputTokens / 16))).toBe(true);
  expect(rows.every(({ outputTokens, index }, at) => outputTokens === 4 && index === at)).toBe(true);
  const seconds = rows.at(-1)!.atMs! / 1000;
  expect(Math.abs(4096 / seconds - 12)).toBeLessThan(0.6);
  expect(rows.every(({ atMs }, at) => at === 0 || atMs! >= rows[at - 1]!.atMs!)).toBe(true);
});

test("the groups come mixed", () => {
  const rows = [...syntheticTraffic(GROUPED)];
  const half = byGroup(rows.slice(0, 2048));
  expect(half.size).toBe(128);
  expect([...half.values()].some(({ length }) => length === 32)).toBe(false);
});

test("the same seed has the same rows, again and again; another has others", () => {
  const traffic = syntheticTraffic({ ...GROUPED, promptsPerGroup: 2 });
  expect([...traffic]).toEqual([...traffic]);
  expect([...traffic]).not.toEqual([...syntheticTraffic({ ...GROUPED, promptsPerGroup: 2, seed: 8n })]);
});

test("when requests come has no say in what they are", () => {
  const without = ({ atMs: _, ...row }: TraceRow): Omit<TraceRow, "atMs"> => row;
  const bursts = [...syntheticTraffic({ ...GROUPED, promptsPerGroup: 2, variation: 3, perSecond: 50 })];
  const even = [...syntheticTraffic({ ...GROUPED, promptsPerGroup: 2, variation: 0, perSecond: 50 })];
  expect(bursts.map(without)).toEqual(even.map(without));
  expect(even.slice(0, 3).map(({ atMs }) => atMs)).toEqual([0, 20, 40]);
});

test("rows are made when they are asked for", () => {
  const rows = syntheticTraffic({ ...GROUPED, groups: 2, promptsPerGroup: 2 ** 29 })[Symbol.iterator]();
  expect(rows.next().value).toMatchObject({ index: 0, atMs: 0 });
});

const SESSIONS: TrafficOptions = {
  ...GROUPED,
  ...{ groups: 4, promptsPerGroup: 10, outputTokens: { least: 1, most: 20 } },
  sessions: { turns: { least: 1, most: 5 }, turnTokens: { least: 10, most: 300 }, delayMs: { least: 0, most: 2000 } },
};

test("turns of a session add to it after a delay, and the last is marked", () => {
  const rows = [...syntheticTraffic(SESSIONS)];
  const sessions = new Map<string, TraceRow[]>();
  for (const row of rows) sessions.set(row.session!, [...(sessions.get(row.session!) ?? []), row]);
  expect(sessions.size).toBe(40);
  expect(new Set([...sessions.values()].map(({ length }) => length))).toEqual(new Set([1, 2, 3, 4, 5]));
  for (const turns of sessions.values()) {
    expect(turns.map(({ isLastTurn }) => isLastTurn)).toEqual(turns.map((_, at) => at === turns.length - 1));
    for (const [at, { atMs, delayMs, inputTokens, isDelta }] of turns.entries()) {
      expect(isDelta).toBe(true);
      expect([atMs === undefined, delayMs === undefined]).toEqual([at > 0, at === 0]);
      if (at > 0) expect(inputTokens).toBeLessThanOrEqual(300);
    }
  }
});

test("made-up sessions are replayed, and each turn finds what is before it", () => {
  const outcomes = [
    ...replay({
      rows: syntheticTraffic(SESSIONS),
      ...{ traceBlockTokens: 16, blockTokens: 16, blocks: 1 << 14, workers: 1, profile: PROFILES.reference },
      ...{ routing: { rule: "ttft" }, speed: 1, seed: 1n, load: { kind: "sessions" } },
    }),
  ];
  const rows = [...syntheticTraffic(SESSIONS)];
  expect(outcomes).toHaveLength(rows.length);
  const byRow = new Map(outcomes.map((outcome) => [outcome.row, outcome]));
  for (const { index, delayMs, inputTokens } of rows) {
    if (delayMs === undefined) continue;
    const [before, now] = [byRow.get(index - 1)!, byRow.get(index)!];
    expect(now.promptTokens).toBe(before.promptTokens + before.tokens + inputTokens);
    expect(now.arrivedMs).toBe(before.endedMs + delayMs);
    expect(now.cachedTokens).toBeGreaterThan(before.promptTokens + before.tokens - 1 - 16);
  }
});

test.each([
  [{ groups: 0 }, "groups must be a whole number from 1 to 1073741824, not 0"],
  [{ promptsPerGroup: 1.5 }, "promptsPerGroup must be"],
  [{ groups: 2 ** 20, promptsPerGroup: 2 ** 11 }, "together must be"],
  [{ sharedRatio: 1.1 }, "sharedRatio must be from 0 to 1, not 1.1"],
  [{ perSecond: 0 }, "perSecond must be above 0"],
  [{ variation: -1 }, "variation must be from 0 to 100"],
  [{ variation: Number.NaN }, "variation must be"],
  [{ inputTokens: 0 }, "inputTokens, least must be a whole number from 1"],
  [{ inputTokens: { least: 5, most: 4 } }, "inputTokens, least must be at most 4"],
  [{ outputTokens: { least: 1, most: 2 ** 25 } }, "outputTokens, most must be"],
  [{ outputTokens: { least: 1, most: 9, median: 0, sigma: 1 } }, "outputTokens, median must be above 0"],
  [{ outputTokens: { least: 1, most: 9, median: 3, sigma: -1 } }, "outputTokens, sigma must be"],
  [{ sessions: { turns: 0, turnTokens: 1, delayMs: 0 } }, "together must be"],
  [{ sessions: { turns: 1, turnTokens: 0, delayMs: 0 } }, "turnTokens, least must be"],
  [{ sessions: { turns: 1, turnTokens: 1, delayMs: -1 } }, "delayMs, least must be"],
] satisfies [Partial<TrafficOptions>, string][])("traffic that cannot be is refused: %j", (wrong, message) => {
  expect(() => syntheticTraffic({ ...GROUPED, ...wrong })).toThrow(message);
});

test("of few prompts every order comes as often", () => {
  const counts = new Map<string, number>();
  for (let seed = 0n; seed < 3000n; seed++) {
    const rows = syntheticTraffic({ ...GROUPED, seed, groups: 3, promptsPerGroup: 1, inputTokens: 32 });
    const order = [...rows].map(({ names }) => names[0]! >> 32n).join();
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  expect(counts.size).toBe(6);
  for (const count of counts.values()) expect(Math.abs(count - 500)).toBeLessThan(100);
});

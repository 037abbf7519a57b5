import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { RULE_NAMES } from "#lib/routing/rules/table";
import type { CapturedRoute } from "../captured-route.ts";
import type { TraceRow } from "../trace-row.ts";
import { packTrace, unpackTrace } from "./packed-trace.ts";

function randomRows(seed: bigint): TraceRow[] {
  const chance = new SeededChance(seed);
  const maybe = <Value>(value: Value): Value | undefined => (chance.next() < 0.5 ? value : undefined);
  return Array.from({ length: pick(chance, 80) }, (_, index) => ({
    index,
    atMs: maybe(index * 1.5),
    inputTokens: 1 + pick(chance, 2 ** 24),
    outputTokens: 1 + pick(chance, 100),
    names: BigUint64Array.from({ length: pick(chance, 40) }, () => chance.id()),
    session: maybe(`s€${pick(chance, 9)}`),
    delayMs: maybe(chance.next()),
    priority: pick(chance, 9) - 4,
    isDelta: chance.next() < 0.5,
    ...(chance.next() < 0.5 && { captured: randomRoute(chance) }),
  }));
}

function randomRoute(chance: SeededChance): CapturedRoute {
  const amount = () => (chance.next() < 0.5 ? chance.next() * 1_000 : undefined);
  return {
    ...{ worker: chance.id(), rank: pick(chance, 3), rule: RULE_NAMES[pick(chance, RULE_NAMES.length)]! },
    ...{ predictedMs: amount(), seenMs: amount(), predictedTokens: amount(), seenTokens: amount() },
  };
}

test("rows come out as they went in, and the last turns are known", () => {
  for (let seed = 0n; seed < 100n; seed++) {
    const rows = randomRows(seed);
    const lasts = new Map(rows.map(({ session, index }) => [session, index]));
    const expected = rows.map((row) => {
      return row.session === undefined ? row : { ...row, isLastTurn: lasts.get(row.session) === row.index };
    });
    const packed = packTrace(rows);
    expect([...unpackTrace(packed)], `seed ${seed}`).toEqual(expected);
    // Again, and of a copy of what a thread is given.
    expect([...unpackTrace(structuredClone(packed))]).toEqual(expected);
    const columns = Object.values(packed).filter((column) => typeof column === "object");
    expect(columns).toHaveLength(13);
    expect(columns.every(({ buffer }) => buffer instanceof SharedArrayBuffer)).toBe(true);
  }
});

test("a trace is packed whole", () => {
  const rows = randomRows(1n);
  expect(() => packTrace(rows.slice(1))).toThrow("from the first on");
});

test("what takes more than it may is not packed, and read no further", () => {
  const rows = randomRows(3n);
  const packed = packTrace(rows);
  const columns = Object.values(packed).filter((column) => typeof column === "object");
  const bytes = columns.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let read = 0;
  function* counted() {
    for (const row of rows) {
      read++;
      yield row;
    }
  }
  expect(packTrace(rows, bytes)).toEqual(packed);
  expect(packTrace(rows, bytes - 1)).toBeUndefined();
  expect(packTrace(counted(), 500)).toBeUndefined();
  expect(read).toBeLessThan(rows.length);
});

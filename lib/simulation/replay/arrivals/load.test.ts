import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import type { TraceRow } from "../trace-row.ts";
import { VirtualClock } from "../virtual-clock.ts";
import type { Arrivals } from "./arrivals.ts";
import { ClosedLoop } from "./closed-loop.ts";
import { arrivalsOf, type Load } from "./load.ts";
import { SessionLoop } from "./session-loop.ts";

const NAMES = BigUint64Array.of(1n);

/** Rows of one block; what is not said is nothing. */
function trace(rows: readonly Partial<TraceRow>[]): TraceRow[] {
  return rows.map((row, index) => ({
    ...{ index, atMs: undefined, inputTokens: 16, outputTokens: 1, names: NAMES },
    ...{ session: undefined, delayMs: undefined, priority: 0, isDelta: false },
    ...row,
  }));
}

interface Lived {
  readonly row: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Lets rows come, each of which takes as long as it has tokens of answer; in the order in which they came. */
function live(make: (clock: VirtualClock) => Arrivals): Lived[] {
  const clock = new VirtualClock();
  const arrivals = make(clock);
  const lived: Lived[] = [];
  arrivals.start({
    send(rows) {
      for (const row of rows) {
        const fromMs = clock.nowMs();
        lived.push({ row: row.index, fromMs, toMs: fromMs + row.outputTokens });
        clock.after(row.outputTokens, () => arrivals.ended(row));
      }
    },
  });
  while (clock.step());
  return lived;
}

function liveUnder(load: Load, rows: Iterable<TraceRow>, speed = 1): Lived[] {
  return live((clock) => arrivalsOf(load, rows, { clock, speed }));
}

const CHAT = trace([
  { atMs: 0, session: "a", outputTokens: 100 },
  { atMs: 10, session: "b", outputTokens: 10 },
  { atMs: 40, session: "a", outputTokens: 100 },
  { atMs: 50, session: "b", outputTokens: 10, delayMs: 5 },
  { atMs: 60, outputTokens: 10 },
]);

test("under an open load everybody comes by the timestamps, so many times as fast", () => {
  expect(liveUnder({ kind: "open" }, CHAT, 2).map(({ fromMs }) => fromMs)).toEqual([0, 5, 20, 25, 30]);
});

test("a later turn comes its delay after the end of the one before, else as the timestamps lie apart", () => {
  const starts = new Map(liveUnder({ kind: "sessions" }, CHAT).map(({ row, fromMs }) => [row, fromMs]));
  expect([...starts].sort(([left], [right]) => left - right)).toEqual([
    [0, 0],
    [1, 10],
    [2, 140],
    [3, 25],
    [4, 60],
  ]);
});

test("delays scale with the speed, what an answer takes does not", () => {
  const starts = new Map(liveUnder({ kind: "sessions" }, CHAT, 10).map(({ row, fromMs }) => [row, fromMs]));
  expect([...starts].sort(([left], [right]) => left - right)).toEqual([
    [0, 0],
    [1, 1],
    [2, 104],
    [3, 11.5],
    [4, 6],
  ]);
});

test("a closed load has so many in flight, and a turn waits for the one before it and its delay", () => {
  const lived = liveUnder({ kind: "closed", concurrency: 2 }, CHAT);
  // The turn of a waits for 100, the one of b for its delay: 4 comes before both.
  expect(lived).toEqual([
    { row: 0, fromMs: 0, toMs: 100 },
    { row: 1, fromMs: 0, toMs: 10 },
    { row: 4, fromMs: 10, toMs: 20 },
    { row: 3, fromMs: 20, toMs: 30 },
    { row: 2, fromMs: 100, toMs: 200 },
  ]);
});

test("a row that nothing says the time of is named", () => {
  const second = (row: Partial<TraceRow>): TraceRow[] => trace([{ atMs: 1, session: "a" }, row]);
  const open = { kind: "open" } as const;
  const sessions = { kind: "sessions" } as const;
  expect(() => liveUnder(open, second({ session: "a", delayMs: 1 }))).toThrow("Row 2 of the trace has no timestamp");
  expect(() => liveUnder(sessions, second({ session: "b" }))).toThrow("Row 2 of the trace has no timestamp");
  expect(() => liveUnder(sessions, second({ session: "a" }))).toThrow("Row 2 of the trace has no delay");
  expect(liveUnder(sessions, second({ session: "a", delayMs: 1 })).map(({ fromMs }) => fromMs)).toEqual([1, 3]);
  expect(liveUnder({ kind: "closed", concurrency: 1 }, second({}))).toHaveLength(2);
});

test("no more is read ahead than may be, and a turn that is read late comes then", () => {
  let read = 0;
  function* rows(): Generator<TraceRow> {
    const all = [{ session: "a" }, {}, {}, {}, { session: "a", delayMs: 0 }];
    for (const row of trace(all.map((one, at) => ({ ...one, atMs: at * 100 })))) {
      read++;
      yield row;
    }
  }
  const seen: number[] = [];
  const lived = live((clock) => {
    const loop = new SessionLoop(rows(), { clock, speed: 1 }, 2);
    return {
      start: (sink) =>
        loop.start({
          send(some) {
            seen.push(read);
            sink.send(some);
          },
        }),
      ended: (row) => loop.ended(row),
    };
  });
  expect(lived.map(({ fromMs }) => fromMs)).toEqual([0, 100, 200, 200, 300]);
  expect(seen).toEqual([3, 4, 5, 5, 5]);
});

test("however many turns wait, who comes by a timestamp does", () => {
  const turns = Array.from({ length: 5 }, (_, at) => ({ session: "a", atMs: at, outputTokens: 100 }));
  const rows = trace([...turns, { atMs: 7 }]);
  const lived = live((clock) => new SessionLoop(rows, { clock, speed: 1 }, 2));
  expect(lived.find(({ row }) => row === 5)).toMatchObject({ fromMs: 7 });
});

test("turns that wait are not more than may be held", () => {
  const rows = trace([...Array.from({ length: 5 }, () => ({ session: "a" })), {}]);
  const lived = live((clock) => new ClosedLoop(rows, { clock, speed: 1 }, { concurrency: 2, mostHeld: 3 }));
  // The row without a session comes when it is read: when two of the turns are over.
  expect(lived.map(({ row, fromMs }) => [row, fromMs])).toEqual([
    ...[
      [0, 0],
      [1, 1],
      [2, 2],
      [5, 2],
      [3, 3],
      [4, 4],
    ],
  ]);
});

test("a load under which nobody would come is refused", () => {
  for (const speed of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => liveUnder({ kind: "open" }, CHAT, speed)).toThrow("The speed must be above 0");
  }
  for (const concurrency of [0, -1, 1.5, Number.NaN]) {
    expect(() => liveUnder({ kind: "closed", concurrency }, CHAT)).toThrow("The concurrency must be");
  }
});

function randomTrace(seed: bigint): TraceRow[] {
  const chance = new SeededChance(seed);
  let atMs = 0;
  return trace(
    Array.from({ length: 1 + pick(chance, 60) }, () => {
      atMs += pick(chance, 3) * 7;
      const session = chance.next() < 0.7 ? `s${pick(chance, 6)}` : undefined;
      const delayMs = session !== undefined && chance.next() < 0.4 ? pick(chance, 50) : undefined;
      return { atMs, session, delayMs, outputTokens: 1 + pick(chance, 40) };
    }),
  );
}

test("sessions live as each would alone", () => {
  for (let seed = 0n; seed < 300n; seed++) {
    const rows = randomTrace(seed);
    const ends = new Map<string, { readonly toMs: number; readonly atMs: number }>();
    const expected = rows.map(({ index, session, atMs = 0, delayMs, outputTokens }) => {
      const before = session === undefined ? undefined : ends.get(session);
      const fromMs = before ? before.toMs + (delayMs ?? atMs - before.atMs) : atMs;
      if (session !== undefined) ends.set(session, { toMs: fromMs + outputTokens, atMs });
      return { row: index, fromMs, toMs: fromMs + outputTokens };
    });
    const lived = liveUnder({ kind: "sessions" }, rows);
    expect(
      lived.sort((left, right) => left.row - right.row),
      `seed ${seed}`,
    ).toEqual(expected);
  }
});

test("a closed load is full as long as somebody may come, and keeps the order of sessions", () => {
  for (let seed = 0n; seed < 300n; seed++) {
    const rows = randomTrace(seed);
    const concurrency = 1 + Number(seed % 5n);
    const lived = liveUnder({ kind: "closed", concurrency }, rows);
    expect(lived.map(({ row }) => row).sort((left, right) => left - right)).toEqual(rows.map(({ index }) => index));
    const times = [...new Set(lived.flatMap(({ fromMs, toMs }) => [fromMs, toMs]))];
    for (const nowMs of times) {
      const inFlight = lived.filter(({ fromMs, toMs }) => fromMs <= nowMs && nowMs < toMs).length;
      expect(inFlight).toBeLessThanOrEqual(concurrency);
      if (inFlight === concurrency) continue;
      // There is room: nobody that could have come is kept.
      const kept = lived.filter(({ row, fromMs }) => fromMs > nowMs && mayCome(rows[row]!, nowMs, lived, rows));
      expect(kept, `seed ${seed} at ${nowMs}`).toEqual([]);
    }
  }
});

/** The turn before it has ended, and its delay is over. */
function mayCome(row: TraceRow, nowMs: number, lived: readonly Lived[], rows: readonly TraceRow[]): boolean {
  const before = rows.filter(({ index, session }) => index < row.index && session === row.session).at(-1);
  if (row.session === undefined || !before) return true;
  const { toMs } = lived.find(({ row: index }) => index === before.index)!;
  return toMs + (row.delayMs ?? 0) <= nowMs;
}

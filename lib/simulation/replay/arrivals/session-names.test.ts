import { expect, test } from "vitest";
import type { TraceRow } from "../trace-row.ts";
import { withSessions } from "./session-names.ts";

test("rows with the same second block are one session", () => {
  const rows: TraceRow[] = [[0n, 1n, 2n], [0n], [0n, 3n], [7n, 1n]].map((names, index) => ({
    ...{ index, atMs: 0, inputTokens: names.length, outputTokens: 1, names: BigUint64Array.from(names) },
    ...{ session: "said", delayMs: undefined, priority: 0, isDelta: false, isLastTurn: true },
  }));
  const named = [...withSessions(rows, "second-block")];
  expect(named.map(({ session }) => session)).toEqual(["block 1", undefined, "block 3", "block 1"]);
  // The last turn of the session that a row said is none of these.
  expect(named.map(({ isLastTurn }) => isLastTurn)).toEqual(rows.map(() => undefined));
  expect([...withSessions(rows, "rows")]).toEqual(rows);
});

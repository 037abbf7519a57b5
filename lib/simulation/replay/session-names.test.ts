import { expect, test } from "vitest";
import { withSessions } from "./session-names.ts";
import type { TraceRow } from "./trace-row.ts";

test("rows with the same second block are one session", () => {
  const rows: TraceRow[] = [[0n, 1n, 2n], [0n], [0n, 3n], [7n, 1n]].map((names, index) => ({
    ...{ index, atMs: 0, inputTokens: names.length, outputTokens: 1, names: BigUint64Array.from(names) },
    ...{ session: "said", delayMs: undefined, priority: 0, isDelta: false },
  }));
  const sessions = [...withSessions(rows, "second-block")].map(({ session }) => session);
  expect(sessions).toEqual(["block 1", undefined, "block 3", "block 1"]);
  expect([...withSessions(rows, "rows")]).toEqual(rows);
});

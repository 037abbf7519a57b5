import { expect, test } from "vitest";
import type { TraceRow } from "../trace-row.ts";
import type { MooncakeOptions } from "./mooncake-reader.ts";
import { readTrace } from "./read-trace.ts";

const PLAIN: MooncakeOptions = { format: "mooncake", blockTokens: 512 };

function read(text: string, options = PLAIN): TraceRow[] {
  return [...readTrace([new TextEncoder().encode(text)], options)];
}

function row(fields: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ timestamp: 0, input_length: 600, output_length: 5, hash_ids: [1, 2], ...fields });
}

test("a row says when it comes, how long it is and what it holds", () => {
  const rows = read(
    `${row()}\n\n${row({ timestamp: 27_482.5, session_id: "s-1", delay: 1500, priority: -3, model: "other" })}\r\n`,
  );
  expect(rows).toEqual([
    {
      ...{ index: 0, atMs: 0, inputTokens: 600, outputTokens: 5, names: BigUint64Array.of(1n, 2n) },
      ...{ session: undefined, delayMs: undefined, priority: 0, isDelta: false },
    },
    {
      ...{ index: 1, atMs: 27_482.5, inputTokens: 600, outputTokens: 5, names: BigUint64Array.of(1n, 2n) },
      ...{ session: "s-1", delayMs: 1500, priority: -3, isDelta: false },
    },
  ]);
});

test("a row that was captured says what became of it; what says no worker or no rule is a row like others", () => {
  const stator = { model: "m", worker: "c0a1ef400c72de72", rank: 1, rule: "ttft", predicted_ms: 16.7, seen_tokens: 16 };
  const others = [{ ...stator, worker: "there" }, { ...stator, rule: "chess" }, { ...stator, rank: -1 }, "ttft", null];
  const rows = read([stator, ...others].map((said) => row({ stator: said })).join("\n"));
  expect(rows[0]!.captured).toEqual({
    ...{ worker: 0xc0a1ef400c72de72n, rank: 1, rule: "ttft", predictedMs: 16.7, seenMs: undefined },
    ...{ predictedTokens: undefined, seenTokens: 16 },
  });
  for (const other of rows.slice(1)) expect(other).not.toHaveProperty("captured");
});

test("fields have other names", () => {
  const named = { created_time: 7, input_tokens: 512, output_tokens: 1, hash_ids: [9], session_id: 12, delay_ms: 0 };
  const [read1] = read(`${JSON.stringify(named)}`);
  expect(read1).toMatchObject({ atMs: 0, inputTokens: 512, outputTokens: 1, session: "12", delayMs: 0 });
});

test("time begins with the first row that has one", () => {
  const rows = read([row({ timestamp: null }), row({ timestamp: 1.7e12 }), row({ timestamp: 1.7e12 + 40 })].join("\n"));
  expect(rows.map(({ atMs }) => atMs)).toEqual([undefined, 0, 40]);
});

test("names of blocks are numbers, or strings of 64 bits in decimal or hex", () => {
  const ids = [2 ** 53 - 1, "18446744073709551615", "0xff", "ABCDEF0123456789", "0017", "1f"];
  const [first] = read(row({ input_length: 512 * ids.length, hash_ids: ids }));
  expect([...first!.names]).toEqual([2n ** 53n - 1n, 2n ** 64n - 1n, 255n, 0xabcdef0123456789n, 17n, 31n]);
});

test("of a session in delta form each row holds what is new", () => {
  const rows = read(`${row()}\n${row({ session_id: "a" })}`, { format: "mooncake-delta", blockTokens: 512 });
  expect(rows.map(({ isDelta }) => isDelta)).toEqual([false, true]);
});

test.each([
  ["{", "Row 2 of the trace is not JSON"],
  ["[]", "Row 2 of the trace is not a JSON object"],
  [row({ timestamp: -1 }), "wrong timestamp: it must be a number of ms from 0 to 8640000000000000, not -1"],
  [row({ timestamp: 1 }), "wrong timestamp: 1 lies before that of a row above, 2"],
  [row({ timestamp: "2" }), 'wrong timestamp: it must be a number of ms from 0 to 8640000000000000, not "2"'],
  ['{"timestamp": 1e999}', "wrong input_length: it is missing"],
  [row().replace('"timestamp":0', '"timestamp":1e999'), "wrong timestamp"],
  [row({ created_time: 1 }), "wrong created_time: timestamp says the same"],
  [row({ timestamp: 2 }).replace("{", '{"priority":1,"prior\\u0069ty":2,'), "wrong priority: it stands there twice"],
  [row({ input_length: 0 }), "wrong input_length: it must be a whole number from 1 to 16777216, not 0"],
  [row({ input_length: 1.5 }), "wrong input_length"],
  [row({ input_length: 1e12 }), "wrong input_length"],
  [row({ timestamp: 2, output_length: 0 }), "wrong output_length"],
  [row({ timestamp: 2, output_length: null }), "wrong output_length: it is missing"],
  [row({ timestamp: 2, hash_ids: undefined }), "wrong hash_ids: it is missing"],
  [row({ timestamp: 2, hash_ids: "1" }), "wrong hash_ids: it must be a list"],
  [row({ timestamp: 2, hash_ids: [1] }), "wrong hash_ids: 600 tokens are 2 blocks of 512, and there are 1"],
  [row({ timestamp: 2, hash_ids: [1, 2, 3] }), "wrong hash_ids: 600 tokens are 2 blocks of 512, and there are 3"],
  [row({ timestamp: 2, hash_ids: [1, 2 ** 53] }), "wrong hash_ids[1]: 9007199254740992 is no whole number"],
  [row({ timestamp: 2, hash_ids: [-1, 2] }), "wrong hash_ids[0]"],
  [row({ timestamp: 2, hash_ids: [1, "18446744073709551616"] }), "wrong hash_ids[1]"],
  [row({ timestamp: 2, hash_ids: [1, "12345678123456781g"] }), "wrong hash_ids[1]"],
  [row({ timestamp: 2, session_id: "" }), "wrong session_id"],
  [row({ timestamp: 2, session_id: "x".repeat(1025) }), "wrong session_id"],
  [row({ timestamp: 2, delay: 5 }), "wrong delay: the row is of no session"],
  [row({ timestamp: 2, session_id: "a", delay: -5 }), "wrong delay"],
  [row({ timestamp: 2, priority: 2 ** 31 }), "wrong priority"],
  [row({ timestamp: 2, strict_priority: 1 }), "wrong strict_priority"],
  [row({ wait_for: [] }), "has the field wait_for: the trace format agentic_mooncake is not read here"],
  [row({ chat_id: 1 }), "the trace format bailian is not read here"],
])("a row that is wrong is named with its number and the field: %s", (wrong, message) => {
  const taken: TraceRow[] = [];
  const all = (): void => {
    const pieces = [new TextEncoder().encode(`${row({ timestamp: 2 })}\n${wrong}\n${row({ timestamp: 3 })}`)];
    for (const one of readTrace(pieces, PLAIN)) taken.push(one);
  };
  expect(all).toThrow(message);
  expect(all).toThrow("Row 2");
  // What stands before it was read: nothing is read ahead.
  expect(taken).toHaveLength(2);
});

test("a file of a format that is not read is refused by its first line", () => {
  expect(() => read("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,374,44")).toThrow("Azure CSV");
});

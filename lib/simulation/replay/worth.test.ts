import path from "node:path";
import { expect, test } from "vitest";
import type { RuleName } from "#lib/routing/rules/table";
import { PROFILES } from "./profile.ts";
import { replay } from "./replay.ts";
import { openTrace } from "./trace/open-trace.ts";

const FILE = path.join(import.meta.dirname, "../../../test/fixtures/traces/mooncake-conversation.jsonl.gz");
const ROWS = 2_000;

/** One cell of `npm run bench -- replay/conversations`. */
function live(rule: RuleName) {
  const rows = openTrace(FILE, { format: "mooncake", blockTokens: 512 });
  const cluster = {
    traceBlockTokens: 512,
    blockTokens: 512,
    blocks: 10_000,
    workers: 8,
    profile: PROFILES["bench-8k"],
  };
  let [waitedMs, cached, tokens, count] = [0, 0, 0, 0];
  for (const outcome of replay({ ...cluster, rows: first(rows), routing: { rule }, speed: 1.5, seed: 1n })) {
    waitedMs += outcome.firstMs! - outcome.arrivedMs;
    cached += outcome.cachedTokens;
    tokens += outcome.promptTokens;
    count++;
  }
  expect(count).toBe(ROWS);
  return { meanMs: waitedMs / count, hits: cached / tokens };
}

function* first<Row>(rows: Iterable<Row>): Generator<Row> {
  let count = 0;
  for (const row of rows) {
    if (count++ === ROWS) return;
    yield row;
  }
}

test("on a trace of conversations the default rule waits least, and finds more than the reference's", () => {
  const ttft = live("ttft");
  const others = (["dynamo", "lmetric", "smg-event", "llm-d", "round-robin"] as const).map(live);
  expect(ttft.meanMs).toBeLessThan(0.9 * Math.min(...others.map(({ meanMs }) => meanMs)));
  expect(ttft.hits).toBeGreaterThan(1.1 * others[0]!.hits);
});

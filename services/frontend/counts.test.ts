import { expect, test } from "vitest";
import { createMetrics } from "#lib/host/metrics";
import { PromptCounts } from "./counts.ts";
import { FRONTEND_INSTRUMENTS } from "./instruments.ts";

test("what is remembered of prompts is told, tokens once", async () => {
  const metrics = createMetrics([FRONTEND_INSTRUMENTS], { processMetrics: false });
  const tally = { bytes: 500, knownTokens: 30, newTokens: 12 };
  const counts = new PromptCounts(tally);
  counts.flush(metrics);
  tally.bytes = 400;
  tally.knownTokens += 5;
  counts.flush(metrics);
  const text = await metrics.print();
  expect(text).toContain("stator_frontend_prompt_memory_bytes 400\n");
  expect(text).toContain('stator_frontend_encoded_tokens_total{found="known"} 35\n');
  expect(text).toContain('stator_frontend_encoded_tokens_total{found="new"} 12\n');
});

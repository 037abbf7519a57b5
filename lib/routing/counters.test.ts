import { expect, it } from "vitest";
import { createMetrics } from "#lib/host/metrics";
import { fleetWorker, promptOf, RoutingRig, routeAskOf } from "../../test/support/routing-rig.ts";
import { ROUTING_INSTRUMENTS } from "./instruments.ts";

/** Lines of a scrape that are not 0, without comments, buckets and the prefix that all have. */
async function scrape(rig: RoutingRig, metrics: ReturnType<typeof createMetrics>): Promise<string[]> {
  const lines = (await metrics.print()).split("\n");
  const isTold = (line: string) => line.startsWith("stator_") && !line.includes("_bucket") && !line.endsWith(" 0");
  expect(rig.router.openChoices).toBeGreaterThanOrEqual(0);
  return lines.filter(isTold).map((line) => line.slice("stator_routing_".length));
}

it("counts overlap, what was lost of it, what was missing, and how far predictions are off", async () => {
  const metrics = createMetrics([ROUTING_INSTRUMENTS], { processMetrics: false });
  const rig = new RoutingRig([fleetWorker(1n), fleetWorker(2n), fleetWorker(3n, { scope: undefined, weights: "x" })], {
    ...{ metrics, limits: { sessions: 1 }, predictedTtlMs: 0 },
  });
  const prompt = promptOf(1, 8, 2);
  rig.store(1n, prompt);
  const first = rig.place(routeAskOf(prompt, { session: "a" }));
  first.ticket.note({ kind: "accepted", choice: 0, cachedTokens: 112 });
  rig.clock.advance(20);
  first.ticket.note({ kind: "first token", choice: 0 });
  // The first is busy by now, and another one has to do without what it has.
  rig.place(routeAskOf(promptOf(2, 25, 0), { target: { worker: 1n, rank: undefined } }));
  rig.place(routeAskOf(prompt, { session: "b" }));
  rig.know(2n, "recovering");
  expect(await scrape(rig, metrics)).toEqual([
    'choices_total{by="ttft"} 2',
    'choices_total{by="pinned"} 1',
    "prompt_tokens_total 660",
    "overlap_tokens_total 128",
    "lost_overlap_tokens_total 128",
    "shorter_overlap_choices_total 1",
    "found_tokens_total 112",
    "expected_tokens_total 128",
    'legs_total{leg="whole"} 3',
    'missing_total{need="prefixes"} 2',
    // Foreseen: two tokens of a millisecond each.
    "first_token_ratio_sum 10",
    "first_token_ratio_count 1",
    'in_force{rule="ttft"} 1',
    'in_force{rule="power-of-two"} 1',
    'ranks{knowledge="recovering"} 1',
    'ranks{knowledge="live"} 2',
    "open_choices 3",
    "index_entries 8",
    expect.stringMatching(/^index_bytes \d+$/),
    "sessions 1",
    "forgotten_sessions_total 1",
    "decisions 3",
  ]);
  first.ticket.note({ kind: "ended", choice: 0 });
  rig.follow([fleetWorker(1n)]);
  const later = await scrape(rig, metrics);
  expect(later).toContain("open_choices 2");
  expect(later).not.toContain('in_force{rule="power-of-two"} 1');
  expect(later).toContain('choices_total{by="ttft"} 2');
  rig.router.close();
  rig.place(routeAskOf(prompt));
  expect(await scrape(rig, metrics)).toContain("decisions 3");
});

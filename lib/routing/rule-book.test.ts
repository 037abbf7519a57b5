import { describe, expect, it } from "vitest";
import { fleetWorker, promptOf, RoutingRig, routeAskOf, shownAnswer } from "../../test/support/routing-rig.ts";
import type { Ticket } from "./router.ts";

const TWO = [fleetWorker(1n), fleetWorker(2n)];

function end(ticket: Ticket, ...choices: number[]): void {
  for (const choice of choices) ticket.note({ kind: "ended", choice });
}

describe("the rule in force", () => {
  const blind = (worker: bigint) =>
    fleetWorker(worker, { scope: undefined, why: `Worker ${worker} has other blocks.` });

  it("is power-of-two where no prefixes can be compared, which is said", () => {
    const rig = new RoutingRig([blind(1n), blind(2n)]);
    expect(rig.router.inForce).toEqual([
      { weights: "w", rule: "power-of-two", why: "ttft needs prefixes. Worker 1 has other blocks." },
    ]);
    expect(shownAnswer(rig.place(routeAskOf(promptOf(1, 4))).answer)[0]).toMatch(
      /^[12]: 0, power-of-two, 0 open, of 2, prefixes of 2 unknown$/,
    );
    expect(rig.router.explain("r")[0]).toMatchObject({
      rule: "power-of-two",
      why: expect.stringContaining("ttft needs"),
    });
    expect(rig.router.view(1n)).toMatchObject([
      { rule: "power-of-two", why: "ttft needs prefixes. Worker 1 has other blocks." },
    ]);
  });

  it("is the configured one where any can be compared, or where it needs none", () => {
    const mixed = new RoutingRig([blind(1n), fleetWorker(2n), fleetWorker(3n, { weights: "x", scope: undefined })]);
    expect(mixed.router.inForce).toEqual([
      { weights: "w", rule: "ttft", why: "" },
      { weights: "x", rule: "power-of-two", why: "ttft needs prefixes. No worker says how its blocks are named." },
    ]);
    expect(shownAnswer(mixed.place(routeAskOf(promptOf(1, 4))).answer)[0]).toMatch(/ttft.*, prefixes of 2 unknown$/);
    const loads = new RoutingRig([blind(1n)], { rule: "smg-least-load" });
    expect(loads.router.inForce).toEqual([{ weights: "w", rule: "smg-least-load", why: "" }]);
    const turns = new RoutingRig([blind(1n)], { mode: "round-robin" });
    turns.know(1n, "none");
    expect(turns.router.view(1n)).toMatchObject([{ rule: "round-robin", why: "" }]);
    expect(turns.router.inForce).toEqual([{ weights: "w", rule: "round-robin", why: "" }]);
    expect(shownAnswer(turns.place(routeAskOf(promptOf(1, 4))).answer)).toEqual(["1: 0, round-robin, 1 of 1"]);
  });

  it("is power-of-two where nothing has a prompt, by which nothing is lacking", () => {
    const tensors = (worker: bigint) => fleetWorker(worker, { scope: undefined, why: "", noPrompts: true });
    const rig = new RoutingRig([tensors(1n), tensors(2n)]);
    expect(rig.router.inForce).toEqual([{ weights: "w", rule: "power-of-two", why: "" }]);
    expect([rig.router.lacking, rig.router.view(1n)]).toMatchObject([[], [{ rule: "power-of-two", why: "" }]]);
    const beside = new RoutingRig([tensors(1n), blind(2n)]);
    expect(beside.router.inForce[0]?.why).toBe("ttft needs prefixes. Worker 2 has other blocks.");
  });

  it("says of whom it is not known what they hold, and takes them to hold what was sent there", () => {
    const rig = new RoutingRig(TWO, { ttlMs: 60_000 });
    rig.know(1n, "none");
    rig.know(2n, "none");
    const first = rig.place(routeAskOf(promptOf(1, 4)));
    expect(shownAnswer(first.answer)[0]).toContain("0 tokens cached, of 2, prefixes of 2 unknown");
    end(first.ticket, 0);
    rig.clock.advance(59_000);
    const second = rig.place(routeAskOf(promptOf(1, 4)));
    expect(shownAnswer(second.answer)[0]).toContain("64 tokens cached");
    end(second.ticket, 0);
    expect(rig.router.view(1n)[0]?.why).toBe("It is none.");
    rig.clock.advance(60_001);
    expect(shownAnswer(rig.place(routeAskOf(promptOf(1, 4))).answer)[0]).toContain(" 0 tokens cached");
    // Where events are not wanted there is nothing to miss.
    const without = new RoutingRig(TWO, { followsEvents: false });
    for (const worker of [1n, 2n]) without.know(worker, "none");
    expect(shownAnswer(without.place(routeAskOf(promptOf(1, 4))).answer)[0]).not.toContain("unknown");
    expect(without.router.view(1n)[0]?.why).toBe("");
  });

  it("forgets what a liar said, and goes by nothing of it until it is trusted again", () => {
    const rig = new RoutingRig(TWO);
    const prompt = promptOf(1, 8);
    rig.store(1n, prompt);
    expect(rig.router.view(1n)[0]?.heldBlocks).toBe(8);
    rig.know(1n, "recovering");
    expect(rig.router.explainAsk(routeAskOf(prompt))[0]).toMatchObject({
      missing: [],
      predicted: { cachedTokens: 128 },
    });
    rig.know(1n, "untrusted");
    expect(rig.router.view(1n)[0]).toMatchObject({ heldBlocks: 0, why: "It is untrusted." });
    const [explanation] = rig.router.explainAsk(routeAskOf(prompt));
    expect(explanation).toMatchObject({
      missing: [{ need: "prefixes", candidates: 1 }],
      predicted: { cachedTokens: 0 },
    });
    rig.place(routeAskOf(prompt, { target: { worker: 1n, rank: undefined } }));
    expect(rig.router.explainAsk(routeAskOf(prompt))[0]?.candidates.map(({ deviceTokens }) => deviceTokens)).toEqual([
      0, 0,
    ]);
    rig.know(1n, "live");
    rig.store(1n, prompt);
    expect(rig.router.explainAsk(routeAskOf(prompt))[0]?.missing).toEqual([]);
  });

  it("says of whom the times are not known, and takes them to be like the others", () => {
    const unknown = { prior: undefined };
    const rig = new RoutingRig([
      fleetWorker(1n, { times: { prefillTokenMs: 1 } }),
      fleetWorker(2n, unknown),
      fleetWorker(3n, { times: { prefillTokenMs: 4 } }),
      fleetWorker(4n, { times: { prefillTokenMs: 2 } }),
    ]);
    const [explanation] = rig.router.explainAsk(routeAskOf(promptOf(1, 1, 0)));
    expect(explanation?.missing).toEqual([{ need: "times", candidates: 1 }]);
    const shown = explanation?.candidates.map(({ worker, cost, timesKnown, firstTokenMs }) => [
      ...[worker, cost, timesKnown, firstTokenMs],
    ]);
    expect(shown).toEqual([
      [1n, 32, true, 16],
      [2n, 64, false, undefined],
      [4n, 64, true, 32],
      [3n, 128, true, 64],
    ]);
    // Nobody is known: all are compared by the same guess, in no unit, and nothing is foretold.
    const none = new RoutingRig([fleetWorker(1n, unknown), fleetWorker(2n, unknown)]);
    none.store(2n, promptOf(1, 4));
    const { answer, ticket } = none.place(routeAskOf(promptOf(1, 4)));
    expect(shownAnswer(answer)[0]).toMatch(/^2: 0, ttft, .*, times of 2 unknown$/);
    end(ticket, 0);
    expect(none.router.explain("r")[0]?.predicted.firstTokenMs).toBeUndefined();
    none.pass(1n, { durationUs: 50_000, prefillTokens: 100, prefillContextTokens: 100 });
    expect(none.router.explainAsk(routeAskOf(promptOf(1, 4)))[0]?.missing).toEqual([{ need: "times", candidates: 1 }]);
  });

  it("says when a session is missed", () => {
    const rig = new RoutingRig(TWO, { rule: "session", affinity: "off" });
    expect(shownAnswer(rig.place(routeAskOf(promptOf(1, 4))).answer)[0]).toContain(", session of 2 unknown");
    const named = rig.place(routeAskOf(promptOf(1, 4), { session: "s" }));
    expect(shownAnswer(named.answer)[0]).not.toContain("unknown");
  });
});

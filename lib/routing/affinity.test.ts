import { describe, expect, it } from "vitest";
import {
  fleetWorker,
  promptOf,
  RoutingRig,
  routeAskOf,
  shownAnswer,
  workersOf,
} from "../../test/support/routing-rig.ts";
import type { Ticket } from "./router.ts";

const TWO = [fleetWorker(1n), fleetWorker(2n)];

function end(ticket: Ticket, ...choices: number[]): void {
  for (const choice of choices) ticket.note({ kind: "ended", choice });
}

describe("sessions", () => {
  const full = [fleetWorker(1n, { maxRunningRequests: 2 }), fleetWorker(2n, { maxRunningRequests: 2 })];
  const ask = (session: string | undefined, kind = 1) => routeAskOf(promptOf(kind, 4), { session });

  it("follow their worker, soft ones until it is full", () => {
    for (const affinity of ["soft", "hard", "off"] as const) {
      const rig = new RoutingRig(full, { affinity, rule: "least-request" });
      const first = rig.place(ask("s"));
      const [home] = workersOf(first.answer);
      const second = rig.place(ask("s", 2));
      expect(workersOf(second.answer)).toEqual([affinity === "off" ? 3n - home! : home]);
      if (affinity === "off") continue;
      expect(shownAnswer(second.answer)).toEqual([`${home}: 0, affinity, ${affinity}, of 2`]);
      const third = rig.place(ask("s", 3));
      expect(workersOf(third.answer)).toEqual([affinity === "hard" ? home : 3n - home!]);
      // A soft one is at home where it went last.
      expect(workersOf(rig.place(ask("s", 4)).answer)).toEqual(workersOf(third.answer));
    }
  });

  it("are of one model", () => {
    const rig = new RoutingRig(TWO, { affinity: "hard", rule: "round-robin" });
    const at = (model: string) => workersOf(rig.place({ ...ask("s"), model }).answer)[0];
    expect([at("a"), at("b"), at("a"), at("b")]).toEqual([1n, 2n, 1n, 2n]);
  });

  it("move after their worker is lost, failed them, or started again", () => {
    const rig = new RoutingRig(TWO, { affinity: "hard", rule: "round-robin" });
    const [home] = workersOf(rig.place(ask("s")).answer);
    expect(home).toBe(1n);
    expect(workersOf(rig.place({ ...ask("s"), avoid: new Set([1n]) }).answer)).toEqual([2n]);
    expect(workersOf(rig.place(ask("s")).answer)).toEqual([2n]);
    rig.follow([fleetWorker(1n)]);
    expect(workersOf(rig.place(ask("s")).answer)).toEqual([1n]);
    rig.follow([fleetWorker(1n, { incarnation: 2n }), fleetWorker(2n)]);
    expect(shownAnswer(rig.place(ask("s")).answer)[0]).toContain("round-robin");
  });

  it("leave their worker when they were idle, and not while a request runs", () => {
    const rig = new RoutingRig(TWO, { affinity: "hard", rule: "round-robin", sessionTtlMs: 1_000 });
    const first = rig.place(ask("s"));
    rig.clock.advance(5_000);
    const second = rig.place(ask("s"));
    expect(shownAnswer(second.answer)[0]).toContain("affinity");
    end(first.ticket, 0);
    rig.clock.advance(5_000);
    end(second.ticket, 0);
    rig.clock.advance(999);
    const third = rig.place(ask("s"));
    expect(shownAnswer(third.answer)[0]).toContain("affinity");
    end(third.ticket, 0);
    rig.clock.advance(1_000);
    expect(shownAnswer(rig.place(ask("s")).answer)[0]).toContain("round-robin");
  });

  it("that are too many lose their worker, one that was not used for long first", () => {
    const rig = new RoutingRig(TWO, { affinity: "hard", rule: "round-robin", limits: { sessions: 2 } });
    const decisions = ["a", "b", "a", "c", "a", "b"].map((session) => shownAnswer(rig.place(ask(session)).answer)[0]);
    expect(decisions.map((each) => each?.includes("affinity"))).toEqual([false, false, true, false, true, false]);
  });
});

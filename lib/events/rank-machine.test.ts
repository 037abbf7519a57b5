import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import type { KvChange } from "#lib/kv/event";
import type { KvFeedMessage } from "./feed.ts";
import { FOLLOW_LIMITS, type FollowLimits } from "./limits.ts";
import { type RankEffect, type RankEvent, RankMachine } from "./rank-machine.ts";

const EXPECTED = { incarnation: 7n, blockTokens: 16, hashScheme: "test" };
const LOST = new StatorError("UNAVAILABLE", { what: "The worker", detail: "gone" });

/** A machine in the hand of a test: every chance is the middle, and time is told. */
class Hand {
  nowMs = 0;
  readonly machine: RankMachine;
  readonly limits: FollowLimits;
  /** All effects but `wake`, as they came. */
  readonly done: RankEffect[] = [];
  wakeMs: number | undefined;

  constructor(limits: Partial<FollowLimits> = {}) {
    this.limits = { ...FOLLOW_LIMITS, ...limits };
    this.machine = new RankMachine(EXPECTED, this.limits, { next: () => 0.5, id: () => 1n });
  }

  take(event: RankEvent): RankEffect[] {
    const effects = this.machine.step(event, this.nowMs).filter((effect) => {
      if (effect.kind !== "wake") return true;
      this.wakeMs = effect.atMs;
      return false;
    });
    this.done.push(...effects);
    return effects;
  }

  hear(message: KvFeedMessage, unixMs = 100): string[] {
    return this.take({ kind: "message", message, unixMs }).map(nameOf);
  }

  /** Lets the time of the last wake come. */
  wake(): RankEffect[] {
    this.nowMs = Math.max(this.nowMs, this.wakeMs ?? 0);
    return this.take({ kind: "timer" });
  }

  /** Until the subscription; what was asked for. */
  ask(): bigint | undefined {
    if (this.machine.knowledge.reason === "It was not asked yet.") this.take({ kind: "start" });
    this.wake();
    return this.take({ kind: "permit" }).flatMap((effect) => (effect.kind === "subscribe" ? [effect.fromId] : []))[0];
  }

  /** Live after a snapshot up to an event. */
  live(lastId = 0n): this {
    this.ask();
    this.hear(header(lastId, true));
    this.hear(snapshot(lastId));
    return this;
  }

  get state() {
    return this.machine.knowledge.state;
  }
}

function nameOf(effect: RankEffect): string {
  switch (effect.kind) {
    case "apply":
      return `apply ${effect.changes.length - effect.from}`;
    case "dropped":
      return `dropped ${effect.events} ${effect.why}`;
    case "know":
      return `know ${effect.knowledge.state}`;
    case "fault":
      return `fault ${effect.fault}${effect.isLast ? " at last" : ""}`;
    case "recovered":
      return `recovered ${effect.way}`;
    case "failed":
      return effect.rests ? "failed, rests" : "failed";
    default:
      return effect.kind;
  }
}

const CLEARED: KvChange = { kind: "cleared" };
const STORED: KvChange = {
  kind: "stored",
  tier: "device",
  group: 0,
  parent: undefined,
  hashes: BigUint64Array.of(1n),
  contents: BigUint64Array.of(1n),
  adapter: undefined,
  saltNamespace: 0n,
  media: [],
};

function header(
  lastId: bigint,
  isSnapshot: boolean,
  more: Partial<KvFeedMessage & { kind: "header" }> = {},
): KvFeedMessage {
  return { kind: "header", ...EXPECTED, cacheDomain: undefined, lastId, isSnapshot, ...more };
}

function snapshot(lastId: bigint, isLast = true, part = 0): KvFeedMessage {
  return { kind: "snapshot", changes: [STORED], part, isLast, lastId };
}

function events(firstId: bigint, count = 1, unixMs = 90): KvFeedMessage {
  return { kind: "events", firstId, unixMs, changes: Array.from({ length: count }, () => CLEARED) };
}

const beat = (lastId: bigint): KvFeedMessage => ({ kind: "heartbeat", lastId });

test("it waits for a moment and its turn, takes a snapshot, and is live", () => {
  const hand = new Hand();
  expect(hand.take({ kind: "start" }).map(nameOf)).toEqual(["know none"]);
  expect(hand.wakeMs).toBe(hand.limits.spreadMs / 2);
  expect(hand.wake().map(nameOf)).toEqual(["acquire"]);
  expect(hand.take({ kind: "permit" })).toContainEqual({ kind: "subscribe", fromId: 0n });
  expect(hand.hear(header(5n, true))).toContain("know recovering");
  expect(hand.hear(snapshot(5n, false))).toEqual(["reset", "apply 1"]);
  expect(hand.hear(snapshot(5n, true, 1))).toEqual(["apply 1", "release", "recovered snapshot", "know live"]);
  expect(hand.machine.knowledge).toEqual({ state: "live", reason: "", lagMs: undefined, behind: 0 });
});

test("after a snapshot the cursor is the worker's own last id", () => {
  const hand = new Hand().live(5n);
  expect(hand.hear(events(6n))).toEqual(["apply 1", "know live"]);
  expect(hand.machine.knowledge.lagMs).toBe(10);
});

test("what was applied is dropped, and the rest of the batch is applied", () => {
  const hand = new Hand().live(5n);
  expect(hand.hear(events(4n, 2))).toEqual(["dropped 2 stale"]);
  expect(hand.hear(events(5n, 3))).toEqual(["dropped 1 stale", "apply 2", "know live"]);
  expect(hand.hear(events(5n, 3))).toEqual(["dropped 3 stale"]);
});

test("after a gap the next id is asked for, and what is known stays", () => {
  const hand = new Hand().live(5n);
  hand.nowMs = 1_000;
  expect(hand.hear(events(8n, 2))).toEqual(["gap", "dropped 2 gap", "unsubscribe", "know recovering"]);
  expect(hand.machine.knowledge).toMatchObject({ behind: 4, reason: "Events 6 to 7 did not come." });
  expect(hand.ask()).toBe(6n);
  expect(hand.hear(header(9n, false))).not.toContain("reset");
  expect(hand.hear(events(6n, 2))).toEqual(["apply 2", "know recovering"]);
  expect(hand.hear(events(8n, 2))).toEqual(["apply 2", "release", "recovered replay", "know live"]);
  expect(hand.done.filter(({ kind }) => kind === "reset").length).toBe(1);
});

test("gaps are asked for no more often than may be", () => {
  const hand = new Hand({ steadyMs: 250 }).live(5n);
  const askedMs = hand.nowMs;
  hand.hear(events(8n));
  expect(hand.wakeMs).toBe(askedMs + 250);
  hand.nowMs = 10_000;
  hand.ask();
  hand.hear(header(8n, false));
  hand.hear(events(6n, 3));
  hand.nowMs = 20_000;
  hand.hear(events(10n));
  expect(hand.wakeMs).toBe(20_000 + hand.limits.spreadMs / 2);
});

test("a heartbeat shows events that did not come; one that is behind is doubted, not believed", () => {
  const hand = new Hand().live(5n);
  expect(hand.hear(beat(5n))).toEqual([]);
  expect(hand.hear(beat(7n))).toEqual(["gap", "unsubscribe", "know recovering"]);
  expect(hand.ask()).toBe(6n);
  hand.hear(header(7n, false));
  hand.hear(events(6n, 2));
  expect(hand.hear(beat(6n))).toEqual(["unsubscribe", "know recovering"]);
  expect(hand.ask()).toBe(8n);
  expect(hand.hear(header(7n, false))).toEqual(["release", "recovered replay", "know live"]);
});

test("ids that go back are a fault, and a snapshot repairs it", () => {
  const hand = new Hand().live(5n);
  hand.hear(beat(3n));
  hand.ask();
  expect(hand.hear(header(3n, true))).toContain("fault ids_back");
  expect(hand.state).toBe("none");
  expect(hand.ask()).toBe(0n);
  hand.hear(header(3n, true));
  hand.hear(snapshot(3n));
  expect(hand.hear(events(4n))).toContain("apply 1");
});

test("events before an answer are only remembered as told", () => {
  const hand = new Hand();
  hand.ask();
  expect(hand.hear(events(3n, 2))).toEqual(["dropped 2 early", "know none"]);
  hand.hear(header(2n, true));
  expect(hand.hear(snapshot(2n))).toEqual(["reset", "apply 1", "know recovering"]);
  expect(hand.machine.knowledge.behind).toBe(2);
  expect(hand.hear(events(3n, 2))).toContain("know live");
});

test("a subscription that ends is tried again from the next id on, later each time", () => {
  const hand = new Hand({ firstRetryMs: 200, longestRetryMs: 500 }).live(5n);
  const waits = [200, 400, 500].map((full) => {
    expect(hand.take({ kind: "ended", error: LOST }).map(nameOf)).toContain("failed");
    const waitMs = (hand.wakeMs ?? 0) - hand.nowMs;
    expect(hand.ask()).toBe(6n);
    return waitMs / full;
  });
  expect(waits).toEqual([0.75, 0.75, 0.75]);
  expect(hand.state).toBe("recovering");
});

test("tries that bring nothing are bounded: then all is forgotten, and asked for anew after a rest", () => {
  const hand = new Hand({ tries: 3, restMs: 9_000 }).live(5n);
  const ends = [1, 2, 3].map(() => {
    const names = hand.take({ kind: "ended", error: LOST }).map(nameOf);
    if (names.includes("failed")) hand.ask();
    return names;
  });
  expect(ends.map((names) => names.includes("reset"))).toEqual([false, false, true]);
  expect([hand.state, (hand.wakeMs ?? 0) - hand.nowMs]).toEqual(["none", 9_000]);
  expect(hand.machine.knowledge.reason).toBe(LOST.message);
  expect(hand.ask()).toBe(0n);
});

test("what would fail again is not tried at once", () => {
  const hand = new Hand();
  hand.ask();
  const error = new StatorError("UNSUPPORTED_FEATURE", { feature: "Events", detail: "there are none" });
  expect(hand.take({ kind: "ended", error }).map(nameOf)).toContain("failed, rests");
  expect((hand.wakeMs ?? 0) - hand.nowMs).toBe(hand.limits.restMs);
});

test("silence ends a subscription, and every word puts it off", () => {
  const hand = new Hand({ silenceMs: 5_000 }).live(5n);
  hand.nowMs += 4_999;
  hand.hear(beat(5n));
  expect((hand.wakeMs ?? 0) - hand.nowMs).toBe(5_000);
  expect(hand.wake().map(nameOf)).toEqual(["unsubscribe", "failed", "know recovering"]);
});

test("one who reads too slowly goes on where it was", () => {
  const hand = new Hand().live(5n);
  expect(hand.hear({ kind: "resume" })).toEqual(["unsubscribe", "know recovering"]);
  expect(hand.ask()).toBe(6n);
});

test("what cannot be read is a gap; if it comes again a snapshot passes it by", () => {
  const hand = new Hand().live(5n);
  const unreadable: KvFeedMessage = { kind: "unreadable", detail: "torn" };
  expect(hand.hear(unreadable)).toEqual(["dropped 1 unreadable", "unsubscribe", "know recovering"]);
  expect(hand.ask()).toBe(6n);
  hand.hear(header(6n, false));
  expect(hand.hear(unreadable)).toContain("failed");
  expect(hand.ask()).toBe(0n);
});

test("an unknown parent is a fault, and all is asked for", () => {
  const hand = new Hand().live(5n);
  hand.hear(events(6n));
  const names = hand.take({ kind: "applied", parentsUnknown: 1 }).map(nameOf);
  expect(names).toEqual(["fault parent_unknown", "unsubscribe", "failed", "know none"]);
  expect(hand.ask()).toBe(0n);
});

test("half a snapshot is nothing to go on from", () => {
  const hand = new Hand();
  hand.ask();
  hand.hear(header(5n, true));
  hand.hear(snapshot(5n, false));
  hand.take({ kind: "ended", error: LOST });
  expect([hand.state, hand.ask()]).toEqual(["none", 0n]);
});

test("a part of a snapshot that comes twice does nothing, and one that is missing is noticed at the next or at a heartbeat", () => {
  const begin = () => {
    const hand = new Hand();
    hand.ask();
    hand.hear(header(5n, true));
    hand.hear(snapshot(5n, false));
    return hand;
  };
  expect(begin().hear(snapshot(5n, false))).toEqual([]);
  const hand = begin();
  expect(hand.hear(snapshot(5n, true, 2))).toContain("failed");
  expect(hand.ask()).toBe(0n);
  expect(begin().hear(beat(5n))).toContain("failed");
});

test("without a header a subscription is given up, however much comes", () => {
  const hand = new Hand({ silenceMs: 5_000 });
  hand.ask();
  const dueMs = hand.wakeMs;
  hand.nowMs += 4_000;
  hand.hear(beat(5n));
  hand.hear(snapshot(5n));
  expect(hand.wakeMs).toBe(dueMs);
  expect(hand.wake().map(nameOf)).toContain("failed");
});

test("an announced snapshot that never began leaves what is known", () => {
  const hand = new Hand().live(5n);
  hand.take({ kind: "ended", error: LOST });
  hand.ask();
  hand.hear(header(9n, true));
  hand.take({ kind: "ended", error: LOST });
  expect([hand.state, hand.ask()]).toEqual(["recovering", 6n]);
});

test.each([
  ["scope", { blockTokens: 32 }],
  ["scope", { hashScheme: "other" }],
  ["incarnation", { incarnation: 8n }],
] as const)("a header of another %s is a fault", (fault, more) => {
  const hand = new Hand();
  hand.ask();
  expect(hand.hear(header(0n, true, more))).toContain(`fault ${fault}`);
});

test("a second header does nothing, and a snapshot that was not announced is a fault", () => {
  expect(new Hand().live(5n).hear(header(5n, true))).toEqual([]);
  const hand = new Hand().live(5n);
  hand.hear({ kind: "resume" });
  hand.ask();
  hand.hear(header(5n, false));
  expect(hand.hear(snapshot(5n))).toContain("fault order");
});

test("a replay where a snapshot was asked for is a fault, and so is a snapshot that removes", () => {
  const hand = new Hand();
  hand.ask();
  expect(hand.hear(header(5n, false))).toContain("fault order");
  hand.ask();
  hand.hear(header(5n, true));
  expect(hand.hear({ kind: "snapshot", changes: [CLEARED], part: 0, isLast: true, lastId: 5n })).toContain(
    "fault order",
  );
});

test("after several faults nothing that it says is used any more", () => {
  const hand = new Hand({ faults: 2 }).live(5n);
  hand.take({ kind: "applied", parentsUnknown: 1 });
  hand.live(6n);
  const names = hand.take({ kind: "applied", parentsUnknown: 1 }).map(nameOf);
  expect(names).toEqual(["fault parent_unknown at last", "unsubscribe", "reset", "know untrusted"]);
  expect(hand.machine.knowledge.reason).toContain("2 times");
  expect([hand.wake(), hand.hear(events(7n)), hand.take({ kind: "permit" })]).toEqual([[], [], []]);
});

test("faults are forgotten when none was seen for long", () => {
  const hand = new Hand({ faults: 2, forgiveMs: 60_000 }).live(5n);
  hand.take({ kind: "applied", parentsUnknown: 1 });
  hand.live(6n);
  hand.nowMs += 60_001;
  hand.take({ kind: "applied", parentsUnknown: 1 });
  expect(hand.state).toBe("none");
});

test("what comes of a subscription that was left does nothing", () => {
  const hand = new Hand().live(5n);
  hand.hear(events(9n));
  expect([hand.hear(events(6n)), hand.take({ kind: "ended", error: LOST })]).toEqual([[], []]);
});

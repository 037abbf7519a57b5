import { expect, test } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { createLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { FlatSink } from "../../test/support/kv-sink.ts";
import type { KvAsk, KvFeed, KvFeedListener } from "./feed.ts";
import { type FollowedWorker, openKvFollower } from "./follower.ts";
import { EVENTS_INSTRUMENTS } from "./instruments.ts";
import type { FollowLimits } from "./limits.ts";

const SCOPE = { blockTokens: 2, hashScheme: "test" };

interface Subscription extends KvFeedListener {
  readonly ask: KvAsk;
  isClosed: boolean;
}

/** Ways to workers on which nothing happens but what the test says. */
function open(limits: Partial<FollowLimits> = {}) {
  const clock = new FakeClock();
  const lines: string[] = [];
  const metrics = createMetrics([EVENTS_INSTRUMENTS], { processMetrics: false });
  const feeds = new Map<bigint, { subscriptions: Subscription[]; isClosed: boolean }>();
  const sinks = new Map<string, FlatSink>();
  const follower = openKvFollower<FollowedWorker>({
    connect({ worker }): KvFeed {
      const own = { subscriptions: [] as Subscription[], isClosed: false };
      feeds.set(worker, own);
      return {
        subscribe(ask, listener) {
          const subscription = { ask, ...listener, isClosed: false };
          own.subscriptions.push(subscription);
          return {
            close() {
              subscription.isClosed = true;
            },
          };
        },
        close() {
          own.isClosed = true;
        },
      };
    },
    sink({ worker, incarnation }, rank) {
      const sink = new FlatSink();
      sinks.set(`${worker} ${incarnation} ${rank}`, sink);
      return sink;
    },
    clock,
    chance: new SeededChance(1n),
    log: createLog({ level: "warn", pretty: false, write: (line) => void lines.push(line) }),
    metrics,
    limits,
  });
  const last = (worker: bigint) => feeds.get(worker)?.subscriptions.at(-1);
  const live = (worker: bigint, lastId = 0n) => {
    const { ask, onMessage } = last(worker)!;
    const { incarnation } = ask;
    onMessage({ kind: "header", incarnation, ...SCOPE, cacheDomain: undefined, lastId, isSnapshot: true });
    onMessage({ kind: "snapshot", changes: [], part: 0, isLast: true, lastId });
  };
  return { clock, follower, feeds, sinks, metrics, lines, last, live };
}

function worker(id: bigint, more: Partial<FollowedWorker> = {}): FollowedWorker {
  return { worker: id, incarnation: 1n, ranks: 1, scope: SCOPE, ...more };
}

test("only so many ranks catch up at a time", async () => {
  const { clock, follower, feeds, live, metrics } = open({ recoveries: 2, spreadMs: 4 });
  follower.follow([1n, 2n, 3n, 4n].map((id) => worker(id)));
  clock.advance(4);
  const asking = () => [...feeds].filter(([, { subscriptions }]) => subscriptions.length > 0).map(([id]) => id);
  expect(asking().length).toBe(2);
  expect(await metrics.print()).toContain("stator_events_queued 2");
  live(asking()[0]!);
  expect(asking().length).toBe(3);
  // One that leaves gives its turn to the next.
  const [, second] = asking();
  follower.follow([1n, 2n, 3n, 4n].filter((id) => id !== second).map((id) => worker(id)));
  expect(asking().length).toBe(4);
});

test("the fleet is compared: who is new is followed, who is gone or another is left", () => {
  const { clock, follower, feeds, sinks, last, live } = open();
  follower.follow([worker(1n), worker(2n, { ranks: 2 }), worker(3n, { scope: undefined })]);
  clock.advance(20);
  expect([...sinks.keys()]).toEqual(["1 1 0", "2 1 0", "2 1 1"]);
  expect(
    feeds
      .get(2n)!
      .subscriptions.map(({ ask }) => ask.rank)
      .sort(),
  ).toEqual([0, 1]);
  live(1n);
  const before = last(1n)!;
  follower.follow([worker(1n, { incarnation: 2n }), worker(2n, { ranks: 2 })]);
  expect([before.isClosed, sinks.get("1 1 0")!.knowledge?.state]).toEqual([true, "none"]);
  clock.advance(20);
  expect([last(1n)!.ask.incarnation, feeds.get(2n)!.isClosed]).toEqual([2n, false]);
  before.onMessage({ kind: "heartbeat", lastId: 5n });
  expect(sinks.get("1 1 0")!.heard.at(-1)?.behind, "nothing is heard of one that was left").toBe(0);
  follower.follow([worker(2n, { ranks: 2, scope: { ...SCOPE, blockTokens: 4 } })]);
  expect([follower.knowledge(1n, 0), follower.knowledge(2n, 1)?.state, follower.knowledge(2n, 2)]).toEqual([
    undefined,
    "none",
    undefined,
  ]);
  follower.close();
  expect([...feeds.values()].every(({ isClosed }) => isClosed)).toBe(true);
  expect(clock.pending).toBe(0);
});

test("a feed that is lost is tried again, and given up for a while after so many times", async () => {
  const { clock, follower, feeds, last, lines, metrics } = open({ tries: 3, firstRetryMs: 100, restMs: 5_000 });
  follower.follow([worker(1n)]);
  clock.advance(20);
  for (let at = 0; at < 3; at++) {
    last(1n)!.onEnd(new StatorError("UNAVAILABLE", { what: "The worker", detail: "gone" }));
    clock.advance(400);
  }
  expect([feeds.get(1n)!.subscriptions.length, lines.length]).toEqual([3, 1]);
  expect(follower.knowledge(1n, 0)?.reason).toContain("gone");
  clock.advance(5_000);
  expect(feeds.get(1n)!.subscriptions.length).toBe(4);
  expect(await metrics.print()).toContain("stator_events_failures_total 3");
});

test("silence ends a subscription, though every word puts it off", () => {
  const { clock, follower, feeds, last, live } = open({ silenceMs: 2_000, firstRetryMs: 100 });
  follower.follow([worker(1n)]);
  clock.advance(20);
  live(1n);
  for (let at = 0; at < 5; at++) {
    clock.advance(1_900);
    last(1n)!.onMessage({ kind: "heartbeat", lastId: 0n });
  }
  expect(feeds.get(1n)!.subscriptions.length).toBe(1);
  clock.advance(2_100);
  expect(feeds.get(1n)!.subscriptions.map(({ isClosed }) => isClosed)).toEqual([true, false]);
});

test("a worker that lies is counted, repaired, and at last not believed, with the reason", async () => {
  const { clock, follower, sinks, last, live, lines, metrics } = open({ faults: 2, firstRetryMs: 100, steadyMs: 50 });
  follower.follow([worker(1n)]);
  const lie = () => {
    clock.advance(500);
    live(1n, 4n);
    const hashes = BigUint64Array.of(9n);
    const place = { tier: "device", group: 0, hashes } as const;
    const more = { contents: hashes, parent: 8n, adapter: undefined, saltNamespace: 0n, media: [] };
    const good = { kind: "removed", ...place } as const;
    last(1n)!.onMessage({
      kind: "events",
      firstId: 5n,
      unixMs: 0,
      changes: [{ kind: "stored", ...place, ...more }, good],
    });
  };
  lie();
  expect(follower.knowledge(1n, 0)?.state).toBe("none");
  lie();
  const sink = sinks.get("1 1 0")!;
  expect(sink.knowledge).toMatchObject({ state: "untrusted", reason: expect.stringContaining("never told") });
  expect([last(1n)!.isClosed, lines.length]).toEqual([true, 2]);
  const text = await metrics.print();
  expect(text).toContain('stator_events_faults_total{fault="parent_unknown"} 2');
  expect(text).toContain('stator_events_applied_total{kind="stored",outcome="parent_unknown"} 2');
  // The rest of the batch was applied.
  expect(text).toContain('stator_events_applied_total{kind="removed",outcome="absent"} 2');
  expect(text).toContain('stator_events_ranks{state="untrusted"} 1');
});

import { afterEach, describe, expect, test } from "vitest";
import { SeededChance } from "#lib/base/chance";
import type { StatorError } from "#lib/base/errors";
import type { KvNotice } from "#lib/engines/engine";
import type { KvFeed, KvFeedMessage } from "#lib/events/feed";
import { openKvFollower } from "#lib/events/follower";
import { EVENTS_INSTRUMENTS } from "#lib/events/instruments";
import type { FollowLimits } from "#lib/events/limits";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { TokenHasher } from "#lib/tokens/block-hash";
import { KvSource, type KvSourceLimits } from "#lib/worker/kv-source";
import { FlatSink } from "../../support/kv-sink.ts";
import { until } from "../discovery-rig.ts";
import type { EventRig, OpenEventRig } from "./rigs.ts";

const SCOPE = { blockTokens: 2, hashScheme: "test" };
const WORKER = 9n;

/** Waits that suit a test on this machine. */
const QUICK: Partial<FollowLimits> = { firstRetryMs: 20, longestRetryMs: 50, steadyMs: 10, tries: 1_000 };

/** What one subscription heard. */
interface Heard {
  readonly messages: KvFeedMessage[];
  error: StatorError | undefined;
  isOver: boolean;
  close(): void;
}

function stored(parent: bigint | undefined, ...names: number[]): KvNotice {
  return {
    kind: "stored",
    parent,
    hashes: BigUint64Array.from(names, BigInt),
    tokens: Uint32Array.from(names.flatMap((name) => [name, name + 1])),
    cacheSalt: "",
    adapter: undefined,
  };
}

const removed = (...names: number[]): KvNotice => ({ kind: "removed", hashes: BigUint64Array.from(names, BigInt) });

/** What must hold of whatever carries the events of a worker. */
export function eventSuite(name: string, open: OpenEventRig): void {
  describe(`events over ${name}`, () => {
    const closers: (() => Promise<void> | void)[] = [];
    afterEach(async () => {
      for (const close of closers.splice(0).reverse()) await close();
    });

    async function start(limits: Partial<KvSourceLimits> = {}, ranks = 1) {
      const sources = Array.from({ length: ranks }, () => {
        const source = new KvSource({
          incarnation: 1n,
          hasher: new TokenHasher(),
          clock: systemClock,
          log: silentLog,
          limits: { heartbeatMs: 50, ...limits },
        });
        source.open({ ...SCOPE, totalBlocks: 100_000 });
        return source;
      });
      const rig = await open(sources);
      closers.push(() => rig.close());
      return { rig, sources, source: sources[0]! };
    }

    function subscribe(feed: KvFeed, ask: Partial<Parameters<KvFeed["subscribe"]>[0]> = {}): Heard {
      const heard: Heard = { messages: [], error: undefined, isOver: false, close: () => {} };
      const subscription = feed.subscribe(
        { rank: 0, incarnation: 1n, fromId: 0n, ...ask },
        {
          onMessage: (message) => void heard.messages.push(message),
          onEnd(error) {
            heard.error = error;
            heard.isOver = true;
          },
        },
      );
      heard.close = () => subscription.close();
      return heard;
    }

    function connect(rig: EventRig): KvFeed {
      const feed = rig.connect();
      closers.push(() => feed.close());
      return feed;
    }

    const kinds = ({ messages }: Heard) => messages.map(({ kind }) => kind).filter((kind) => kind !== "heartbeat");

    test("a header comes first, then a snapshot, then what happens", async () => {
      const { rig, source } = await start();
      source.publish(stored(undefined, 1, 2));
      const heard = subscribe(connect(rig));
      await until("the snapshot has come", () => kinds(heard).length === 2);
      expect(heard.messages[0]).toMatchObject({
        kind: "header",
        incarnation: 1n,
        ...SCOPE,
        lastId: 1n,
        isSnapshot: true,
      });
      expect(heard.messages[1]).toMatchObject({ kind: "snapshot", isLast: true, lastId: 1n });
      source.publish(removed(2));
      await until("the event has come", () => kinds(heard).length === 3);
      expect(heard.messages.find(({ kind }) => kind === "events")).toMatchObject({
        firstId: 2n,
        changes: [{ kind: "removed", hashes: BigUint64Array.of(2n), tier: "device", group: 0 }],
      });
    });

    test("what is remembered is replayed from the event on that was asked for", async () => {
      const { rig, source } = await start();
      for (let at = 0; at < 5; at++) source.publish({ kind: "cleared" });
      const heard = subscribe(connect(rig), { fromId: 4n });
      await until("the events have come", () => kinds(heard).length === 2);
      expect(heard.messages[0]).toMatchObject({ isSnapshot: false, lastId: 5n });
      expect(heard.messages[1]).toMatchObject({ kind: "events", firstId: 4n, changes: [{}, {}] });
    });

    test("what is not remembered, or not told yet, is answered with a snapshot", async () => {
      const { rig, source } = await start({ ringEvents: 2, gatherMs: 0 });
      for (let at = 0; at < 5; at++) {
        source.publish({ kind: "cleared" });
        source.remembers(1n);
      }
      const feed = connect(rig);
      for (const fromId of [2n, 9n]) {
        const heard = subscribe(feed, { fromId });
        await until("the snapshot has come", () => kinds(heard).length === 2);
        expect(heard.messages.slice(0, 2)).toMatchObject([{ isSnapshot: true }, { kind: "snapshot", lastId: 5n }]);
      }
    });

    test("a heartbeat tells the last event while nothing happens", async () => {
      const { rig, source } = await start();
      source.publish({ kind: "cleared" });
      const heard = subscribe(connect(rig));
      await until("it beats", () => heard.messages.some(({ kind }) => kind === "heartbeat"));
      expect(heard.messages.at(-1)).toEqual({ kind: "heartbeat", lastId: 1n });
    });

    test("another incarnation ends the subscription, and is not mistaken for the one that was", async () => {
      const { rig, source } = await start();
      const feed = connect(rig);
      const heard = subscribe(feed);
      await until("it has begun", () => kinds(heard).length === 2);
      source.restart(2n);
      await until("it is over", () => heard.isOver);
      expect(heard.error?.reason).toBe("STREAM_LOST");
      const late = subscribe(feed);
      await until("it is refused", () => late.isOver);
      expect(late.error?.reason).toBe("NOT_FOUND");
      const any = subscribe(feed, { incarnation: 0n });
      await until("it has begun", () => kinds(any).length === 2);
      expect(any.messages[0]).toMatchObject({ incarnation: 2n, lastId: 0n });
    });

    test("a rank that is not there is refused", async () => {
      const { rig } = await start();
      const heard = subscribe(connect(rig), { rank: 3 });
      await until("it is refused", () => heard.isOver);
      expect(heard.error).toMatchObject({
        reason: "INVALID_ARGUMENT",
        message: expect.stringContaining("ranks 0 to 0"),
      });
    });

    test("a subscription that is closed is gone at the worker", async () => {
      const { rig, source } = await start();
      const heard = subscribe(connect(rig));
      await until("it is heard", () => source.readers === 1);
      heard.close();
      await until("it is gone", () => source.readers === 0);
      expect(heard.isOver, "nothing is told to who left").toBe(false);
    });

    test("a way that is closed ends its subscriptions without a word", async () => {
      const { rig, source } = await start();
      const feed = connect(rig);
      const heard = subscribe(feed);
      await until("it has begun", () => kinds(heard).length === 2);
      feed.close();
      await until("it is gone", () => source.readers === 0);
      expect(heard.isOver).toBe(false);
    });

    test("ranks have events of their own", async () => {
      const { rig, sources } = await start({}, 2);
      sources[1]!.publish(stored(undefined, 1));
      const feed = connect(rig);
      const [first, second] = [subscribe(feed), subscribe(feed, { rank: 1 })];
      await until("both have begun", () => kinds(first).length === 2 && kinds(second).length === 2);
      expect([first, second].map(({ messages }) => messages[0])).toMatchObject([{ lastId: 0n }, { lastId: 1n }]);
    });

    test("a snapshot of many blocks comes whole, and more events than are remembered too when they are read", async () => {
      const { rig, source } = await start({ ringEvents: 64, batchBlocks: 512 });
      const blocks = 20_000;
      for (let from = 0; from < blocks; from += 100) {
        source.publish(stored(undefined, ...Array.from({ length: 100 }, (_, at) => 1 + from + at)));
      }
      const heard = subscribe(connect(rig));
      const last = () => heard.messages.findLast(({ kind }) => kind === "snapshot");
      await until("the snapshot has come", () => last()?.kind === "snapshot" && (last() as { isLast: boolean }).isLast);
      const told = heard.messages.flatMap((message) => (message.kind === "snapshot" ? message.changes : []));
      expect(told.reduce((sum, change) => sum + (change.kind === "stored" ? change.hashes.length : 0), 0)).toBe(blocks);
    });

    describe("a follower", () => {
      function follow(rig: EventRig, ranks = 1) {
        const sinks = Array.from({ length: ranks }, () => new FlatSink());
        const metrics = createMetrics([EVENTS_INSTRUMENTS], { processMetrics: false });
        const follower = openKvFollower({
          connect: () => rig.connect(),
          sink: (_, rank) => sinks[rank]!,
          clock: systemClock,
          chance: new SeededChance(3n),
          log: silentLog,
          metrics,
          limits: QUICK,
        });
        closers.push(() => follower.close());
        follower.follow([{ worker: WORKER, incarnation: 1n, ranks, scope: SCOPE }]);
        return { follower, sinks, sink: sinks[0]!, metrics };
      }

      test("has what the worker has, and hears what happens", async () => {
        const { rig, source } = await start();
        source.publish(stored(undefined, 1, 2, 3));
        const { sink, follower } = follow(rig);
        await until("it is live", () => sink.knowledge?.state === "live");
        expect(sink.hashes()).toEqual([1n, 2n, 3n]);
        source.publish(removed(3));
        source.publish(stored(2n, 4));
        await until("it has it", () => sink.hashes().length === 3 && !sink.hashes().includes(3n));
        expect(follower.knowledge(WORKER, 0)).toMatchObject({ state: "live", behind: 0, lagMs: expect.any(Number) });
        source.publish({ kind: "cleared" });
        await until("nothing is left", () => sink.held.size === 0);
      });

      test("goes on where it was after the way was cut, without beginning anew", async () => {
        const { rig, source } = await start();
        source.publish(stored(undefined, 1, 2));
        const { sink } = follow(rig);
        await until("it is live", () => sink.knowledge?.state === "live");
        await rig.cut();
        source.publish(stored(2n, 3));
        await until("it has it", () => sink.hashes().length === 3 && sink.knowledge?.state === "live");
        expect(sink.resets).toBe(1);
      });

      test("begins anew when more was missed than is remembered", async () => {
        const { rig, source } = await start({ ringEvents: 2 });
        source.publish(stored(undefined, 1, 2));
        const { sink } = follow(rig);
        await until("it is live", () => sink.knowledge?.state === "live");
        const cut = rig.cut();
        source.publish({ kind: "cleared" });
        for (let name = 10; name < 20; name++) {
          source.publish(stored(undefined, name));
          source.remembers(1n);
        }
        await cut;
        await until("it has it", () => sink.hashes().length === 10 && sink.knowledge?.state === "live");
      });

      test("follows another incarnation as another worker, and leaves one that is gone", async () => {
        const { rig, source } = await start();
        source.publish(stored(undefined, 1));
        const { sink, follower, metrics } = follow(rig);
        await until("it is live", () => sink.knowledge?.state === "live");
        source.restart(2n);
        follower.follow([{ worker: WORKER, incarnation: 2n, ranks: 1, scope: SCOPE }]);
        expect(sink.knowledge?.state).toBe("none");
        await until("it is live again", () => sink.knowledge?.state === "live");
        expect(await metrics.print()).toContain('stator_events_recoveries_total{way="snapshot"} 2');
        follower.follow([]);
        expect(follower.knowledge(WORKER, 0)).toBeUndefined();
        await until("the worker has no reader", () => source.readers === 0);
      });

      test("follows every rank", async () => {
        const { rig, sources } = await start({}, 2);
        sources[1]!.publish(stored(undefined, 5));
        const { sinks } = follow(rig, 2);
        await until("both are live", () => sinks.every(({ knowledge }) => knowledge?.state === "live"));
        expect(sinks.map((sink) => sink.hashes())).toEqual([[], [5n]]);
      });
    });
  });
}

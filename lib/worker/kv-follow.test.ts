import { expect, test } from "vitest";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { KvFeed } from "#lib/events/feed";
import { type FollowedWorker, openKvFollower } from "#lib/events/follower";
import { EVENTS_INSTRUMENTS } from "#lib/events/instruments";
import { createLossyFeed, type Losses } from "#lib/events/lossy-feed";
import { createMemoryFeed, type MemoryFeed } from "#lib/events/memory-feed";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { BlockPool, NO_BLOCK } from "#lib/kv/block-pool";
import { TokenHasher } from "#lib/tokens/block-hash";
import { FlatSink } from "../../test/support/kv-sink.ts";
import { eachSeed } from "../../test/support/seeds.ts";
import { serveKvSubscriber } from "./kv-event-service.ts";
import { KvSource } from "./kv-source.ts";

const WIDTH = 2;
const SCOPE = { blockTokens: WIDTH, hashScheme: "test" };
/** Time in which everything is known again: a heartbeat shows what is missing, or silence a subscription that is dead. */
const ROUND_MS = 12_000;

/** A worker with a pool of blocks whose names are their paths, and what tells of it. */
class SmallWorker implements FollowedWorker {
  readonly worker: bigint;
  readonly ranks = 1;
  readonly scope = SCOPE;
  incarnation = 1n;
  readonly source: KvSource;
  readonly #chance: Chance;
  readonly #pool: BlockPool;
  #removed: bigint[] = [];
  isAlive = true;

  constructor(worker: bigint, chance: Chance, clock: FakeClock) {
    this.worker = worker;
    this.#chance = chance;
    this.#pool = new BlockPool({ blocks: 6 + pick(chance, 20), onEvict: (_, hash) => void this.#removed.push(hash) });
    const limits = { ringEvents: 20, batchBlocks: 8 };
    this.source = new KvSource({ incarnation: 1n, hasher: new TokenHasher(), clock, log: silentLog, limits });
    this.source.open({ ...SCOPE, totalBlocks: this.#pool.totalBlocks });
  }

  /** A sequence comes and goes, or all is cleared. */
  act(): void {
    if (pick(this.#chance, 60) === 0) {
      this.#pool.clear();
      this.#removed = [];
      this.source.publish({ kind: "cleared" });
      return;
    }
    const path = Array.from({ length: 1 + pick(this.#chance, 5) }, () => 1 + pick(this.#chance, 3));
    const hashes = BigUint64Array.from(path, (_, at) => BigInt(path.slice(0, at + 1).join("")));
    const blocks = this.#pool.match(hashes);
    const from = blocks.length;
    for (const block of this.#pool.allocate(path.length - from) ?? []) {
      this.#pool.complete(block);
      blocks.push(this.#pool.register(block, hashes[blocks.length]!, blocks.at(-1) ?? NO_BLOCK));
    }
    this.#tellRemoved();
    if (blocks.length > from) {
      this.source.publish({
        kind: "stored",
        parent: from === 0 ? undefined : hashes[from - 1],
        hashes: hashes.slice(from, blocks.length),
        tokens: Uint32Array.from({ length: (blocks.length - from) * WIDTH }, (_, at) => path[from + (at >> 1)]!),
        cacheSalt: "",
        adapter: undefined,
      });
    }
    for (const block of blocks.toReversed()) this.#pool.release(block);
    this.#tellRemoved();
  }

  #tellRemoved(): void {
    if (this.#removed.length === 0) return;
    this.source.publish({ kind: "removed", hashes: BigUint64Array.from(this.#removed) });
    this.#removed = [];
  }

  /** Others took it for dead. */
  lapse(): void {
    this.source.restart(++this.incarnation);
  }

  /** What its pool has, sorted. */
  get hashes(): bigint[] {
    const hashes = this.source.snapshot().runs.flatMap(({ change }) => [...change.hashes]);
    if (hashes.some((hash) => this.#pool.find(hash) === undefined) || hashes.length !== this.#pool.registeredBlocks) {
      throw new Error("the source tells what the pool has");
    }
    return hashes.sort((left, right) => (left < right ? -1 : 1));
  }
}

/** Workers and one who follows them over ways that lose things. */
class World {
  readonly clock = new FakeClock();
  readonly chance: Chance;
  readonly workers: SmallWorker[] = [];
  readonly sinks = new Map<bigint, FlatSink>();
  readonly metrics = createMetrics([EVENTS_INSTRUMENTS], { processMetrics: false });
  readonly follower;
  readonly #feeds = new Map<bigint, MemoryFeed>();
  losses: Losses | undefined;
  #ids = 0n;

  constructor(seed: number) {
    this.chance = new SeededChance(BigInt(seed));
    const { clock, chance, metrics } = this;
    this.follower = openKvFollower<SmallWorker>({
      connect: (worker) => this.#connect(worker),
      sink: ({ worker }) => {
        const sink = new FlatSink();
        this.sinks.set(worker, sink);
        return sink;
      },
      ...{ clock, chance, metrics, log: silentLog },
      limits: { recoveries: 2 },
    });
  }

  #connect(worker: SmallWorker): KvFeed {
    const { clock, chance } = this;
    const feed = createMemoryFeed((channel) => {
      if (worker.isAlive) serveKvSubscriber(channel, { sources: [worker.source], clock });
      else channel.end(new StatorError("UNAVAILABLE", { what: "The worker", detail: "it is dead" }));
    }, clock);
    this.#feeds.set(worker.worker, feed);
    return createLossyFeed(feed, { chance, clock, losses: () => this.losses });
  }

  join(): void {
    this.workers.push(new SmallWorker(++this.#ids, this.chance, this.clock));
    this.follow();
  }

  kill(worker: SmallWorker): void {
    worker.isAlive = false;
    this.#feeds.get(worker.worker)?.cut();
    this.workers.splice(this.workers.indexOf(worker), 1);
  }

  cut(worker: SmallWorker): void {
    this.#feeds.get(worker.worker)?.cut();
  }

  follow(): void {
    // A copy: what is compared is the incarnation as it was told.
    this.follower.follow(
      this.workers.map((worker) => Object.assign(Object.create(worker), { incarnation: worker.incarnation })),
    );
  }

  expectTruth(when: string): void {
    for (const { worker, hashes } of this.workers) {
      const sink = this.sinks.get(worker)!;
      expect(sink.hashes(), `${when}, worker ${worker}`).toEqual(hashes);
      expect(sink.knowledge, `${when}, worker ${worker}`).toMatchObject({ state: "live", behind: 0, reason: "" });
    }
  }
}

test("events that are dropped, come twice or late are repaired within one round, through deaths and restarts", async () => {
  let [gaps, dropped] = [0, 0];
  const worlds: World[] = [];
  eachSeed(15, (seed) => {
    const world = new World(seed);
    worlds.push(world);
    const { chance, clock } = world;
    for (let at = 0; at < 3; at++) world.join();
    for (let round = 0; round < 4; round++) {
      world.losses = { drop: 0.01, duplicate: 0.01, late: 0.01, lateMs: 300 };
      for (let at = 0; at < 300; at++) {
        const worker = world.workers[pick(chance, world.workers.length)]!;
        worker.act();
        const fate = pick(chance, 150);
        if (fate === 0) world.cut(worker);
        if (fate === 1) {
          worker.lapse();
          world.follow();
        }
        if (fate === 2) {
          world.kill(worker);
          world.join();
        }
        clock.advance(pick(chance, 30));
      }
      world.losses = undefined;
      clock.advance(ROUND_MS);
      world.expectTruth(`round ${round}`);
    }
    world.follower.close();
    clock.advance(ROUND_MS);
    for (const { source } of world.workers) expect(source.readers, "nobody reads any more").toBe(0);
    expect(clock.pending, "nothing waits any more").toBe(0);
  });
  for (const { metrics } of worlds) {
    const text = await metrics.print();
    gaps += Number(/^stator_events_gaps_total (\d+)$/m.exec(text)?.[1] ?? 0);
    dropped += Number(/^stator_events_dropped_total\{why="stale"\} (\d+)$/m.exec(text)?.[1] ?? 0);
    expect(text).not.toMatch(/stator_events_faults_total\{/);
  }
  expect(Math.min(gaps, dropped), "there was something to repair").toBeGreaterThan(0);
});

import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { LinkRequestSchema } from "#gen/stator/worker/v1/link_pb";
import { PayloadService, ReleaseRequestSchema } from "#gen/stator/worker/v1/payload_pb";
import { SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { ProcessClock } from "#lib/base/process-clock";
import type { KvFeedMessage } from "#lib/events/feed";
import { silentLog } from "#lib/host/log";
import type { WorkerChannel } from "#lib/link/link";
import type { ServerChannel } from "#lib/rpc/dispatch";
import { TokenHasher } from "#lib/tokens/block-hash";
import { type KvSubscriberChannel, serveKvSubscriber } from "#lib/worker/kv-event-service";
import { KvSource } from "#lib/worker/kv-source";
import { Network } from "./network.ts";

describe("the network of a world", () => {
  let world: FakeClock;
  let network: Network;
  let said: string[];
  let source: KvSource;
  let server: {
    name: string;
    clock: ProcessClock;
    isOpen: boolean;
    accept(channel: WorkerChannel): void;
    acceptSubscriber(channel: KvSubscriberChannel): void;
    acceptCall(path: string, channel: ServerChannel): void;
  };
  let caller: { name: string; clock: ProcessClock };
  beforeEach(() => {
    world = new FakeClock();
    network = new Network(new SeededChance(1n));
    said = [];
    source = new KvSource({ incarnation: 1n, hasher: new TokenHasher(), clock: world, log: silentLog });
    source.open({ blockTokens: 1, hashScheme: "test", totalBlocks: 8_192 });
    caller = { name: "caller", clock: new ProcessClock(world) };
    server = {
      name: "server",
      clock: new ProcessClock(world),
      isOpen: true,
      accept(channel) {
        channel.receive({
          onMessage: ({ ping }) => void said.push(`ping ${ping?.nonce}`),
          onEnd: (error) => void said.push(`server hears ${error?.reason ?? "the end"}`),
        });
      },
      acceptSubscriber(channel) {
        serveKvSubscriber(channel, { sources: [source], clock: server.clock });
      },
      acceptCall(path, channel) {
        channel.end(new StatorError("NOT_FOUND", { what: path }));
      },
    };
    network.listen("here", server);
  });

  function connect() {
    const { channel } = network.connect(caller, "here");
    channel.receive({
      onMessage() {},
      onEnd: (error) => void said.push(`caller hears ${error?.reason ?? "the end"}`),
    });
    return { ping: (nonce: bigint) => channel.send(create(LinkRequestSchema, { ping: { nonce } })) };
  }

  it("brings messages in order, each after a while", () => {
    const { ping } = connect();
    for (const nonce of [1n, 2n, 3n]) ping(nonce);
    world.settle();
    expect(said).toEqual([]);
    world.advance(100);
    expect(said).toEqual(["ping 1", "ping 2", "ping 3"]);
    expect(() => network.connect(caller, "elsewhere")).toThrow(/no such host/);
  });

  it("tells both ends of a cut, and refuses where nobody listens", () => {
    connect();
    network.cut(caller, server);
    world.advance(100);
    expect(said.toSorted()).toEqual(["caller hears UNAVAILABLE", "server hears UNAVAILABLE"]);
    server.isOpen = false;
    connect();
    world.advance(100);
    expect(said.slice(2)).toEqual(["caller hears UNAVAILABLE"]);
  });

  it("tells nobody while it is silent, and brings what piled up when it passes again", () => {
    const { ping } = connect();
    network.silence(caller, server);
    ping(1n);
    connect().ping(2n);
    world.advance(10_000);
    expect([said, network.isHurt(server, caller)]).toEqual([[], true]);
    network.heal(server, caller);
    world.advance(100);
    expect([said.toSorted(), network.isHurt(server, caller)]).toEqual([["ping 1", "ping 2"], false]);
  });

  /** What a subscription hears of so many blocks, one every 20 ms. */
  function hear(blocks: number): KvFeedMessage[] {
    const heard: KvFeedMessage[] = [];
    const listener = { onMessage: (message: KvFeedMessage) => void heard.push(message), onEnd() {} };
    const feed = network.feed(caller, "here");
    const subscription = feed.subscribe({ rank: 0, incarnation: 1n, fromId: source.lastId + 1n }, listener);
    for (let block = 1; block <= blocks; block++) {
      const hashes = BigUint64Array.of(source.lastId + 1n);
      const tokens = Uint32Array.of(block);
      source.publish({ kind: "stored", parent: undefined, hashes, tokens, cacheSalt: "", adapter: undefined });
      world.advance(20);
    }
    world.advance(500);
    subscription.close();
    return heard;
  }

  it("brings events as they were told, and loses, repeats and delays some where it was spoiled", () => {
    const ids = (heard: readonly KvFeedMessage[]) =>
      heard.flatMap((message) => (message.kind === "events" ? Number(message.firstId) : []));
    const ascending = (all: readonly number[]) => all.toSorted((left, right) => left - right);
    const whole = ids(hear(100));
    expect(whole).toEqual(Array.from({ length: 100 }, (_, at) => at + 1));
    network.spoil(caller, { drop: 0.3 });
    const lossy = ids(hear(100));
    expect(lossy.length).toBeLessThan(90);
    expect(lossy).toEqual(ascending(lossy));
    expect([network.isSpoiled(caller), network.isSpoiled(server)]).toEqual([true, false]);
    network.restore(caller);
    network.spoil(caller, { duplicate: 0.3, lateMs: 100 });
    const repeated = ids(hear(100));
    expect(new Set(repeated).size).toBe(100);
    expect(repeated.length).toBeGreaterThan(110);
    network.restore(caller);
    network.spoil(caller, { late: 0.3, lateMs: 100 });
    const late = ids(hear(100));
    expect(new Set(late).size).toBe(100);
    expect(late).not.toEqual(ascending(late));
    network.restore(caller);
    expect(ids(hear(100))).toHaveLength(100);
  });

  it("carries calls, which wait while it is silent and end when their time is over", async () => {
    const transport = network.dial(caller, "here");
    const call = (timeoutMs: number) =>
      transport.unary(PayloadService.method.release, create(ReleaseRequestSchema, { sessionIds: ["s"] }), {
        timeoutMs,
      });
    const ends = async (calling: Promise<unknown>): Promise<unknown> => {
      const ended = calling.catch((error: StatorError) => error.reason);
      world.advance(1_000);
      return ended;
    };
    expect(await ends(call(500))).toBe("NOT_FOUND");
    expect(world.pending).toBe(0);
    network.silence(caller, server);
    expect(await ends(call(500))).toBe("DEADLINE");
    const open = call(5_000);
    network.heal(caller, server);
    expect(await ends(open)).toBe("NOT_FOUND");
    network.silence(caller, server);
    const closed = call(5_000);
    world.advance(100);
    transport.close();
    expect(await ends(closed)).toBe("UNAVAILABLE");
  });

  it("breaks the links of a process that is gone, when somebody can hear of it", () => {
    connect();
    server.clock.end();
    network.drop(server);
    world.advance(100);
    expect(said).toEqual(["caller hears UNAVAILABLE"]);
    server.clock = new ProcessClock(world);
    const silent = connect();
    network.silence(caller, server);
    server.clock.end();
    network.drop(server);
    silent.ping(1n);
    world.advance(10_000);
    expect(said).toHaveLength(1);
    network.heal(caller, server);
    world.advance(100);
    expect(said).toHaveLength(2);
  });
});

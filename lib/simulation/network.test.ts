import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { LinkRequestSchema } from "#gen/stator/worker/v1/link_pb";
import { SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { ProcessClock } from "#lib/base/process-clock";
import type { WorkerChannel } from "#lib/link/link";
import { Network } from "./network.ts";

describe("the network of a world", () => {
  let world: FakeClock;
  let network: Network;
  let said: string[];
  let server: { name: string; clock: ProcessClock; isOpen: boolean; accept(channel: WorkerChannel): void };
  let caller: { name: string; clock: ProcessClock };
  beforeEach(() => {
    world = new FakeClock();
    network = new Network(new SeededChance(1n));
    said = [];
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

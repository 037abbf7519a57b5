import type { DescMessage } from "@bufbuild/protobuf";
import { KvEventService } from "#gen/stator/worker/v1/kv_event_pb";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { type Chance, pick } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { ProcessClock } from "#lib/base/process-clock";
import type { Connection } from "#lib/dispatch/worker-seat";
import { subscribeOver } from "#lib/events/channel-feed";
import type { KvFeed } from "#lib/events/feed";
import { createLossyFeed, type Losses } from "#lib/events/lossy-feed";
import type { CallerChannel, WorkerChannel } from "#lib/link/link";
import type { ServerChannel } from "#lib/rpc/dispatch";
import { createMemoryWire, type MemoryWire, type MemoryWireOptions } from "#lib/rpc/memory-wire";
import { pathOf } from "#lib/rpc/service";
import type { MethodOf, Transport } from "#lib/rpc/transport";
import type { KvSubscriberChannel } from "#lib/worker/kv-event-service";
import { CallTransport, createCallWire, erased } from "./calls.ts";

/** A process on the network. */
export interface Host {
  /** By which paths are cut; no two in a world are alike. */
  readonly name: string;
  /** Calls wait while the process stands still, and are gone with it. */
  readonly clock: ProcessClock;
}

/** A host that others connect to. */
export interface Server extends Host {
  /** Takes new links; else they break. */
  readonly isOpen: boolean;
  /** Takes the worker's end of a new link. */
  accept(channel: WorkerChannel, peer: string): void;
  /** Takes the worker's end of a new subscription to its events. */
  acceptSubscriber(channel: KvSubscriberChannel): void;
  /** Takes the worker's end of a new call, by the path of its method. */
  acceptCall(path: string, channel: ServerChannel, peer: string): void;
}

/** One link or subscription between two hosts. */
interface Wire {
  readonly caller: Host;
  readonly worker: Host;
  readonly memory: Pick<MemoryWire<never, never>, "freeze" | "thaw" | "cut">;
}

const BOTH_WAYS = ["caller", "server"] as const;

const NO_LOSSES: Losses = { drop: 0, duplicate: 0, late: 0, lateMs: 0 };

/** Longest time that a message is under way, on most links and on a few. */
const DELAYS_MS = [1, 5, 5, 40] as const;

/**
 * The network of a world: each message is under way for a time drawn from the seed, in order within its direction. A path
 * between two hosts may be cut, which both ends notice, or fall silent, which nobody does; and of the events of caches that
 * come to a host it may lose some, bring some twice and some late.
 */
export class Network {
  readonly #chance: Chance;
  readonly #servers = new Map<string, Server>();
  readonly #wires = new Set<Wire>();
  /** Paths on which something does not arrive, by the names of their ends: nothing at all, or on links of then. */
  readonly #hurt = new Map<string, "whole" | "part">();
  /** What becomes of the events that come to a host, by its name. */
  readonly #losses = new Map<string, Losses>();

  /** Draws from the chance for as long as it lives. */
  constructor(chance: Chance) {
    this.#chance = chance;
  }

  /** Answers at an address from now on, in place of whoever did before. */
  listen(address: string, server: Server): void {
    this.#servers.set(address, server);
  }

  /** A channel to an address: one that breaks when nobody listens there. */
  connect(caller: Host, address: string): Connection & { readonly channel: CallerChannel } {
    const { input: up, output: down } = WorkerLinkService.method.link;
    const { memory } = this.#open(caller, address, {
      create: (clock, options) => createMemoryWire({ up, down }, clock, options),
      accept: (server, { server: channel }) => server.accept(channel, caller.name),
    });
    return { channel: memory.caller, close() {} };
  }

  /** The way to the events of whoever listens at an address; a wire of its own for each subscription. */
  feed(caller: Host, address: string): KvFeed {
    const { input: up, output: down } = KvEventService.method.subscribe;
    const feed: KvFeed = {
      subscribe: (ask, listener) => {
        const { memory, wire } = this.#open(caller, address, {
          create: (clock, options) => createMemoryWire({ up, down }, clock, options),
          accept: (server, { server: channel }) => server.acceptSubscriber(channel),
        });
        const subscription = subscribeOver(memory.caller, ask, {
          onMessage: listener.onMessage,
          onEnd: (error) => {
            this.#wires.delete(wire);
            listener.onEnd(error);
          },
        });
        return {
          close: () => {
            this.#wires.delete(wire);
            subscription.close();
          },
        };
      },
      close() {},
    };
    const losses = () => this.#losses.get(caller.name);
    return createLossyFeed(feed, { chance: this.#chance, clock: caller.clock.arrivals, losses });
  }

  /** The way of a host to the services at an address. */
  dial(caller: Host, address: string): Transport {
    const open = <I extends DescMessage, O extends DescMessage>(method: MethodOf<I, O>) => {
      const { memory, wire } = this.#open(caller, address, {
        create: (clock, options) => createCallWire(method, clock, options),
        accept: (server, call) => server.acceptCall(pathOf(method), erased(call.server), caller.name),
      });
      return { channel: memory.caller, onOver: () => void this.#wires.delete(wire) };
    };
    return new CallTransport(address, caller.clock, open);
  }

  #find(address: string): Server {
    const server = this.#servers.get(address);
    if (!server) throw new StatorError("UNAVAILABLE", { what: address, detail: "no such host" });
    return server;
  }

  #open<Memory extends Wire["memory"]>(
    caller: Host,
    address: string,
    about: {
      readonly create: (clock: Clock, options: MemoryWireOptions) => Memory;
      readonly accept: (server: Server, memory: Memory) => void;
    },
  ): { readonly memory: Memory; readonly wire: Wire } {
    const server = this.#find(address);
    const mostMs = DELAYS_MS[pick(this.#chance, DELAYS_MS.length)]!;
    // What nobody takes is broken by the network itself.
    const serverClock = (server.isOpen ? server : caller).clock.arrivals;
    const memory = about.create(caller.clock.arrivals, { delayMs: () => this.#chance.next() * mostMs, serverClock });
    const wire: Wire = { caller, worker: server, memory };
    this.#wires.add(wire);
    const isSilent = this.#hurt.get(path(caller, server)) === "whole";
    if (isSilent) for (const way of BOTH_WAYS) memory.freeze(way);
    if (server.isOpen) about.accept(server, memory);
    else if (!isSilent) this.#break(wire);
    return { memory, wire };
  }

  /** Of the events that come to a host so much is lost, repeated or late until `restore`, beside what was before. */
  spoil({ name }: Host, losses: Partial<Losses>): void {
    this.#losses.set(name, { ...NO_LOSSES, ...this.#losses.get(name), ...losses });
  }

  /** Whether events that come to a host are lost, repeated or late. */
  isSpoiled({ name }: Host): boolean {
    return this.#losses.has(name);
  }

  /** All events that come to a host arrive once and in order from now on. */
  restore({ name }: Host): void {
    this.#losses.delete(name);
  }

  /** Breaks every link between two hosts. */
  cut(one: Host, other: Host): void {
    for (const wire of this.#between(one, other)) this.#break(wire);
  }

  /** Nothing passes between two hosts until `heal`, or on the links that are there nothing to one end. */
  silence(one: Host, other: Host, ways: readonly ("caller" | "server")[] = BOTH_WAYS): void {
    this.#hurt.set(path(one, other), ways === BOTH_WAYS ? "whole" : "part");
    for (const { memory } of this.#between(one, other)) for (const way of ways) memory.freeze(way);
  }

  /** Whether something does not arrive between two hosts. */
  isHurt(one: Host, other: Host): boolean {
    return this.#hurt.has(path(one, other));
  }

  /** What piled up arrives. A link whose other end is gone is found broken. */
  heal(one: Host, other: Host): void {
    this.#hurt.delete(path(one, other));
    for (const wire of this.#between(one, other)) {
      if (wire.caller.clock.isGone || wire.worker.clock.isGone) this.#break(wire);
      else for (const way of BOTH_WAYS) wire.memory.thaw(way);
    }
  }

  /** A process is gone: its links break, and where nothing passes nobody hears of it yet. */
  drop(host: Host): void {
    for (const wire of [...this.#wires]) {
      if (wire.caller !== host && wire.worker !== host) continue;
      if (this.#hurt.get(path(wire.caller, wire.worker)) !== "whole") this.#break(wire);
    }
  }

  #break(wire: Wire): void {
    this.#wires.delete(wire);
    wire.memory.cut();
  }

  #between(one: Host, other: Host): Wire[] {
    const wanted = path(one, other);
    return [...this.#wires].filter(({ caller, worker }) => path(caller, worker) === wanted);
  }
}

function path(one: Host, other: Host): string {
  return [one.name, other.name].sort().join(" ");
}

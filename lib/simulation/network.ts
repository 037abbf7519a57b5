import { type Chance, pick } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import type { ProcessClock } from "#lib/base/process-clock";
import type { Connection } from "#lib/dispatch/worker-seat";
import type { CallerChannel, WorkerChannel } from "#lib/link/link";
import { createMemoryLink, type MemoryLink } from "#lib/link/memory-channel";

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
}

/** One link between two hosts. */
interface Wire {
  readonly caller: Host;
  readonly worker: Host;
  readonly memory: MemoryLink;
}

const BOTH_WAYS = ["caller", "worker"] as const;

/** Longest time that a message is under way, on most links and on a few. */
const DELAYS_MS = [1, 5, 5, 40] as const;

/**
 * The network of a world: each message is under way for a time drawn from the seed, in order within its direction. A path
 * between two hosts may be cut, which both ends notice, or fall silent, which nobody does.
 */
export class Network {
  readonly #chance: Chance;
  readonly #servers = new Map<string, Server>();
  readonly #wires = new Set<Wire>();
  /** Paths on which something does not arrive, by the names of their ends: nothing at all, or on links of then. */
  readonly #hurt = new Map<string, "whole" | "part">();

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
    const server = this.#servers.get(address);
    if (!server) throw new StatorError("UNAVAILABLE", { what: address, detail: "no such host" });
    const mostMs = DELAYS_MS[pick(this.#chance, DELAYS_MS.length)]!;
    // A link that nobody takes is broken by the network itself.
    const receiver = (server.isOpen ? server : caller).clock.arrivals;
    const memory = createMemoryLink(caller.clock.arrivals, () => this.#chance.next() * mostMs, receiver);
    const wire: Wire = { caller, worker: server, memory };
    this.#wires.add(wire);
    const isSilent = this.#hurt.get(path(caller, server)) === "whole";
    if (isSilent) for (const way of BOTH_WAYS) memory.freeze(way);
    if (server.isOpen) server.accept(memory.worker, caller.name);
    else if (!isSilent) this.#break(wire);
    return { channel: memory.caller, close() {} };
  }

  /** Breaks every link between two hosts. */
  cut(one: Host, other: Host): void {
    for (const wire of this.#between(one, other)) this.#break(wire);
  }

  /** Nothing passes between two hosts until `heal`, or on the links that are there nothing to one end. */
  silence(one: Host, other: Host, ways: readonly ("caller" | "worker")[] = BOTH_WAYS): void {
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

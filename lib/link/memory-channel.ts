import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import type { Clock } from "#lib/base/clock";
import { createMemoryWire } from "#lib/rpc/memory-wire";
import type { CallerChannel, WorkerChannel } from "./link.ts";

/** Two ends of a link in one process. Messages pass through their bytes, as they would over a network. */
export interface MemoryLink {
  /** For `openCallerLink`. */
  readonly caller: CallerChannel;
  /** For `openWorkerLink`. */
  readonly worker: WorkerChannel;
  /** Stops reading at one end, as a frozen process does: what is sent to it piles up at the sender. */
  freeze(end: "caller" | "worker"): void;
  /** Reads on, what has piled up first. */
  thaw(end: "caller" | "worker"): void;
  /** Cuts the wire: what is under way is lost and both ends hear the error. */
  cut(): void;
}

/**
 * A link in memory. What is sent is under way for as long as `delayMs` draws, until the end of this turn unless given, and
 * arrives by the clock of its receiver: a worker that is a process of its own brings one.
 */
export function createMemoryLink(clock: Clock, delayMs?: () => number, workerClock: Clock = clock): MemoryLink {
  const { input: up, output: down } = WorkerLinkService.method.link;
  const { caller, server, freeze, thaw, cut } = createMemoryWire({ up, down }, clock, {
    delayMs,
    serverClock: workerClock,
  });
  const nameOf = (end: "caller" | "worker") => (end === "caller" ? end : "server");
  return { caller, worker: server, freeze: (end) => freeze(nameOf(end)), thaw: (end) => thaw(nameOf(end)), cut };
}

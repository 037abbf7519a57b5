import { type Chance, pick } from "#lib/base/chance";
import { asStatorError, assert, StatorError } from "#lib/base/errors";
import type { ProcessClock } from "#lib/base/process-clock";
import { CHECKSUM_SEED } from "#lib/kv/checksum";
import { xxh3 } from "#lib/tokens/xxh3";
import type { CopyJob, CopyResult, CopyTicket, Mover, OwnRegion, PayloadSocket, PeerMemory } from "#lib/transfer/mover";
import type { Host, Network } from "./network.ts";

/** Longest time that a job of copies takes. */
const MOST_COPY_MS = 6;
/** What memory holds that was given back: nobody's blocks. */
const GARBAGE = 0xdb;

/** A process whose memory others may read. */
export interface MemoryHost extends Host {
  /** Draws how long copies take. */
  readonly chance: Chance;
}

/** A region as others find it. */
interface FoundRegion {
  readonly bytes: Uint8Array;
  /** Copies in this process that have it as their source or target. */
  uses: number;
  isClosed: boolean;
}

/** The memory of all processes of a world, by their numbers. */
export class Memories {
  readonly network: Network;
  readonly #movers = new Map<number, SimulatedMover>();

  constructor(network: Network) {
    this.network = network;
  }

  /** The mover of a process that begins now. `machine`: who shares memory with it; 0n shares with nobody. */
  open(host: MemoryHost, machine: bigint): SimulatedMover {
    const processId = this.#movers.size + 1;
    const mover = new SimulatedMover(this, { host, machine, processId });
    this.#movers.set(processId, mover);
    return mover;
  }

  /** The process of this number, if it lives on this machine. Throws UNAVAILABLE. */
  find(machine: bigint, processId: number): SimulatedMover {
    const mover = this.#movers.get(processId);
    if (!mover || mover.identity.host !== machine || mover.isGone) throw unreachable("there is no such process");
    return mover;
  }

  /** Whoever listens at a port. Throws UNAVAILABLE. */
  listener(port: number): SimulatedMover {
    const mover = this.#movers.get(port);
    if (!mover || mover.isGone || !mover.isListening) throw unreachable("nobody listens there");
    return mover;
  }
}

/** Memory of another process, as it was opened. */
class OpenedMemory implements PeerMemory {
  readonly sizeBytes: number;
  readonly region: FoundRegion;
  /** Throws why it cannot be read now; undefined: nothing comes, and nobody says so. */
  readonly look: () => "read" | "nothing";

  constructor(region: FoundRegion, sizeBytes: number, look: () => "read" | "nothing") {
    this.region = region;
    this.sizeBytes = sizeBytes;
    this.look = look;
  }

  close(): void {}
}

/**
 * The threads of one process that copy memory: of what others share, of what they let be read, and of what comes over a
 * socket. What is mapped stays when its process is gone; all else ends with it. A copy is made at one moment, some time
 * after it was ordered: what its owner wrote meanwhile is in it.
 */
export class SimulatedMover implements Mover {
  readonly identity: { readonly host: bigint; readonly processId: number; readonly processStart: bigint };
  isListening = false;
  readonly #memories: Memories;
  readonly #host: MemoryHost;
  readonly #regions = new Map<number, FoundRegion>();
  #copies = 0;
  #isForbidden = false;

  constructor(memories: Memories, about: { host: MemoryHost; machine: bigint; processId: number }) {
    const { host, machine, processId } = about;
    this.#memories = memories;
    this.#host = host;
    this.identity = { host: machine, processId, processStart: BigInt(Math.floor(host.clock.nowMs())) };
  }

  /** Whether the system lets it read no memory of others, but for what comes over sockets. */
  get isForbidden(): boolean {
    return this.#isForbidden;
  }

  /** It does not, or does, from now on. */
  forbid(isForbidden: boolean): void {
    this.#isForbidden = isForbidden;
  }

  get isGone(): boolean {
    return this.#host.clock.isGone;
  }

  /** Regions that were not given back. */
  get openRegions(): number {
    return [...this.#regions.values()].filter(({ isClosed }) => !isClosed).length;
  }

  openRegion(sizeBytes: number): OwnRegion {
    const id = this.#regions.size + 1;
    const region: FoundRegion = { bytes: new Uint8Array(sizeBytes), uses: 0, isClosed: false };
    this.#regions.set(id, region);
    const close = (): void => {
      assert(region.uses === 0 && !region.isClosed, "a region is given back once, and not while it is copied");
      region.isClosed = true;
      region.bytes.fill(GARBAGE);
    };
    return { id, bytes: region.bytes, memoryFile: id, address: BigInt(id) << 20n, close };
  }

  openShared({ processId, memoryFile, sizeBytes }: Parameters<Mover["openShared"]>[0]): PeerMemory {
    this.#requirePermission();
    const owner = this.#memories.find(this.identity.host, processId);
    return new OpenedMemory(owner.region(memoryFile, sizeBytes), sizeBytes, () => "read");
  }

  openProcess({ processId, address, sizeBytes }: Parameters<Mover["openProcess"]>[0]): PeerMemory {
    this.#requirePermission();
    const owner = this.#memories.find(this.identity.host, processId);
    return new OpenedMemory(owner.region(Number(address >> 20n), sizeBytes), sizeBytes, () => {
      this.#requirePermission();
      if (owner.isGone) throw unreachable("the process has ended");
      return "read";
    });
  }

  connect({ port, region, sizeBytes, deadlineMs }: Parameters<Mover["connect"]>[0]): Promise<PeerMemory> {
    const { clock } = this.#host;
    return new Promise((resolve, reject) => {
      try {
        const owner = this.#memories.listener(port);
        const look = () => this.#hear(owner);
        if (look() === "nothing") {
          clock.after(deadlineMs, () => reject(new StatorError("DEADLINE", { deadlineMs })));
          return;
        }
        const found = owner.region(region, sizeBytes);
        this.#later(() => resolve(new OpenedMemory(found, sizeBytes, look)));
      } catch (caught) {
        clock.after(0, () => reject(asStatorError(caught)));
      }
    });
  }

  listen(): Promise<PayloadSocket> {
    this.isListening = true;
    const close = () => {
      this.isListening = false;
    };
    return Promise.resolve({ port: this.identity.processId, token: new Uint8Array(16), close });
  }

  copy(job: CopyJob): CopyTicket {
    const { clock } = this.#host;
    const startMs = clock.nowMs();
    const done = Promise.withResolvers<CopyResult>();
    const target = this.#own(job.to);
    target.uses++;
    this.#copies++;
    let isOver = false;
    const end = (result: Pick<CopyResult, "status" | "copied"> & { readonly reason?: string }): void => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      target.uses--;
      this.#copies--;
      done.resolve({ reason: "", durationUs: (clock.nowMs() - startMs) * 1000, passes: 1, ...result });
    };
    const late = () => end({ status: "deadline", copied: 0, reason: "nothing came" });
    let timer = this.#later(() => {
      const result = this.#copyNow(job, target);
      if (result) end(result);
      else timer = clock.after(job.deadlineMs, late);
    });
    return { done: done.promise, cancel: () => end({ status: "cancelled", copied: 0 }) };
  }

  close(): void {
    assert(this.#copies === 0, "a mover is closed when no copy is under way");
  }

  /** A region of this process. Throws UNAVAILABLE where there is none of that size. */
  region(id: number, sizeBytes: number): FoundRegion {
    const region = this.#regions.get(id);
    if (region?.bytes.byteLength !== sizeBytes || region.isClosed) throw unreachable("it has no such region");
    return region;
  }

  /** Undefined: nothing comes. */
  #copyNow(job: CopyJob, target: FoundRegion): Pick<CopyResult, "status" | "copied" | "reason"> | undefined {
    const { from } = job;
    let source: FoundRegion;
    try {
      if (from instanceof OpenedMemory) {
        if (from.look() === "nothing") return undefined;
        source = from.region;
      } else source = this.#own(from as OwnRegion);
    } catch (caught) {
      return { status: "failed", copied: 0, reason: caught instanceof Error ? caught.message : "it failed" };
    }
    for (const [at, offset] of job.fromOffsets.entries()) {
      const start = Number(offset);
      const bytes = source.bytes.subarray(start, start + job.blockBytes);
      target.bytes.set(bytes, Number(job.toOffsets[at]));
      const isGood = job.checksums === undefined || xxh3(bytes, CHECKSUM_SEED) === job.checksums[at];
      if (!isGood) return { status: "corrupt", copied: at, reason: "a block is not what it should be" };
    }
    return { status: "done", copied: job.fromOffsets.length, reason: "" };
  }

  #own({ id }: Pick<OwnRegion, "id">): FoundRegion {
    const region = this.#regions.get(id);
    assert(region && !region.isClosed, "copies are made within regions that are open");
    return region;
  }

  #requirePermission(): void {
    if (this.#isForbidden) throw unreachable("the system forbids it");
  }

  /** What comes over a socket from another process. */
  #hear(owner: SimulatedMover): "read" | "nothing" {
    const { network } = this.#memories;
    if (network.isHurt(this.#host, owner.#host) || owner.#host.clock.isStill) return "nothing";
    if (owner.isGone || !owner.isListening) throw unreachable("the connection was lost");
    return "read";
  }

  #later(call: () => void): ReturnType<ProcessClock["after"]> {
    const { clock, chance } = this.#host;
    return clock.after(pick(chance, MOST_COPY_MS + 1), call);
  }
}

function unreachable(detail: string): StatorError {
  return new StatorError("UNAVAILABLE", { what: "The memory of the worker", detail });
}

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { assert, StatorError } from "#lib/base/errors";
import { type NativeAddon, nativeErrorCode } from "./addon.ts";
import type { NativeCopyDone, NativeMover, NativeMoverOptions, NativeProcess, NativeRegion } from "./mover.ts";
import { NIXL_SETTINGS, Nixl, type NixlNames, type NixlSettings } from "./nixl.ts";

/** How many, and for how long. */
export interface MoverSettings extends NativeMoverOptions {
  /** Jobs that run or wait; a further one fails at once. */
  readonly jobs: number;
}

/** What a mover puts up with unless it is told otherwise. */
export const MOVER_SETTINGS: MoverSettings = {
  copyThreads: 1,
  readers: 256,
  helloMs: 5000,
  stallMs: 60_000,
  jobs: 4096,
};

/** What became of a job: `CopyResult` of lib/transfer. */
interface Result {
  readonly status: Parameters<NativeCopyDone>[0];
  readonly copied: number;
  readonly reason: string;
  readonly durationUs: number;
  readonly passes: number;
}

class Region {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly memoryFile: number | undefined;
  readonly address: bigint;
  readonly #mover: NativeMover;

  constructor(mover: NativeMover, { id, bytes, memoryFile, address }: NativeRegion) {
    this.#mover = mover;
    this.id = id;
    this.bytes = bytes;
    this.memoryFile = memoryFile;
    this.address = address;
  }

  close(): void {
    this.#mover.closeRegion(this.id);
  }
}

class Peer {
  readonly source: number;
  readonly sizeBytes: number;
  readonly #mover: NativeMover;

  constructor(mover: NativeMover, source: number, sizeBytes: number) {
    this.#mover = mover;
    this.source = source;
    this.sizeBytes = sizeBytes;
  }

  close(): void {
    this.#mover.closeSource(this.source);
  }
}

/** Blocks of a job, as `CopyJob` of lib/transfer; both memories are of this mover. */
interface Job {
  readonly from: object;
  readonly to: object;
  readonly fromOffsets: BigUint64Array;
  readonly toOffsets: BigUint64Array;
  readonly blockBytes: number;
  readonly checksums: BigUint64Array | undefined;
  readonly deadlineMs: number;
}

const ENDED: Omit<Result, "status" | "reason"> = { copied: 0, durationUs: 0, passes: 0 };

/** Numeric addresses alone reach the addon: a name that nobody answers would hold its threads up. */
async function numericHost(host: string): Promise<string> {
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  return isIP(bare) ? bare : (await lookup(bare)).address;
}

function outOfMemory(error: unknown, sizeBytes: number): unknown {
  if (nativeErrorCode(error) !== "OUT_OF_MEMORY") return error;
  return new StatorError("LIMIT", { what: "Memory for transfers", limit: sizeBytes }, { cause: error });
}

/** The addon's mover as objects: `Mover` of lib/transfer. */
class AddonMover {
  readonly identity: NativeProcess;
  readonly #native: NativeMover;
  readonly #mostJobs: number;
  #jobs = 0;

  constructor(native: NativeMover, mostJobs: number) {
    this.#native = native;
    this.#mostJobs = mostJobs;
    this.identity = native.identity();
  }

  openRegion(sizeBytes: number): Region {
    try {
      return new Region(this.#native, this.#native.openRegion(sizeBytes));
    } catch (error) {
      throw outOfMemory(error, sizeBytes);
    }
  }

  /** Pins a region by a CUDA driver until it is closed. Rejects with the reason, one sentence; nothing has changed then. */
  async pin(region: object, driver: string): Promise<void> {
    assert(region instanceof Region, "a region of this mover is pinned");
    await this.#native.pinRegion(region.id, driver);
  }

  openShared(peer: {
    readonly processId: number;
    readonly processStart: bigint;
    readonly memoryFile: number;
    readonly sizeBytes: number;
  }): Peer {
    const { processId, processStart, memoryFile, sizeBytes } = peer;
    return new Peer(this.#native, this.#native.openShared(processId, processStart, memoryFile, sizeBytes), sizeBytes);
  }

  openProcess(peer: {
    readonly processId: number;
    readonly processStart: bigint;
    readonly address: bigint;
    readonly sizeBytes: number;
  }): Peer {
    const { processId, processStart, address, sizeBytes } = peer;
    return new Peer(this.#native, this.#native.openProcess(processId, processStart, address, sizeBytes), sizeBytes);
  }

  async connect(peer: {
    readonly host: string;
    readonly port: number;
    readonly token: Uint8Array;
    readonly region: number;
    readonly sizeBytes: number;
    readonly deadlineMs: number;
  }): Promise<Peer> {
    const { port, token, region, sizeBytes, deadlineMs } = peer;
    const host = await numericHost(peer.host);
    const source = await this.#native.connect(host, port, token, region, sizeBytes, deadlineMs);
    return new Peer(this.#native, source, sizeBytes);
  }

  async listen(at: { readonly host: string; readonly port: number }): Promise<{
    readonly port: number;
    readonly token: Uint8Array;
    close(): void;
  }> {
    const { id, port, token } = this.#native.listen(await numericHost(at.host), at.port);
    return { port, token, close: () => this.#native.closeSocket(id) };
  }

  copy(job: Job): { readonly done: Promise<Result>; cancel(): void } {
    if (this.#jobs >= this.#mostJobs) {
      const reason = `There are ${this.#jobs} copies under way already.`;
      return { done: Promise.resolve({ ...ENDED, status: "failed", reason }), cancel: () => {} };
    }
    const { promise, resolve } = Promise.withResolvers<Result>();
    const number = this.#submit(job, (status, copied, reason, durationUs, passes) => {
      this.#jobs--;
      resolve({ status, copied, reason, durationUs, passes });
    });
    this.#jobs++;
    return { done: promise, cancel: () => this.#native.cancel(number) };
  }

  #submit({ from, to, ...rest }: Job, done: NativeCopyDone): number {
    assert(to instanceof Region, "a copy goes into a region of this mover");
    if (from instanceof Region) return this.#native.copy({ ...rest, from: from.id, isRegion: true, to: to.id }, done);
    assert(from instanceof Peer, "a copy comes from a region or a peer of this mover");
    return this.#native.copy({ ...rest, from: from.source, isRegion: false, to: to.id }, done);
  }

  /** Opens an agent of NIXL, whose memories of others can be copied from like all. Rejects with UNSUPPORTED, and why. */
  async openNixl({ onNotice, ...settings }: Partial<NixlSettings> & NixlNames): Promise<Nixl<Peer>> {
    const native = await this.#native.openNixl({ ...NIXL_SETTINGS, ...settings }, onNotice);
    return new Nixl(native, (source, sizeBytes) => new Peer(this.#native, source, sizeBytes));
  }

  close(): void {
    this.#native.close();
  }
}

/** Opens the mover of the addon. Threads start with the first work that needs them. */
export function openNativeMover(addon: NativeAddon, settings: Partial<MoverSettings> = {}): AddonMover {
  const { jobs, ...options } = { ...MOVER_SETTINGS, ...settings };
  return new AddonMover(addon.openMover(options), jobs);
}

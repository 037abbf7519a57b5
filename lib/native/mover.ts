import type { NativeNixl, NativeNixlOptions, NixlListener } from "./nixl.ts";

/** Which process somebody is: numbers of processes are used again, so the start belongs to it. */
export interface NativeProcess {
  /** Equal for processes that can see each other: one machine, one boot, one space of processes. */
  readonly host: bigint;
  /** Its number there. */
  readonly processId: number;
  /** In ticks since boot. */
  readonly processStart: bigint;
}

/** Memory of this process that others may read. */
export interface NativeRegion {
  /** Its name, also on the wire; never used again. */
  readonly id: number;
  /** All of it, zeroed. */
  readonly bytes: Uint8Array;
  /** Descriptor of its sealed memory file; absent where there is none. */
  readonly memoryFile?: number;
  /** Where it begins in this process. */
  readonly address: bigint;
}

/** Blocks of equal size that are to be read. Arrays are copied. */
export interface NativeCopyJob {
  /** What is read: a region's number or a source's. */
  readonly from: number;
  /** Which of the two. */
  readonly isRegion: boolean;
  /** A region's number. */
  readonly to: number;
  /** Where each begins in what is read, in bytes; at most 65,536. */
  readonly fromOffsets: BigUint64Array;
  /** Where each begins in `to`, in bytes. */
  readonly toOffsets: BigUint64Array;
  /** Of each. */
  readonly blockBytes: number;
  /** XXH3-64 of each, seed 0x564b5453; undefined checks nothing. */
  readonly checksums: BigUint64Array | undefined;
  /** It is given up after so long. */
  readonly deadlineMs: number;
}

/** Hears what became of a job, once. */
export type NativeCopyDone = (
  status: "done" | "corrupt" | "cancelled" | "deadline" | "failed",
  copied: number,
  reason: string,
  durationUs: number,
  passes: number,
) => void;

/** How a mover is opened. */
export interface NativeMoverOptions {
  /** Threads that copy out of memory. They start with the first copy. */
  readonly copyThreads: number;
  /** Readers of a socket at one time; a further one is told so. */
  readonly readers: number;
  /** A reader that has not said who it is after so long is closed. */
  readonly helloMs: number;
  /** A reader that takes nothing of what it asked for during so long is closed. */
  readonly stallMs: number;
}

/** The mover of the addon: numbers in place of objects. Throws UNSUPPORTED, with the reason, where a way does not work. */
export interface NativeMover {
  /** Of this process. */
  identity(): NativeProcess;
  /** Throws OUT_OF_MEMORY. */
  openRegion(sizeBytes: number): NativeRegion;
  /** Throws INVALID_ARGUMENT while copies are under way. Bytes that are touched later are nobody's. */
  closeRegion(region: number): void;
  /**
   * Pins a region for copies to a device and from it, until it is closed; takes all of its memory. Rejects with LIBRARY_MISSING
   * or LIBRARY_MISMATCH where the CUDA driver at this path is none, with UNSUPPORTED where it refuses.
   */
  pinRegion(region: number, driver: string): Promise<void>;
  /** Maps the sealed memory file of another process. Returns a source. */
  openShared(processId: number, processStart: bigint, memoryFile: number, sizeBytes: number): number;
  /** Reads the memory of another process by process_vm_readv. Returns a source. */
  openProcess(processId: number, processStart: bigint, address: bigint, sizeBytes: number): number;
  /** Reads a region behind a socket; `host` is a numeric address. Resolves with a source. */
  connect(
    host: string,
    port: number,
    token: Uint8Array,
    region: number,
    sizeBytes: number,
    deadlineMs: number,
  ): Promise<number>;
  /** Ends what is under way, as failed. */
  closeSource(source: number): void;
  /** Gives out all regions, also those that are opened later; `host` is a numeric address. */
  listen(
    host: string,
    port: number,
  ): { readonly id: number; readonly port: number; readonly token: Uint8Array<ArrayBuffer> };
  /** Ends its readers and joins its thread. */
  closeSocket(socket: number): void;
  /** Returns the job's number. */
  copy(job: NativeCopyJob, done: NativeCopyDone): number;
  /** Does nothing when the job is over. */
  cancel(job: number): void;
  /**
   * Opens an agent of NIXL: some hundredths of a second at once for the library, some tenths on a thread. Throws
   * LIBRARY_MISSING or LIBRARY_MISMATCH, rejects with UNSUPPORTED.
   */
  openNixl(options: NativeNixlOptions, onNotice: NixlListener | undefined): Promise<NativeNixl>;
  /** Ends what is under way and joins all threads: waits for a block at most. */
  close(): void;
}

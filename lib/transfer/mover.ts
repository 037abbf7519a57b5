/** Memory of this process that others may read, and that blocks arrive in. */
export interface OwnRegion {
  /** Its name in this process, from 1. */
  readonly id: number;
  /** All of it. Not to be touched after `close`. */
  readonly bytes: Uint8Array;
  /** Descriptor of its sealed memory file; undefined where it has none, so that nobody can map it. */
  readonly memoryFile: number | undefined;
  /** Where it begins in this process. */
  readonly address: bigint;
  /** Gives it back. Throws while copies out of it or into it are under way here. */
  close(): void;
}

/** Memory of another process, by the way that it was opened. */
export interface PeerMemory {
  /** Its size. */
  readonly sizeBytes: number;
  /** Ends what is under way, as failed, and forgets it. */
  close(): void;
}

/** Blocks of equal size that are to be read. */
export interface CopyJob {
  /** Where they are. */
  readonly from: PeerMemory | OwnRegion;
  /** Where they go. */
  readonly to: OwnRegion;
  /** Where each begins in `from`, in bytes. */
  readonly fromOffsets: BigUint64Array;
  /** Where each begins in `to`, in bytes. */
  readonly toOffsets: BigUint64Array;
  /** Of each. */
  readonly blockBytes: number;
  /** XXH3-64 (seed CHECKSUM_SEED) of each; undefined checks nothing. */
  readonly checksums: BigUint64Array | undefined;
  /** It is given up after so long. */
  readonly deadlineMs: number;
}

/** What became of a job. No byte of `to` changes after it is known. */
export interface CopyResult {
  /** `corrupt`: the block behind the copied ones is not what its checksum says; `failed`: the way does not work. */
  readonly status: "done" | "corrupt" | "cancelled" | "deadline" | "failed";
  /** Leading blocks that are in place and right. */
  readonly copied: number;
  /** Why, one sentence; empty when done. */
  readonly reason: string;
  /** From its start on a thread to its end. */
  readonly durationUs: number;
  /** How often this process moved a byte of them, the kernel's copies into it among that: 1 where memory is mapped. */
  readonly passes: number;
}

/** A job that runs or waits for a thread. */
export interface CopyTicket {
  /** Never rejects. */
  readonly done: Promise<CopyResult>;
  /** Ends it between two blocks. `done` tells when. */
  cancel(): void;
}

/** Who a process is on its machine; fields as of stator.worker.v1.TransferAgent. */
export interface ProcessIdentity {
  /** Of the machine, and of the place for memory and processes; 0 shares nothing. */
  readonly host: bigint;
  /** Its number there. */
  readonly processId: number;
  /** When it began, in ticks since boot. */
  readonly processStart: bigint;
}

/** A socket that gives out this process's regions. */
export interface PayloadSocket {
  /** Where it listens. */
  readonly port: number;
  /** What a reader shows, 16 bytes, drawn anew for each socket. */
  readonly token: Uint8Array;
  /** Ends it and what is read through it. */
  close(): void;
}

/** Moves bytes on threads of its own; the event loop only gives orders. Throws where a way does not work, with the reason. */
export interface Mover {
  /** Of this process. */
  readonly identity: ProcessIdentity;
  /** Opens zeroed memory, in a sealed memory file where that works. Throws LIMIT when there is none. */
  openRegion(sizeBytes: number): OwnRegion;
  /** Maps a region of another process, to read alone. */
  openShared(
    peer: Omit<ProcessIdentity, "host"> & { readonly memoryFile: number; readonly sizeBytes: number },
  ): PeerMemory;
  /** Opens a region for process_vm_readv, and tries it. */
  openProcess(
    peer: Omit<ProcessIdentity, "host"> & { readonly address: bigint; readonly sizeBytes: number },
  ): PeerMemory;
  /** Opens a region of the process behind a socket. */
  connect(peer: {
    readonly host: string;
    readonly port: number;
    readonly token: Uint8Array;
    readonly region: number;
    readonly sizeBytes: number;
    readonly deadlineMs: number;
  }): Promise<PeerMemory>;
  /** Opens a socket; port 0 takes a free one. */
  listen(at: { readonly host: string; readonly port: number }): Promise<PayloadSocket>;
  /** Reads blocks, neighbours together; in the order in which jobs come. */
  copy(job: CopyJob): CopyTicket;
  /** Ends what is under way and joins the threads. Regions and memory of others are closed before. */
  close(): void;
}

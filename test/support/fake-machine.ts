import { StatorError } from "#lib/base/errors";
import { xxh3 } from "#lib/tokens/xxh3";
import type { CopyJob, CopyResult, Mover, OwnRegion, PayloadSocket, PeerMemory } from "#lib/transfer/mover";
import type { NixlAgent } from "#lib/transfer/nixl";
import { CHECKSUM_SEED } from "./fake-block-store.ts";

interface FakeMemory extends PeerMemory {
  readonly bytes: Uint8Array;
  readonly way: "shared" | "process" | "nixl" | "tcp";
}

/** A machine whose processes read each other's memory as movers do, all within one process. */
export class FakeMachine {
  readonly #movers: FakeMover[] = [];
  /** Sees each copy before it is done: may change bytes at the owner, or say what becomes of it. */
  onCopy: (job: CopyJob, way: FakeMemory["way"]) => Promise<CopyResult | undefined> | CopyResult | undefined = () =>
    undefined;
  /** Ways that cannot be opened. */
  readonly broken = new Set<FakeMemory["way"]>();
  /** Jobs that were done, by their way. */
  readonly jobs: FakeMemory["way"][] = [];
  /** Memory of others that is open. */
  opened = 0;

  /** One more process. */
  add(): FakeMover {
    const mover = new FakeMover(this, this.#movers.length + 1);
    this.#movers.push(mover);
    return mover;
  }

  /** Regions that are open. */
  get regions(): number {
    return this.#movers.reduce((sum, { regions }) => sum + regions.size, 0);
  }

  /** Opens the memory of a process. */
  open(way: FakeMemory["way"], find: (mover: FakeMover) => OwnRegion | undefined): FakeMemory {
    if (this.broken.has(way)) throw new StatorError("UNAVAILABLE", { what: way, detail: "it is forbidden here" });
    const region = this.#movers.map(find).find((found) => found !== undefined);
    if (!region) throw new StatorError("UNAVAILABLE", { what: way, detail: "there is no such process" });
    this.opened++;
    return { sizeBytes: region.bytes.byteLength, bytes: region.bytes, way, close: () => void this.opened-- };
  }

  async copy(job: CopyJob): Promise<CopyResult> {
    const from = job.from as FakeMemory;
    const said = await this.onCopy(job, from.way);
    if (said) return said;
    this.jobs.push(from.way);
    for (const [at, offset] of job.fromOffsets.entries()) {
      const bytes = from.bytes.subarray(Number(offset), Number(offset) + job.blockBytes);
      job.to.bytes.set(bytes, Number(job.toOffsets[at]));
      if (job.checksums && xxh3(bytes, CHECKSUM_SEED) !== job.checksums[at]) {
        return { status: "corrupt", copied: at, reason: "a checksum differs", durationUs: 1, passes: 1 };
      }
    }
    return { status: "done", copied: job.fromOffsets.length, reason: "", durationUs: 1, passes: 1 };
  }
}

class FakeMover implements Mover {
  readonly identity;
  readonly regions = new Map<number, OwnRegion>();
  readonly tokens = new Map<string, true>();
  readonly #machine: FakeMachine;
  #last = 0;

  constructor(machine: FakeMachine, processId: number) {
    this.#machine = machine;
    this.identity = { host: 77n, processId, processStart: BigInt(processId) };
  }

  openRegion(sizeBytes: number): OwnRegion {
    const id = ++this.#last;
    const bytes = new Uint8Array(sizeBytes);
    const region = { id, bytes, memoryFile: id, address: BigInt(id), close: () => void this.regions.delete(id) };
    this.regions.set(id, region);
    return region;
  }

  openShared(peer: { processId: number; memoryFile: number }): PeerMemory {
    return this.#machine.open("shared", (mover) =>
      mover.identity.processId === peer.processId ? mover.regions.get(peer.memoryFile) : undefined,
    );
  }

  openProcess(peer: { processId: number; address: bigint }): PeerMemory {
    return this.#machine.open("process", (mover) =>
      mover.identity.processId === peer.processId ? mover.regions.get(Number(peer.address)) : undefined,
    );
  }

  async connect(peer: { token: Uint8Array; region: number }): Promise<PeerMemory> {
    return this.#machine.open("tcp", (mover) =>
      mover.tokens.has(peer.token.join()) ? mover.regions.get(peer.region) : undefined,
    );
  }

  /** An agent of NIXL, which knows the machine's processes by their numbers. */
  nixl(): FakeNixl {
    return new FakeNixl(this.#machine, this);
  }

  async listen(): Promise<PayloadSocket> {
    const token = new Uint8Array(16).fill(this.identity.processId);
    this.tokens.set(token.join(), true);
    return { port: 1000 + this.identity.processId, token, close: () => void this.tokens.delete(token.join()) };
  }

  copy(job: CopyJob): { done: Promise<CopyResult>; cancel(): void } {
    return { done: this.#machine.copy(job), cancel() {} };
  }

  close(): void {
    if (this.regions.size > 0) throw new Error("regions are closed before their mover");
  }
}

/** Reads the regions of a process by the number in its metadata. */
class FakeNixl implements NixlAgent {
  /** Settles registrations. */
  beforeRegister: () => Promise<void> | void = () => {};
  isClosed = false;
  metadata = new Uint8Array();
  readonly #machine: FakeMachine;
  readonly #mover: FakeMover;

  constructor(machine: FakeMachine, mover: FakeMover) {
    this.#machine = machine;
    this.#mover = mover;
  }

  async register(region: OwnRegion): Promise<void> {
    await this.beforeRegister();
    this.metadata = Uint8Array.of(this.#mover.identity.processId, region.id);
  }

  async openPeer({ metadata, address }: { metadata: Uint8Array; address: bigint }): Promise<PeerMemory> {
    return this.#machine.open("nixl", (mover) =>
      mover.identity.processId === metadata[0] ? mover.regions.get(Number(address)) : undefined,
    );
  }

  async close(): Promise<void> {
    if (this.#mover.regions.size === 0) throw new Error("NIXL is closed before its regions");
    this.isClosed = true;
  }
}

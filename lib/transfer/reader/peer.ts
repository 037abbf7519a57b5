import type { TransferAgent, TransferRegion } from "#gen/stator/worker/v1/payload_pb";
import { StatorError } from "#lib/base/errors";
import type { Transport } from "#lib/rpc/transport";
import { MOST_REGIONS } from "../limits.ts";
import type { Mover, OwnRegion, PeerMemory } from "../mover.ts";
import type { Neighbours } from "../neighbours.ts";
import type { NixlAgent } from "../nixl.ts";
import { type Rung, readRungs } from "../rung.ts";
import { splitAddress } from "../session-message.ts";
import { RungLadder } from "./rung-ladder.ts";

/** What a peer's memory is opened with. */
export interface PeerDeps {
  /** Opens it. */
  readonly mover: Mover;
  /** Ways that the mover has. */
  readonly rungs: readonly Rung[];
  /** Those of this process. */
  readonly neighbours: Neighbours;
  /** Undefined where there is none. */
  readonly nixl: NixlAgent | undefined;
  /** The only way that is taken. */
  readonly forced: Rung | undefined;
  /** Opening a connection may take so long. */
  readonly connectMs: number;
}

/** Memory of a worker, as it was opened. */
export type Opened = PeerMemory | OwnRegion;

/** A worker whose blocks are read, as it was introduced: its memory is opened once by each way. */
export class Peer {
  readonly transport: Transport;
  readonly agent: TransferAgent;
  readonly ladder: RungLadder;
  /** When it was introduced. */
  readonly sinceMs: number;
  readonly #deps: PeerDeps;
  readonly #memories = new Map<string, Promise<Opened>>();
  #users = 0;
  #isClosed = false;

  constructor(introduced: { transport: Transport; agent: TransferAgent; sinceMs: number }, deps: PeerDeps) {
    this.transport = introduced.transport;
    this.agent = introduced.agent;
    this.sinceMs = introduced.sinceMs;
    this.#deps = deps;
    this.ladder = new RungLadder(this.#able(), readRungs(this.agent.rungs), deps.forced);
  }

  /** Whether it is being read. */
  get isUsed(): boolean {
    return this.#users > 0;
  }

  /** Whether it is on this machine. */
  get isHere(): boolean {
    const { host } = this.#deps.mover.identity;
    return host !== 0n && host === this.agent.host;
  }

  /** Somebody reads it until what is returned is called. */
  enter(): () => void {
    this.#users++;
    return () => {
      this.#users--;
      this.#settle();
    };
  }

  /** Opens all of its memory by a way, as it will be read. Throws why the way does not work. */
  async probe(rung: Rung): Promise<void> {
    if (rung === "grpc") return;
    for (const { id } of this.agent.regions.slice(0, MOST_REGIONS)) await this.memory(rung, id);
  }

  /** A region by a way. Throws why the way does not work. */
  memory(rung: Rung, region: number): Promise<Opened> {
    const key = `${rung} ${region}`;
    const opened = this.#memories.get(key) ?? this.#openMemory(rung, region);
    this.#memories.set(key, opened);
    opened.catch(() => this.#memories.delete(key));
    return opened;
  }

  /** Forgets its memory, as soon as nobody reads it. */
  close(): void {
    this.#isClosed = true;
    this.#settle();
  }

  #able(): readonly Rung[] {
    const isNeighbour = this.#deps.neighbours.find(this.agent.instanceId) !== undefined;
    return this.#deps.rungs.filter((rung) => {
      if (rung === "in-process") return isNeighbour;
      return this.isHere || (rung !== "shared-memory" && rung !== "process-memory");
    });
  }

  async #openMemory(rung: Rung, id: number): Promise<Opened> {
    const region = this.agent.regions.find((each) => each.id === id);
    if (!region) throw broken(`it told of no region ${id}`);
    const { mover, neighbours } = this.#deps;
    const { processId, processStart, instanceId } = this.agent;
    const sizeBytes = sizeOf(region);
    switch (rung) {
      case "in-process": {
        const found = neighbours.find(instanceId);
        if (found?.id !== id) throw broken("it is not in this process");
        return found;
      }
      case "shared-memory": {
        const { memoryFile } = region;
        if (memoryFile === undefined) throw broken("its memory has no file");
        return mover.openShared({ processId, processStart, memoryFile, sizeBytes });
      }
      case "process-memory":
        return mover.openProcess({ processId, processStart, address: region.address, sizeBytes });
      case "nixl":
        return this.#openNixl(region, sizeBytes);
      case "tcp":
        return this.#connect(id, sizeBytes);
      default:
        throw broken(`no memory is opened by ${rung}`);
    }
  }

  #openNixl({ address }: TransferRegion, sizeBytes: number): Promise<PeerMemory> {
    const { nixl } = this.#deps;
    const { nixlMetadata: metadata } = this.agent;
    if (!nixl || metadata.byteLength === 0) throw broken("one of both has no NIXL");
    return nixl.openPeer({ metadata, address, sizeBytes });
  }

  #connect(region: number, sizeBytes: number): Promise<PeerMemory> {
    const { mover, connectMs } = this.#deps;
    const { tcpAddress, tcpToken: token } = this.agent;
    if (tcpAddress === "") throw broken("it has no socket");
    return mover.connect({ ...splitAddress(tcpAddress), token, region, sizeBytes, deadlineMs: connectMs });
  }

  #settle(): void {
    if (!this.#isClosed || this.#users > 0) return;
    for (const opened of this.#memories.values()) {
      opened.then(
        (memory) => {
          // A neighbour's region is its own.
          if (!("memoryFile" in memory)) memory.close();
        },
        () => {},
      );
    }
    this.#memories.clear();
  }
}

function sizeOf({ bytes }: TransferRegion): number {
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) throw broken("a region is longer than any memory");
  return Number(bytes);
}

function broken(detail: string): StatorError {
  return new StatorError("UNAVAILABLE", { what: "The memory of the worker", detail });
}

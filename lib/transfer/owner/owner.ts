import type { MessageInitShape } from "@bufbuild/protobuf";
import type { KvSession } from "#gen/stator/worker/v1/link_pb";
import {
  type ExchangeRequest,
  PayloadService,
  type TransferAgent as TransferAgentMessage,
  type TransferAgentSchema,
} from "#gen/stator/worker/v1/payload_pb";
import { printId } from "#lib/base/bytes";
import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { asStatorError, assert, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { blockBytes } from "#lib/kv/layout";
import { createService, type ServedService } from "#lib/rpc/service";
import type { KeptPrompt, TransferEngine, TransferLoad, TransferPrompt } from "../agent.ts";
import { MOST_RELEASED, type TransferLimits } from "../limits.ts";
import type { Mover } from "../mover.ts";
import type { Neighbours } from "../neighbours.ts";
import { type NixlAgent, NixlLoan } from "../nixl.ts";
import { PullChannel } from "../pull-wire.ts";
import { type Rung, readRungs, rungNumber } from "../rung.ts";
import { hashesOf, printSession } from "../session-message.ts";
import { TransferMemory } from "../transfer-memory.ts";
import { LentTable } from "./lent-table.ts";
import { PinBook } from "./pin-book.ts";
import { servePull } from "./pull-server.ts";

/** Where this process's socket is. */
export interface SocketPlace {
  /** host:port, as others dial it. */
  readonly address: string;
  /** What a reader shows there. */
  readonly token: Uint8Array;
}

/** What an owner is made of. */
export interface OwnerDeps {
  /** Opens memory. */
  readonly mover: Mover;
  /** Ways that the mover has. */
  readonly rungs: readonly Rung[];
  /** Those of this process. */
  readonly neighbours: Neighbours;
  /** Bounds and times. */
  readonly limits: TransferLimits;
  /** Of leases. */
  readonly clock: Clock;
  /** Draws names of sessions. */
  readonly chance: Chance;
  /** Told what cannot be read. */
  readonly log: Log;
  /** With TRANSFER_INSTRUMENTS. */
  readonly metrics: Metrics;
  /** Undefined where there is none. */
  readonly socket: SocketPlace | undefined;
  /** Undefined where there is none; closed before the owner is. */
  readonly nixl: NixlAgent | undefined;
  /** Runs beside the caller; awaited before `close`. */
  spawn(name: string, run: () => Promise<void>): void;
}

/** What there is once the engine is open. */
interface Serving {
  readonly engine: TransferEngine;
  readonly table: LentTable;
  readonly memory: TransferMemory;
  readonly pins: PinBook;
  /** Undefined where nobody can read it so. */
  readonly nixl: NixlLoan | undefined;
  /** Takes its memory away from the neighbours. */
  readonly leave: () => void;
}

/** A worker's blocks, as others read them. */
export class Owner {
  readonly service: ServedService;
  readonly #deps: OwnerDeps;
  readonly #pulls = new Set<{ stop(error: StatorError): void }>();
  /** Called when nothing is kept any more. */
  readonly #emptied = new Set<() => void>();
  #serving: Serving | undefined;
  /** Why nothing is served any more. */
  #stopped: StatorError | undefined;

  constructor(deps: OwnerDeps) {
    this.#deps = deps;
    this.service = createService(PayloadService, {
      exchange: async ({ reader }) => ({ owner: await this.#introduce(reader) }),
      pull: {
        bytes: (channel) => {
          let served: Serving;
          try {
            served = this.#requireServing();
            if (this.#pulls.size >= 2 * deps.limits.maxSessions) throw tooMany(2 * deps.limits.maxSessions);
          } catch (caught) {
            channel.end(asStatorError(caught));
            return;
          }
          const { log, metrics } = deps;
          const onGiven = (rung: Rung, blocks: number) =>
            metrics.add("stator_transfer_given_blocks_total", blocks, { rung });
          const pull = servePull(new PullChannel(channel), { ...deps, ...served, log, onGiven }, () =>
            this.#pulls.delete(pull),
          );
          this.#pulls.add(pull);
        },
      },
      release: ({ sessionIds }) => {
        if (sessionIds.length > MOST_RELEASED) {
          throw new StatorError("INVALID_ARGUMENT", { detail: `session_ids: at most ${MOST_RELEASED}` });
        }
        this.release(sessionIds);
        return {};
      },
    });
  }

  /** As TransferAgent.serve. */
  serve(engine: TransferEngine, onFreed?: () => void): void {
    assert(!this.#serving, "an agent serves one engine");
    const { mover, limits, clock, log, metrics, neighbours, nixl } = this.#deps;
    const pins = new PinBook();
    const memory = new TransferMemory({
      ...{ mover, log, regionBytes: limits.regionBytes, maxWaiting: 2 * limits.maxSessions },
      blockBytes: blockBytes(engine.layout),
    });
    const table = new LentTable({
      lent: { store: engine.blocks, pins, maxPinned: Math.floor(limits.maxPinnedShare * engine.totalBlocks) },
      ...{ limits, clock },
      onEnd: (end) => {
        metrics.add("stator_transfer_sessions_total", 1, { end });
        if (table.open === 0) this.#tellEmptied();
        onFreed?.();
      },
    });
    const leave = neighbours.add(engine.identity().instanceId, memory.region);
    const loan = nixl && memory.isMovable ? { nixl, clock, log, patienceMs: limits.stallMs / 2 } : undefined;
    this.#serving = { engine, table, memory, pins, leave, nixl: loan && new NixlLoan(memory.region, loan) };
  }

  /** As TransferAgent.load. */
  get load(): TransferLoad {
    const { table, pins } = this.#serving ?? {};
    return { openSessions: table?.open ?? 0, pinnedBlocks: pins?.size ?? 0, isFull: table?.isFull ?? true };
  }

  /** Workers that wait in rooms. */
  get waiting(): number {
    return this.#serving?.table.waiting ?? 0;
  }

  /** As TransferAgent.announce. */
  announce(room: bigint, prompt: TransferPrompt): void {
    const { engine, table } = this.#requireServing();
    const hashes = hashesOf(prompt, engine.layout.blockTokens);
    table.announce({ id: this.#newId(), room, tokens: prompt.tokens, hashes });
  }

  /** As TransferAgent.progressed. */
  progressed(): void {
    this.#serving?.table.progressed();
  }

  /** As TransferAgent.keep. */
  keep({ firstTokens, room, ...prompt }: KeptPrompt): KvSession {
    const { engine, table } = this.#requireServing();
    const hashes = hashesOf(prompt, engine.layout.blockTokens);
    const lent = table.keep({ id: this.#newId(), room, tokens: prompt.tokens, hashes }, firstTokens);
    const { leaseMs } = this.#deps.limits;
    const kept = { sessionId: lent?.id ?? "", hashes: hashes.subarray(0, lent?.available ?? 0) };
    return printSession(engine, { ...kept, tokens: prompt.tokens, firstTokens, leaseMs });
  }

  /** As TransferAgent.fail. */
  fail(room: bigint, error: StatorError): void {
    this.#serving?.table.fail(room, error);
  }

  /** As TransferAgent.release. */
  release(sessionIds: readonly string[]): void {
    const table = this.#serving?.table;
    for (const id of sessionIds) {
      const lent = table?.session(id);
      if (lent) table?.end(lent, "released");
    }
  }

  /** As TransferAgent.emptied. */
  emptied(): Promise<void> {
    if (this.load.openSessions === 0) return Promise.resolve();
    return new Promise((resolve) => this.#emptied.add(resolve));
  }

  #tellEmptied(): void {
    for (const tell of this.#emptied) tell();
    this.#emptied.clear();
  }

  /** As TransferAgent.renewed. */
  renewed(error: StatorError): void {
    this.#serving?.table.clear(error);
  }

  /** Ends all sessions and pulls. */
  stop(error: StatorError): void {
    this.#stopped = error;
    this.#serving?.table.clear(error);
    for (const pull of [...this.#pulls]) pull.stop(error);
    this.#serving?.leave();
  }

  /** Gives the memory back; after what was spawned has ended. */
  close(): void {
    this.#serving?.memory.close();
  }

  #requireServing(): Serving {
    if (this.#stopped) throw this.#stopped;
    if (this.#serving) return this.#serving;
    throw new StatorError("MODEL_LOADING", { model: "of this worker" }, { retryAfterMs: 1000 });
  }

  #newId(): string {
    return printId(this.#deps.chance.id());
  }

  /** What this reader may know and use. */
  async #introduce(reader: ExchangeRequest["reader"]): Promise<MessageInitShape<typeof TransferAgentSchema>> {
    const { engine, memory, nixl } = this.#requireServing();
    if (!reader) throw new StatorError("INVALID_ARGUMENT", { detail: "reader: nothing was said" });
    const { mover, socket } = this.#deps;
    const { host, processId, processStart } = mover.identity;
    const { instanceId, incarnation } = engine.identity();
    const nixlMetadata = readRungs(reader.rungs).includes("nixl") ? await nixl?.metadata() : undefined;
    const rungs = this.#offer(reader, nixlMetadata !== undefined);
    const { id, bytes, memoryFile, address } = memory.region;
    const isHere = rungs.includes("shared-memory") || rungs.includes("process-memory");
    const hasAddress = isHere || nixlMetadata !== undefined;
    const hasSocket = rungs.includes("tcp");
    return {
      ...{ instanceId, incarnation, host, processId, processStart },
      rungs: rungs.map(rungNumber),
      regions: [
        {
          ...{ id, bytes: BigInt(bytes.byteLength) },
          ...(isHere ? { memoryFile } : {}),
          ...(hasAddress ? { address } : {}),
        },
      ],
      tcpAddress: hasSocket ? (socket?.address ?? "") : "",
      tcpToken: hasSocket ? socket?.token : undefined,
      nixlMetadata,
    };
  }

  #offer({ host, instanceId }: Pick<TransferAgentMessage, "host" | "instanceId">, nixl: boolean): Rung[] {
    const { mover, neighbours, socket, rungs } = this.#deps;
    const { region, isMovable } = this.#requireServing().memory;
    const isHere = isMovable && host !== 0n && host === mover.identity.host;
    const offered: Partial<Record<Rung, boolean>> = {
      "in-process": neighbours.find(instanceId) !== undefined,
      "shared-memory": isHere && region.memoryFile !== undefined,
      "process-memory": isHere && region.address !== 0n,
      nixl,
      tcp: isMovable && socket !== undefined,
      grpc: true,
    };
    return rungs.filter((rung) => offered[rung]);
  }
}

function tooMany(limit: number): StatorError {
  return new StatorError("LIMIT", { what: "The number of pulls", limit });
}

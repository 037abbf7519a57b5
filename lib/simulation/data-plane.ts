import { type Chance, pick } from "#lib/base/chance";
import { asStatorError, type StatorError } from "#lib/base/errors";
import type { Engine } from "#lib/engines/engine";
import { noTracer } from "#lib/host/telemetry";
import type { ServerChannel } from "#lib/rpc/dispatch";
import { serveCall } from "#lib/rpc/dispatch";
import { xxh3 } from "#lib/tokens/xxh3";
import type { TransferAgent, WorkerIdentity } from "#lib/transfer/agent";
import type { BlockStore } from "#lib/transfer/block-store";
import { TRANSFER_LIMITS, type TransferLimits } from "#lib/transfer/limits";
import { Neighbours } from "#lib/transfer/neighbours";
import { openTransferAgent } from "#lib/transfer/open-agent";
import { PLAIN_RUNGS, PlainMover } from "#lib/transfer/plain-mover";
import { RUNGS, type Rung } from "#lib/transfer/rung";
import { createHandOff, type HandOff } from "#lib/worker/handoff/hand-off";
import { erased, serverCall } from "./calls.ts";
import type { Memories, SimulatedMover } from "./memory.ts";
import { Meter } from "./meter.ts";
import type { SimulatedProcess } from "./process.ts";

/** How blocks move in a world. */
export interface TransferPlan {
  /** The only way that workers take; undefined: the best that works. */
  readonly rung: Rung | undefined;
  /** Memory for blocks on their way, each way. */
  readonly regionBytes: number;
  /** Where its workers may be; on 0n they have no addon and share nothing. */
  readonly machines: readonly bigint[];
}

/** Short, so that what lapses does so while others look; all of them end long before a request is given up. */
const LIMITS = {
  leaseMs: 2_000,
  deadlineMs: 3_000,
  stallMs: 1_000,
  roomMs: 6_000,
  promoteMs: 2_000,
  batchBytes: 0,
} as const;
/** Few, so that workers are full at times. */
const MOST_SESSIONS = 12;
/** Where workers are that take the best way, and those that take one alone: it would be of no use where they have it not. */
const MACHINES = {
  best: [1n, 1n, 1n, 1n, 2n, 0n],
  "shared-memory": [1n],
  "process-memory": [1n],
  tcp: [1n, 2n],
  grpc: [1n, 0n],
} as const;

/** How blocks move in one world: through memory that is mostly too small. */
export function drawTransfer(chance: Chance): TransferPlan {
  const rungs = ["shared-memory", "process-memory", "tcp", "grpc"] as const;
  const rung = pick(chance, 2) === 0 ? rungs[pick(chance, rungs.length)] : undefined;
  return { rung, regionBytes: 1_024 << pick(chance, 5), machines: MACHINES[rung ?? "best"] };
}

/** What a worker's data plane is made of. It owns nothing of this. */
export interface DataPlaneParts {
  /** The worker's. */
  readonly process: SimulatedProcess;
  /** How blocks move. */
  readonly plan: TransferPlan;
  /** Where the memory of others is. */
  readonly memories: Memories;
}

/** The real agent of one worker on the network of a world, and what of it a world can break and look at. */
export class DataPlane {
  readonly meter: Meter;
  readonly agent: TransferAgent;
  /** Undefined where the worker shares no memory. */
  readonly mover: SimulatedMover | undefined;
  handOff: HandOff | undefined;
  readonly #process: SimulatedProcess;

  private constructor(
    process: SimulatedProcess,
    agent: TransferAgent,
    parts: { meter: Meter; mover: SimulatedMover | undefined },
  ) {
    this.#process = process;
    this.agent = agent;
    this.meter = parts.meter;
    this.mover = parts.mover;
  }

  /** Opens the agent of a process. */
  static async open({ process, plan, memories }: DataPlaneParts): Promise<DataPlane> {
    const { chance, clock, log, network, name } = process;
    const { machines, ...moves } = plan;
    const machine = machines[pick(chance, machines.length)]!;
    const mover = machine === 0n ? undefined : memories.open(process, machine);
    const meter = new Meter();
    const limits: TransferLimits = { ...TRANSFER_LIMITS, ...LIMITS, ...moves, maxSessions: MOST_SESSIONS };
    const agent = await openTransferAgent({
      mover: mover ?? new PlainMover(),
      rungs: mover ? RUNGS : PLAIN_RUNGS,
      hashBytes: xxh3,
      // Each worker is a process of its own.
      neighbours: new Neighbours(),
      listen: mover && { host: name, port: 0 },
      ...{ clock, chance, log, metrics: meter.metrics, limits },
      dial: (address) => network.dial(process, address),
    });
    return new DataPlane(process, agent, { meter, mover });
  }

  /**
   * Lends the blocks of an engine; their bytes depend on the weights, which `modelDigest` names. While `isSpoiled` says so
   * bytes that others read are wrong now and then, behind the checksums that were made of them.
   */
  serve(
    engine: Engine,
    about: {
      readonly modelDigest: Uint8Array;
      readonly isSpoiled: () => boolean;
      identity(): WorkerIdentity;
      onFreed(): void;
    },
  ): void {
    const { layout, contextTokens, totalBlocks, hashScheme } = engine.card;
    const { blocks } = engine;
    if (!blocks || !layout || contextTokens === undefined || totalBlocks === undefined) return;
    const { modelDigest, isSpoiled, identity, onFreed } = about;
    const lent = this.#spoiled(blocks, isSpoiled);
    this.agent.serve({ blocks: lent, modelDigest, totalBlocks, layout, hashScheme, identity }, onFreed);
    const { scope } = this.#process;
    this.handOff = createHandOff({ agent: this.agent, scope, tracer: noTracer, contextTokens });
  }

  /** Answers a call of PayloadService. */
  accept(path: string, channel: ServerChannel, peer: string): void {
    const served = this.agent.service.methods.find((method) => method.path === path);
    if (served) serveCall(served, erased(channel), serverCall(served, peer));
  }

  /** Ends all of it. What must not be is told. */
  async close(error: StatorError): Promise<string[]> {
    try {
      await this.agent.close(error);
    } catch (caught) {
      return [`its data plane does not close: ${asStatorError(caught).message}`];
    }
    const regions = this.mover?.openRegions ?? 0;
    return regions > 0 ? [`${regions} regions are open when its data plane is closed`] : [];
  }

  #spoiled(store: BlockStore, isSpoiled: () => boolean): BlockStore {
    const { chance } = this.#process;
    return {
      get places() {
        return store.places;
      },
      count: (hashes) => store.count(hashes),
      pin: (hashes) => store.pin(hashes),
      open: (wanted) => store.open(wanted),
      read: async (run, from, into) => {
        const checksums = await store.read(run, from, into);
        const [first] = into;
        if (first && isSpoiled() && pick(chance, 2) === 0) first[pick(chance, first.byteLength)]! ^= 1;
        return checksums;
      },
    };
  }
}

import { SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import type { KvLayout } from "#lib/kv/layout";
import { blockBytes } from "#lib/kv/layout";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import type { ServedService } from "#lib/rpc/service";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import { xxh3 } from "#lib/tokens/xxh3";
import type { TransferAgent, TransferPrompt } from "#lib/transfer/agent";
import { TRANSFER_INSTRUMENTS } from "#lib/transfer/instruments";
import { TRANSFER_LIMITS, type TransferLimits } from "#lib/transfer/limits";
import type { Mover } from "#lib/transfer/mover";
import { Neighbours } from "#lib/transfer/neighbours";
import type { NixlAgent } from "#lib/transfer/nixl";
import { openTransferAgent } from "#lib/transfer/open-agent";
import { RUNGS, type Rung } from "#lib/transfer/rung";
import { FakeBlockStore } from "./fake-block-store.ts";
import { FakeMachine } from "./fake-machine.ts";

/** Of all engines here unless asked otherwise; a block has 1 KiB. */
export const LAYOUT: KvLayout = {
  layers: 2,
  blockTokens: 4,
  keyRowBytes: 64,
  valueRowBytes: 64,
  elementType: "f16",
  engineFormat: "fake-1",
  order: "layer-kind",
};

/** The same with blocks of 64 KiB. */
export const WIDE: KvLayout = { ...LAYOUT, keyRowBytes: 4096, valueRowBytes: 4096 };

const MODEL = new Uint8Array(32).fill(7);

/** How one worker differs from the others. */
export interface WorkerSaid {
  readonly limits?: Partial<TransferLimits>;
  readonly layout?: KvLayout;
  readonly modelDigest?: Uint8Array;
  readonly hashScheme?: string;
  readonly totalBlocks?: number;
  readonly incarnation?: bigint;
  /** The next number unless given; others in another process. */
  readonly instanceId?: bigint;
  /** One of the machine unless given. */
  readonly mover?: Mover;
  /** That of the mover. */
  readonly nixl?: NixlAgent;
  /** Ways of the mover; all, but nixl only with an agent of it, unless given. */
  readonly rungs?: readonly Rung[];
  /** Another one of this process. */
  readonly isNeighbour?: boolean;
}

/** A worker that moves blocks. */
export interface TransferWorker {
  readonly agent: TransferAgent;
  readonly store: FakeBlockStore;
  readonly address: string;
  readonly instanceId: bigint;
  incarnation: bigint;
  /** The value of an instrument, of one label's value where it is given. */
  metric(name: keyof typeof TRANSFER_INSTRUMENTS, label?: string): Promise<number>;
}

/** Workers on one machine, over gRPC on this one. Times are told by `clock`, which moves only when told. */
export class TransferRig {
  readonly clock = new FakeClock();
  readonly machine = new FakeMachine();
  readonly warnings: string[] = [];
  readonly #neighbours = new Neighbours();
  readonly #closes: (() => Promise<void>)[] = [];
  #workers = 0;

  /** Opens a worker and its engine. */
  async add(said: WorkerSaid = {}): Promise<TransferWorker> {
    const { layout = LAYOUT, totalBlocks = 1024, modelDigest = MODEL } = said;
    const number = said.instanceId ?? BigInt(++this.#workers);
    const metrics = createMetrics([TRANSFER_INSTRUMENTS], { processMetrics: false });
    const store = new FakeBlockStore({ blockTokens: layout.blockTokens, blockBytes: blockBytes(layout), totalBlocks });
    const agent = await openTransferAgent({
      mover: said.mover ?? this.machine.add(),
      nixl: said.nixl,
      rungs: said.rungs ?? RUNGS.filter((rung) => rung !== "nixl" || said.nixl),
      neighbours: said.isNeighbour ? this.#neighbours : new Neighbours(),
      dial: (address) => new Channel(address, loopbackCredentials, systemClock),
      hashBytes: xxh3,
      listen: { host: "127.0.0.1", port: 0 },
      limits: { ...TRANSFER_LIMITS, regionBytes: 32 * blockBytes(layout), batchBytes: 0, ...said.limits },
      ...{ clock: this.clock, chance: new SeededChance(number), log: this.#log(), metrics },
    });
    const server = await serve([agent.service]);
    const worker: TransferWorker = {
      ...{ agent, store, address: server.address, instanceId: number, incarnation: said.incarnation ?? 100n + number },
      async metric(name, label) {
        const lines = (await metrics.print()).split("\n").filter((line) => line.startsWith(name));
        const found = lines.find((line) => label === undefined || line.includes(`"${label}"`));
        return Number(found?.split(" ").at(-1) ?? 0);
      },
    };
    agent.serve({
      ...{ blocks: store, totalBlocks, layout, modelDigest, hashScheme: said.hashScheme ?? HASH_SCHEME },
      identity: () => ({ instanceId: number, incarnation: worker.incarnation, address: server.address }),
    });
    this.#closes.push(async () => {
      await agent.close(new StatorError("DRAINING", { what: "The worker" }));
      await server.close();
    });
    return worker;
  }

  /** Ends all. */
  async close(): Promise<void> {
    await Promise.all(this.#closes.map((close) => close()));
  }

  #warn(phrase: string, { error }: { error?: StatorError } = {}): void {
    this.warnings.push(error?.reason === "CONTRACT_MISMATCH" ? `${phrase}: ${error.message}` : phrase);
  }

  #log(): Log {
    return { ...silentLog, warn: (phrase, fields) => this.#warn(phrase, fields) };
  }
}

/** Serves on a free port of this machine. */
export function serve(services: readonly ServedService[]) {
  const usual = { credentials: loopbackCredentials, clock: systemClock, log: silentLog };
  const metrics = { add() {}, set() {}, observe() {}, onScrape: () => () => {}, print: async () => "" };
  return openServer({ ...usual, metrics, host: "127.0.0.1", port: 0, services });
}

/** So many tokens, others for another start. */
export function promptOf(tokens: number, start = 1, cacheSalt = ""): TransferPrompt {
  return { tokens: Uint32Array.from({ length: tokens }, (_, at) => start + at), cacheSalt, adapter: undefined };
}

/** Fetches with nothing that ends it. */
export function fetchOptions(): { signal: AbortSignal } {
  return { signal: new AbortController().signal };
}

import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { asStatorError, assert, type StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { Scope } from "#lib/host/scope";
import type { Transport } from "#lib/rpc/transport";
import type { TransferAgent, TransferEngine } from "./agent.ts";
import type { TransferLimits } from "./limits.ts";
import type { Mover, PayloadSocket } from "./mover.ts";
import type { Neighbours } from "./neighbours.ts";
import type { NixlAgent } from "./nixl.ts";
import { Owner } from "./owner/owner.ts";
import { PinnedStaging, type Pinner } from "./pinned-staging.ts";
import type { HashBytes } from "./reader/block-converter.ts";
import { Peers } from "./reader/peers.ts";
import { Reader } from "./reader/reader.ts";
import { RUNGS, type Rung, rungNumber } from "./rung.ts";
import { joinAddress } from "./session-message.ts";

/** What an agent is made of. */
export interface TransferAgentOptions {
  /** Moves bytes; closed with the agent. */
  readonly mover: Mover;
  /** Ways that the mover and `nixl` have: `RUNGS` with both, `PLAIN_RUNGS` without the addon. */
  readonly rungs: readonly Rung[];
  /** Those of this process; one for all of its agents. */
  readonly neighbours: Neighbours;
  /** Opens a session of its own to a worker's gRPC port; the agent closes it. */
  dial(address: string): Transport;
  /** Where the socket of the mover listens, and the host that others dial where that is another one; undefined: no socket. */
  readonly listen:
    | { readonly host: string; readonly port: number; readonly advertised?: string | undefined }
    | undefined;
  /** That of the mover, closed with the agent; undefined where there is none. */
  readonly nixl?: NixlAgent | undefined;
  /** Pins memory of the mover for devices; undefined where nothing can. */
  readonly pinner?: Pinner | undefined;
  /** Looks at blocks that are converted; the addon's. */
  readonly hashBytes: HashBytes;
  /** What is bounded and decided. */
  readonly limits: TransferLimits;
  /** Of leases and deadlines. */
  readonly clock: Clock;
  /** Draws names of sessions. */
  readonly chance: Chance;
  /** Told of ways that fail and of slow ones. */
  readonly log: Log;
  /** With TRANSFER_INSTRUMENTS. */
  readonly metrics: Metrics;
}

/** Opens the agent of a worker. A socket that cannot be opened is a way less, told in the log. */
export async function openTransferAgent(options: TransferAgentOptions): Promise<TransferAgent> {
  const { mover, listen, rungs, log } = options;
  if (!listen || !rungs.includes("tcp")) return new Agent(options, undefined);
  try {
    const socket = await mover.listen({ host: listen.host, port: listen.port });
    return new Agent(options, socket);
  } catch (caught) {
    log.warn("no socket for blocks", { host: listen.host, port: listen.port, error: asStatorError(caught) });
    return new Agent(options, undefined);
  }
}

class Agent implements TransferAgent {
  readonly #options: TransferAgentOptions;
  readonly #owner: Owner;
  readonly #socket: PayloadSocket | undefined;
  readonly #scope: Scope;
  readonly #fetches = new Set<Promise<unknown>>();
  readonly #ending = new AbortController();
  readonly #offScrape: () => void;
  #staging: PinnedStaging | undefined;
  #reader: { readonly reader: Reader; readonly peers: Peers } | undefined;

  constructor(options: TransferAgentOptions, socket: PayloadSocket | undefined) {
    const { listen, log, metrics, rungs, nixl } = options;
    this.#options = options;
    this.#socket = socket;
    this.#scope = new Scope("transfer", log);
    this.#owner = new Owner({
      ...options,
      nixl,
      socket: socket &&
        listen && { address: joinAddress(listen.advertised ?? listen.host, socket.port), token: socket.token },
      spawn: (name, run) => this.#scope.spawn(name, run),
    });
    for (const rung of RUNGS) metrics.set("stator_transfer_rungs", rungs.includes(rung) ? 1 : 0, { rung });
    this.#offScrape = metrics.onScrape(() => {
      metrics.set("stator_transfer_sessions", this.load.openSessions);
      metrics.set("stator_transfer_pinned_blocks", this.load.pinnedBlocks);
      metrics.set("stator_transfer_waiting", this.#owner.waiting);
    });
  }

  get service() {
    return this.#owner.service;
  }

  get load() {
    return this.#owner.load;
  }

  serve(engine: TransferEngine, onFreed?: () => void): void {
    const { limits, rungs, metrics, mover, nixl, log, pinner } = this.#options;
    this.#owner.serve(engine, onFreed);
    this.#staging = PinnedStaging.open(limits.pin, engine.blocks.staging, { mover, pinner, log, metrics });
    const peers = new Peers({
      ...this.#options,
      ...{ forced: limits.rung, connectMs: limits.stallMs, nixl },
      introduce: () => {
        const { instanceId, incarnation } = engine.identity();
        return { instanceId, incarnation, ...mover.identity, rungs: rungs.map(rungNumber) };
      },
      onDemoted: (rung) => metrics.add("stator_transfer_demotions_total", 1, { rung }),
    });
    const spawn = (name: string, run: () => Promise<void>) => this.#scope.spawn(name, run);
    this.#reader = { peers, reader: new Reader({ ...this.#options, engine, peers, spawn }) };
  }

  announce: TransferAgent["announce"] = (room, prompt) => this.#owner.announce(room, prompt);
  progressed: TransferAgent["progressed"] = () => this.#owner.progressed();
  keep: TransferAgent["keep"] = (prompt) => this.#owner.keep(prompt);
  fail: TransferAgent["fail"] = (room, error) => this.#owner.fail(room, error);
  release: TransferAgent["release"] = (sessionIds) => this.#owner.release(sessionIds);
  emptied: TransferAgent["emptied"] = () => this.#owner.emptied();
  renewed: TransferAgent["renewed"] = (error) => this.#owner.renewed(error);

  fetch: TransferAgent["fetch"] = async (from, prompt, options) => {
    assert(this.#reader, "blocks are fetched for an open engine");
    const signal = AbortSignal.any([options.signal, this.#ending.signal]);
    const fetching = this.#reader.reader.fetch(from, prompt, { ...options, signal });
    this.#fetches.add(fetching);
    try {
      return await fetching;
    } finally {
      this.#fetches.delete(fetching);
    }
  };

  async close(error: StatorError): Promise<void> {
    this.#offScrape();
    this.#ending.abort(error);
    this.#owner.stop(error);
    await Promise.allSettled(this.#fetches);
    this.#reader?.peers.close();
    await this.#scope.close();
    this.#socket?.close();
    await this.#options.nixl?.close();
    await this.#staging?.close();
    this.#reader?.reader.close();
    this.#owner.close();
    this.#options.mover.close();
  }
}

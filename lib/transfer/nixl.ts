import type { Clock } from "#lib/base/clock";
import { asStatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { OwnRegion, PeerMemory } from "./mover.ts";

/** This process's agent of NIXL: `Nixl` of lib/native. Its memories of others are copied from by its mover. */
export interface NixlAgent {
  /** What others need for reading the regions that were registered last; empty before the first one. */
  readonly metadata: Uint8Array;
  /** Lets others read a region, until the agent is closed. Rejects with the reason. */
  register(region: OwnRegion): Promise<unknown>;
  /** Opens a region of a peer. Rejects where its metadata are not those of another agent. */
  openPeer(peer: {
    readonly metadata: Uint8Array;
    readonly address: bigint;
    readonly sizeBytes: number;
  }): Promise<PeerMemory>;
  /** Ends what is under way, as failed. Before the regions are closed. */
  close(): Promise<void>;
}

/** What a region is lent by NIXL with. */
export interface NixlLoanDeps {
  /** Registers it. */
  readonly nixl: NixlAgent;
  /** Of `patienceMs`. */
  readonly clock: Clock;
  /** Told when it cannot be lent. */
  readonly log: Log;
  /** Who asks meanwhile is answered without NIXL after so long. */
  readonly patienceMs: number;
}

/** A region that others may read by NIXL, as soon as it is registered. */
export class NixlLoan {
  readonly #registering: Promise<Uint8Array | undefined>;
  readonly #deps: NixlLoanDeps;

  constructor(region: OwnRegion, deps: NixlLoanDeps) {
    this.#deps = deps;
    this.#registering = this.#register(region);
  }

  /** What a reader needs for it; undefined where it cannot be lent, or not yet. */
  async metadata(): Promise<Uint8Array | undefined> {
    const { clock, patienceMs } = this.#deps;
    const late = Promise.withResolvers<undefined>();
    const timer = clock.after(patienceMs, () => late.resolve(undefined));
    try {
      return await Promise.race([this.#registering, late.promise]);
    } finally {
      timer.cancel();
    }
  }

  async #register(region: OwnRegion): Promise<Uint8Array | undefined> {
    const { nixl, log } = this.#deps;
    try {
      await nixl.register(region);
      return nixl.metadata;
    } catch (caught) {
      log.warn("no memory that others could read by NIXL", { error: asStatorError(caught) });
      return undefined;
    }
  }
}

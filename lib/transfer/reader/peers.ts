import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ExchangeRequestSchema, PayloadService, type TransferAgentSchema } from "#gen/stator/worker/v1/payload_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Transport } from "#lib/rpc/transport";
import { MOST_PEERS, type TransferLimits } from "../limits.ts";
import type { Rung } from "../rung.ts";
import { Peer, type PeerDeps } from "./peer.ts";

/** What workers are found and introduced with. */
export interface PeersDeps extends PeerDeps {
  /** Times. */
  readonly limits: TransferLimits;
  /** Tells when a way is tried again. */
  readonly clock: Clock;
  /** Told of ways that fail and of slow ones. */
  readonly log: Log;
  /** A session of its own to a worker's gRPC port. */
  dial(address: string): Transport;
  /** This worker, as it introduces itself. */
  introduce(): MessageInitShape<typeof TransferAgentSchema>;
  /** A way to a worker has failed. */
  onDemoted(rung: Rung): void;
}

/** A worker at an address; the transport stays when it is introduced anew. */
interface Known {
  readonly transport: Transport;
  peer: Promise<Peer>;
  /** Once it is there. */
  settled: Peer | undefined;
  /** When something was wanted of it last. */
  usedMs: number;
}

/** The workers whose blocks are read: each is introduced once, and again when a way to it had failed some time ago. */
export class Peers {
  readonly #deps: PeersDeps;
  readonly #known = new Map<string, Known>();
  #isClosed = false;
  #timer: Timer | undefined;

  constructor(deps: PeersDeps) {
    this.#deps = deps;
  }

  /** The worker at an address. Throws STREAM_LOST when its incarnation is another one, 0 being any; UNAVAILABLE when nobody is there. */
  async find(address: string, incarnation: bigint): Promise<Peer> {
    if (this.#isClosed) throw new StatorError("UNAVAILABLE", { what: address, detail: "this worker is closing" });
    let known = this.#known.get(address);
    if (!known) known = this.#meet(address);
    else if (known.settled && this.#isStale(known.settled, incarnation)) this.#meetAgain(address, known);
    this.#known.delete(address);
    this.#known.set(address, known);
    known.usedMs = this.#deps.clock.nowMs();
    this.#sweepLater(this.#deps.limits.idleMs);
    const peer = await known.peer;
    if (incarnation !== 0n && incarnation !== peer.agent.incarnation) {
      throw new StatorError("STREAM_LOST", { detail: "the worker that kept the session has ended" });
    }
    return peer;
  }

  /** A way to a worker does not work: the next one's turn, until the worker is introduced anew. */
  demote(peer: Peer, rung: Rung, error: StatorError): void {
    if (!peer.ladder.demote(rung)) return;
    const { log, onDemoted } = this.#deps;
    log.warn("a way to a worker's blocks does not work", { worker: peer.transport.target, rung, error });
    onDemoted(rung);
    this.#tellSlow(peer);
  }

  /** Forgets all. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const address of [...this.#known.keys()]) this.#forget(address);
  }

  #isStale({ agent, ladder, sinceMs }: Peer, incarnation: bigint): boolean {
    const { clock, limits } = this.#deps;
    if (incarnation !== 0n && incarnation !== agent.incarnation) return true;
    return ladder.isLowered && clock.nowMs() - sinceMs >= limits.promoteMs;
  }

  #meet(address: string): Known {
    const transport = this.#deps.dial(address);
    const usedMs = this.#deps.clock.nowMs();
    const known: Known = { transport, peer: this.#exchange(transport), settled: undefined, usedMs };
    this.#known.set(address, known);
    this.#settle(address, known);
    for (const [other, { settled }] of this.#known) {
      if (this.#known.size <= MOST_PEERS) break;
      if (settled && !settled.isUsed) this.#forget(other);
    }
    return known;
  }

  #meetAgain(address: string, known: Known): void {
    known.settled?.close();
    known.settled = undefined;
    known.peer = this.#exchange(known.transport);
    this.#settle(address, known);
  }

  #sweepLater(inMs: number): void {
    this.#timer ??= this.#deps.clock.after(inMs, () => this.#sweep());
  }

  /** A worker that has gone is asked nothing any more: its memory would stay as long as this process has it open. */
  #sweep(): void {
    const { clock, limits } = this.#deps;
    this.#timer = undefined;
    const isIdle = ({ settled, usedMs }: Known): boolean =>
      settled !== undefined && !settled.isUsed && clock.nowMs() - usedMs >= limits.idleMs;
    for (const [address, known] of this.#known) if (isIdle(known)) this.#forget(address);
    const [oldest] = this.#known.values();
    if (!oldest) return;
    const leftMs = oldest.usedMs + limits.idleMs - clock.nowMs();
    this.#sweepLater(leftMs > 0 ? leftMs : limits.idleMs);
  }

  #settle(address: string, known: Known): void {
    const { peer } = known;
    peer.then(
      (settled) => {
        if (this.#known.get(address) === known && known.peer === peer) known.settled = settled;
      },
      () => {
        if (this.#known.get(address) === known && known.peer === peer) this.#forget(address);
      },
    );
  }

  async #exchange(transport: Transport): Promise<Peer> {
    const { limits, clock, introduce } = this.#deps;
    const request = create(ExchangeRequestSchema, { reader: introduce() });
    const options = { timeoutMs: limits.stallMs };
    const { owner: agent } = await transport.unary(PayloadService.method.exchange, request, options);
    if (!agent) throw new StatorError("UNAVAILABLE", { what: transport.target, detail: "it did not say who it is" });
    const peer = new Peer({ transport, agent, sinceMs: clock.nowMs() }, this.#deps);
    await this.#climb(peer);
    return peer;
  }

  /** Goes down to the best way that works. */
  async #climb(peer: Peer): Promise<void> {
    for (let rung = peer.ladder.best; rung !== undefined; rung = peer.ladder.best) {
      try {
        await peer.probe(rung);
        break;
      } catch (caught) {
        this.demote(peer, rung, asStatorError(caught));
      }
    }
    if (!peer.ladder.isLowered) this.#tellSlow(peer);
  }

  /** Says loudly that the best way is a slow one, unless it is the one that was asked for. */
  #tellSlow(peer: Peer): void {
    const { log, forced } = this.#deps;
    const { best: rung } = peer.ladder;
    const isSlow = rung === "grpc" || (rung === "tcp" && peer.isHere);
    if (isSlow && !forced) log.warn("blocks of a worker come by a slow way", { worker: peer.transport.target, rung });
  }

  #forget(address: string): void {
    const known = this.#known.get(address);
    if (!known) return;
    this.#known.delete(address);
    known.peer.then(
      (peer) => {
        peer.close();
        known.transport.close();
      },
      () => known.transport.close(),
    );
  }
}

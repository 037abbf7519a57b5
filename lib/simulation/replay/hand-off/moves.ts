import type { ReplayRequest, Session } from "../replay-request.ts";
import type { ExpectedBlocks, ReplayWorker } from "../replay-worker.ts";
import type { VirtualClock } from "../virtual-clock.ts";
import { type Transfer, TransferNet, type TransferSpeed } from "./transfer-net.ts";

/** Where an answer goes on. */
export interface MoveTarget {
  /** Its place. */
  readonly place: number;
  /** It. */
  readonly worker: ReplayWorker;
}

interface Move {
  readonly request: ReplayRequest;
  readonly session: Session;
  readonly to: MoveTarget;
  readonly expected: ExpectedBlocks;
  readonly transfer: Transfer;
  readonly onThere: () => void;
}

/** What moves run on. */
export interface MovesOptions {
  /** How fast they are. */
  readonly speed: TransferSpeed;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** Of the whole replay. */
  readonly clock: VirtualClock;
}

/** The requests whose blocks are on their way from the worker that computed them to the one where their answers go on. */
export class Moves {
  readonly #blockTokens: number;
  readonly #blockBytes: number;
  readonly #clock: VirtualClock;
  readonly #net: TransferNet;
  readonly #open = new Map<ReplayRequest, Move>();

  constructor({ speed, blockTokens, clock }: MovesOptions) {
    this.#blockTokens = blockTokens;
    this.#blockBytes = speed.tokenBytes * blockTokens;
    this.#clock = clock;
    this.#net = new TransferNet(speed, clock);
  }

  /**
   * Brings in what a worker lacks of the blocks of a request's session, and calls `onThere` when nothing more comes: at once
   * where nothing is lacking or the worker has no room, and with those that came where the other one dies.
   */
  begin(request: ReplayRequest, session: Session, to: MoveTarget, onThere: () => void): void {
    const expected = to.worker.expect(request, session.blocks.count);
    if (!expected || expected.lacking === 0) {
      expected?.arrive(0);
      this.#end(request, session, onThere);
      return;
    }
    const about = { from: session.place, to: to.place, bytes: expected.lacking * this.#blockBytes };
    const transfer = this.#net.begin(about, () => this.#take(request, expected.lacking));
    this.#open.set(request, { request, session, to, expected, transfer, onThere });
  }

  /** A worker is gone. Who waits for its blocks takes what came of them; returns the requests whose blocks were on their way to it. */
  lose(place: number): readonly ReplayRequest[] {
    const lost: ReplayRequest[] = [];
    for (const { request, transfer } of [...this.#open.values()]) {
      if (transfer.to === place) {
        transfer.cancel();
        this.#open.delete(request);
        lost.push(request);
      } else if (transfer.from === place) {
        transfer.cancel();
        this.#take(request, Math.floor(transfer.arrived() / this.#blockBytes));
      }
    }
    return lost;
  }

  #take(request: ReplayRequest, blocks: number): void {
    const { session, expected, onThere } = this.#open.get(request)!;
    this.#open.delete(request);
    expected.arrive(blocks);
    request.movedTokens += blocks * this.#blockTokens;
    this.#end(request, session, onThere);
  }

  #end(request: ReplayRequest, session: Session, onThere: () => void): void {
    session.blocks.letGo();
    request.session = undefined;
    request.handOffMs = this.#clock.nowMs() - session.sinceMs;
    onThere();
  }
}

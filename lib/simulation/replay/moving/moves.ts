import { assert } from "#lib/base/errors";
import type { ReplayRequest, Session } from "../replay-request.ts";
import type { ReplayWorker } from "../replay-worker.ts";
import type { VirtualClock } from "../virtual-clock.ts";
import type { ExpectedBlocks } from "./blocks.ts";
import { type Transfer, TransferNet, type TransferSpeed } from "./transfer-net.ts";

/** A worker at its place. */
export interface MoveEnd {
  /** From 0. */
  readonly place: number;
  /** It. */
  readonly worker: ReplayWorker;
}

interface Move {
  readonly from: number;
  readonly to: number;
  /** undefined: there was no room, and nothing comes. */
  readonly expected: ExpectedBlocks | undefined;
  readonly transfer: Transfer;
  /** Blocks that are on their way, or came. */
  sent: number;
  /** Once the prompt is computed, and what happens when nothing more comes. */
  rest: { readonly session: Session; readonly onThere: () => void } | undefined;
}

/** What moves run on. */
export interface MovesOptions {
  /** How fast they are. */
  readonly speed: TransferSpeed;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** Of the whole replay. */
  readonly clock: VirtualClock;
  /** Called before blocks of workers change on the way: what lies in the past is told. */
  readonly catchUp: () => void;
}

/** The requests whose blocks go from the worker that computes their prompts to the one where their answers go on. */
export class Moves {
  readonly #blockTokens: number;
  readonly #blockBytes: number;
  readonly #clock: VirtualClock;
  readonly #catchUp: () => void;
  readonly #net: TransferNet;
  readonly #open = new Map<ReplayRequest, Move>();

  constructor({ speed, blockTokens, clock, catchUp }: MovesOptions) {
    this.#catchUp = catchUp;
    this.#blockTokens = blockTokens;
    this.#blockBytes = speed.tokenBytes * blockTokens;
    this.#clock = clock;
    this.#net = new TransferNet(speed, clock);
  }

  /** A worker wants what it lacks of the first `count` blocks of a request, as they are there; nothing comes where it has no room. */
  open(request: ReplayRequest, ends: { readonly from: number; readonly to: MoveEnd }, count: number): void {
    const { from, to } = ends;
    assert(!this.#open.has(request), "a request moves once at a time");
    const expected = to.worker.expect(request, count);
    const transfer = this.#net.begin({ from, to: to.place, bytes: 0 }, () => this.#arrived(request));
    this.#open.set(request, { from, to: to.place, expected, transfer, sent: 0, rest: undefined });
  }

  /** So many blocks of a request, from its first on, are there to be fetched. */
  ready(request: ReplayRequest, count: number): void {
    const move = this.#open.get(request);
    if (!move?.expected) return;
    const { from, lacking } = move.expected;
    const more = Math.min(count - from, lacking) - move.sent;
    if (more <= 0) return;
    move.sent += more;
    move.transfer.add(more * this.#blockBytes);
  }

  /** The requests that wait for blocks of a worker which are still to be computed. */
  awaiting(from: number): readonly ReplayRequest[] {
    return [...this.#open].flatMap(([request, move]) => (move.from === from && !move.rest ? [request] : []));
  }

  /** The prompt is computed: `onThere` is called when the rest of its blocks has come, at once where nothing is lacking, and with those that came where their worker dies. */
  finish(request: ReplayRequest, session: Session, onThere: () => void): void {
    const move = this.#open.get(request);
    assert(move, "what is finished was begun");
    move.rest = { session, onThere };
    this.ready(request, session.blocks.count);
    if (move.transfer.arrived() === move.transfer.bytes) this.#arrived(request);
  }

  /** Nothing of it is wanted any more; what came is there. */
  drop(request: ReplayRequest): void {
    const move = this.#open.get(request);
    if (move) this.#close(request, move);
  }

  /** A worker is gone. Who waits for its blocks takes what came of them; returns the requests that wanted to go on there. */
  lose(place: number): readonly ReplayRequest[] {
    const lost: ReplayRequest[] = [];
    for (const [request, move] of [...this.#open]) {
      if (move.to === place) lost.push(request);
      if (move.to === place) this.#close(request, move);
      else if (move.from === place && move.rest) this.#end(request, move);
    }
    return lost;
  }

  #arrived(request: ReplayRequest): void {
    const move = this.#open.get(request);
    if (!move?.rest) return;
    this.#catchUp();
    this.#end(request, move);
  }

  #end(request: ReplayRequest, move: Move): void {
    const { session, onThere } = move.rest!;
    this.#close(request, move);
    session.blocks.letGo();
    request.session = undefined;
    request.handOffMs = this.#clock.nowMs() - session.sinceMs;
    onThere();
  }

  #close(request: ReplayRequest, { transfer, expected }: Move): void {
    this.#open.delete(request);
    const came = Math.floor(transfer.arrived() / this.#blockBytes);
    transfer.cancel();
    expected?.arrive(came);
    request.movedTokens += came * this.#blockTokens;
  }
}

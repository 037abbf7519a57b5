import { type InstanceRecord, InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import type { Clock } from "#lib/base/clock";
import { inferenceAddressOf } from "#lib/discovery/inference-address";
import type { Log } from "#lib/host/log";
import type { LinkState } from "#lib/link/link";
import type { AskKind } from "#lib/routing/router";
import type { SessionState } from "#lib/rpc/channel";
import type { Retirement, Seat, SeatPhase } from "./seat.ts";
import type { TensorWay } from "./tensor-way.ts";

/** How often a way that is given up is looked at, until its calls have ended. */
const RETIRE_LOOK_MS = 100;

/** What a seat of tensors needs, and whom it tells. */
export interface TensorSeatOptions {
  /** The way to an address; the seat closes it. May throw. */
  readonly dial: (address: string) => TensorWay;
  /** Of its waits. */
  readonly clock: Clock;
  /** Told of sessions that stand and break. */
  readonly log: Log;
  /** It takes requests from now on. */
  readonly onReady: () => void;
  /** It was retired, and all that ran there has ended. */
  readonly onEnd: () => void;
}

const LINK_STATES: Readonly<Partial<Record<SeatPhase, LinkState>>> = {
  connecting: "connecting",
  ready: "ready",
  draining: "draining",
};

/**
 * A worker whose models take tensors. No link leads to it: it is ready while its record says so and the session to whoever
 * answers for it stands. A session that breaks ends its calls, and nothing new goes there until it stands again; what
 * stands still without breaking is found by the channel's keepalive, and by the deadlines of requests.
 */
export class TensorSeat implements Seat {
  record: InstanceRecord;
  expectedMs: number | undefined;
  reached = false;
  readonly linkReason = "";
  readonly link = undefined;
  readonly steps = 0;
  readonly lastStep = undefined;
  way: TensorWay | undefined;
  readonly #options: TensorSeatOptions;
  readonly #log: Log;
  #address = "";
  #session: SessionState = "connecting";
  #retired = false;
  #warned = false;
  #wasReady = false;

  constructor(record: InstanceRecord, options: TensorSeatOptions) {
    this.record = record;
    this.#options = options;
    this.#log = options.log.with({ worker: record.instanceId, incarnation: record.incarnation });
    if (record.state === InstanceState.READY) this.expectedMs = options.clock.nowMs();
    this.update(record);
  }

  get worker(): bigint {
    return this.record.instanceId;
  }

  get openRequests(): number {
    return this.way?.openCalls ?? 0;
  }

  get linkState(): LinkState {
    return LINK_STATES[this.phase] ?? "closed";
  }

  get phase(): SeatPhase {
    if (this.#retired) return "draining";
    if (this.record.state !== InstanceState.READY) return this.openRequests > 0 ? "draining" : "idle";
    return this.#session === "failing" ? "lost" : this.#session;
  }

  carries(kind: AskKind): boolean {
    return kind === "tensor";
  }

  update(record: InstanceRecord): void {
    const isNew = record.state === InstanceState.READY && this.record.state !== InstanceState.READY;
    if (isNew) this.expectedMs = this.#options.clock.nowMs();
    this.record = record;
    if (record.state === InstanceState.READY) this.#connect(inferenceAddressOf(record) ?? "");
    this.#look();
  }

  release(): void {}

  retire(why: Retirement): void {
    this.#retired = true;
    const { way } = this;
    if (!way) return;
    // What runs there does not depend on the incarnation: it ends by itself, with its worker or in order.
    if (why === "closed") way.close();
    else closeWhenIdle(way, this.#options.clock, this.#options.onEnd);
  }

  /** A record may name another server than before: what runs at the old one goes on there. */
  #connect(address: string): void {
    if (this.#retired || (this.way && this.#address === address)) return;
    if (this.way) closeWhenIdle(this.way, this.#options.clock);
    this.way = undefined;
    this.#address = address;
    this.#session = "connecting";
    try {
      const way = this.#options.dial(address);
      this.way = way;
      way.watch((state) => {
        if (this.way === way) this.#heard(state);
      });
    } catch (error) {
      this.#unreachable(error);
    }
  }

  #heard(state: SessionState): void {
    if (state === this.#session) return;
    const before = this.#session;
    this.#session = state;
    if (state === "ready") {
      if (this.#warned) this.#log.info("worker is reached");
      this.reached = true;
      this.#warned = false;
    } else if (before === "ready") {
      this.#log.debug("session to worker ended", { address: this.#address });
    } else if (state === "failing" && !this.reached) this.#unreachable(undefined);
    this.#look();
  }

  /** Told once, since it is tried for as long as its record is there. */
  #unreachable(error: unknown): void {
    this.#session = "failing";
    if (this.#warned) return;
    this.#warned = true;
    this.#log.warn("worker cannot be reached", { address: this.#address, error });
  }

  #look(): void {
    const isReady = this.phase === "ready";
    if (isReady && !this.#wasReady) this.#options.onReady();
    if (!isReady && this.#wasReady) this.expectedMs = this.#options.clock.nowMs();
    this.#wasReady = isReady;
  }
}

function closeWhenIdle(way: TensorWay, clock: Clock, onEnd?: () => void): void {
  if (way.openCalls > 0) {
    clock.after(RETIRE_LOOK_MS, () => closeWhenIdle(way, clock, onEnd));
    return;
  }
  way.close();
  onEnd?.();
}

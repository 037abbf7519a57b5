import { type InstanceRecord, InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import type { Step } from "#gen/stator/worker/v1/link_pb";
import { Backoff } from "#lib/base/backoff";
import type { Chance } from "#lib/base/chance";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, type StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { openCallerLink } from "#lib/link/caller-link";
import { HAND_OFF_FEATURES, LINK_FEATURES } from "#lib/link/features";
import type { LinkLimits } from "#lib/link/limits";
import type { CallerChannel, CallerLink, LinkListener, LinkState } from "#lib/link/link";
import type { AskKind } from "#lib/routing/router";
import { sendCanary } from "./canary.ts";
import type { Retirement, Seat, SeatPhase } from "./seat.ts";

const RECONNECT = { firstMs: 100, longestMs: 5_000 } as const;
const RETIRE_LOOK_MS = 100;
/** Sessions that one message lets go. */
const MOST_RELEASED = 1024;
const CANARY_AGAIN_MS = 1_000;

/** A channel to a worker, and how to give back what carries it. */
export interface Connection {
  /** It may still be connecting. */
  readonly channel: CallerChannel;
  /** Tells the worker beside the link that nobody fetches what it keeps under these names; undefined where that cannot be. */
  readonly release?: (sessionIds: readonly string[]) => void;
  /** Gives back what carries the channel; the channel has ended then. */
  close(): void;
}

/** What a seat needs, and whom it tells. */
export interface SeatOptions {
  /** Who calls, for the worker's logs. */
  readonly caller: string;
  /** A channel to the worker; may throw. */
  readonly connect: (instance: InstanceRecord) => Connection;
  /** Of its waits. */
  readonly clock: Clock;
  /** Spreads the waits before it connects again. */
  readonly chance: Chance;
  /** Told of links that open and break. */
  readonly log: Log;
  /** Holds the instruments of this room. */
  readonly metrics: Metrics;
  /** Bounds of its links that differ from the usual ones. */
  readonly limits?: Partial<LinkLimits>;
  /** It takes requests from now on. */
  readonly onReady: (seat: WorkerSeat) => void;
  /** It told of a pass of its engine; borrowed. */
  readonly onStep: (step: Step) => void;
  /** What runs on it is to be continued elsewhere. */
  readonly onSuspect: (seat: WorkerSeat, error: StatorError) => void;
  /** A link ended; its counters are final. */
  readonly onLinkEnd: (link: CallerLink) => void;
}

/**
 * One incarnation of one worker, and the link to it: connects while the record says ready, again with growing patience
 * after a loss, and lets a worker that was suspect back in only after a canary.
 */
export class WorkerSeat implements Seat {
  record: InstanceRecord;
  phase: SeatPhase = "idle";
  /** When it last took requests, or its record began to say that it would; undefined before. */
  expectedMs: number | undefined;
  link: CallerLink | undefined;
  /** Its Welcome came once. Who cannot be reached is nobody's worker, whatever its record says. */
  reached = false;
  steps = 0;
  lastStep: Step | undefined;
  readonly way = undefined;
  readonly #options: SeatOptions;
  readonly #log: Log;
  #connection: Connection | undefined;
  readonly #backoff: Backoff;
  #timer: Timer | undefined;
  #retireTimer: Timer | undefined;
  #retired = false;
  /** Sessions to be let go at the end of this turn. */
  #released: string[] = [];
  /** Why the link was lost or is under suspicion. */
  #reason: StatorError | undefined;
  /** It was suspect, and no canary has come back since. */
  #distrusted = false;

  constructor(record: InstanceRecord, options: SeatOptions) {
    this.record = record;
    this.#options = options;
    this.#backoff = new Backoff(RECONNECT, options.chance);
    this.#log = options.log.with({ worker: record.instanceId, incarnation: record.incarnation });
    if (record.state === InstanceState.READY) this.expectedMs = options.clock.nowMs();
    this.update(record);
  }

  get worker(): bigint {
    return this.record.instanceId;
  }

  /** Requests of this frontend that are open there. */
  get openRequests(): number {
    return this.link?.openRequests ?? 0;
  }

  get linkState(): LinkState {
    return this.link?.state ?? "closed";
  }

  get linkReason(): string {
    return this.phase === "ready" ? "" : (this.#reason?.message ?? "");
  }

  carries(kind: AskKind): boolean {
    return kind !== "tensor";
  }

  update(record: InstanceRecord): void {
    const isNew = record.state === InstanceState.READY && this.record.state !== InstanceState.READY;
    if (isNew) this.expectedMs = this.#options.clock.nowMs();
    this.record = record;
    if (record.state === InstanceState.READY && this.phase === "idle") this.#connect();
    else if (this.phase === "ready" && record.state !== InstanceState.READY) this.#leave("draining");
    else if (this.phase === "draining" && record.state === InstanceState.READY && this.link?.state === "ready")
      this.#ready();
  }

  release(sessionId: string): void {
    if (this.#released.push(sessionId) > 1) return;
    // A request with many choices lets all of them go at once.
    this.#options.clock.soon(() => {
      const ids = this.#released;
      this.#released = [];
      for (let at = 0; at < ids.length; at += MOST_RELEASED) {
        this.#connection?.release?.(ids.slice(at, at + MOST_RELEASED));
      }
    });
  }

  /** What the frames of an old incarnation say counts for nobody: a link that is replaced ends at once. */
  retire(why: Retirement): void {
    this.#retired = true;
    this.#retireTimer?.cancel();
    if (!this.link) this.#timer?.cancel();
    if (this.phase === "ready" || this.phase === "proving") this.phase = "draining";
    if (!this.link) {
      this.#disconnect();
      return;
    }
    if (why !== "left" || this.link.openRequests === 0) {
      this.link.close();
    } else {
      this.#retireTimer = this.#options.clock.after(RETIRE_LOOK_MS, () => this.retire("left"));
    }
  }

  #connect(): void {
    if (this.#retired) return;
    const { caller, clock, limits } = this.#options;
    this.phase = "connecting";
    try {
      this.#connection = this.#options.connect(this.record);
    } catch (error) {
      this.#lost(asStatorError(error));
      return;
    }
    const { instanceId, incarnation } = this.record;
    const features = [...Object.values(LINK_FEATURES), ...Object.values(HAND_OFF_FEATURES)];
    const shared = { caller, features, clock, limits, instanceId, incarnation };
    this.link = openCallerLink(this.#connection.channel, { ...shared, listener: this.#listener() });
  }

  #listener(): LinkListener {
    return {
      onState: (state, reason) => this.#linkState(state, reason),
      onWelcome: () => {
        if (!this.reached && this.#backoff.waits > 0) this.#log.info("worker is reached");
        this.reached = true;
        this.#backoff.reset();
      },
      onStep: (step) => {
        this.steps++;
        this.lastStep = step;
        this.#options.onStep(step);
      },
      onNotice: () => {},
    };
  }

  #linkState(state: LinkState, reason: StatorError | undefined): void {
    if (state === "ready") this.#reason = undefined;
    else this.#reason = reason ?? this.#reason;
    switch (state) {
      case "ready":
        this.#ready();
        return;
      case "suspect":
        this.#leave("suspect");
        // A canary that is not answered brings the suspicion again.
        this.#log[this.#distrusted ? "debug" : "warn"]("worker is suspect", { open: this.openRequests, error: reason });
        this.#distrusted = true;
        this.#timer?.cancel();
        this.#options.metrics.add("stator_dispatch_suspicions_total");
        if (reason) this.#options.onSuspect(this, reason);
        return;
      case "draining":
        this.#leave("draining");
        return;
      case "closed":
        this.#lost(reason);
        return;
      case "connecting":
    }
  }

  #ready(): void {
    // A worker that was suspect has to prove itself, over a new link too.
    if (this.#distrusted && !this.#retired) {
      this.#prove();
      return;
    }
    const usable = !this.#retired && this.record.state === InstanceState.READY;
    this.phase = usable ? "ready" : "draining";
    if (usable) this.#options.onReady(this);
  }

  #prove(): void {
    const { link } = this;
    if (!link) return;
    this.phase = "proving";
    const { clock, metrics } = this.#options;
    sendCanary(link, { model: this.record.models[0] ?? "", clock }, (error) => {
      metrics.add("stator_dispatch_canaries_total", 1, { result: error ? "failed" : "passed" });
      if (this.phase !== "proving" || this.link !== link) return;
      this.#log.info(error ? "canary failed" : "worker is trusted again", { error });
      if (error) this.#timer = clock.after(CANARY_AGAIN_MS, () => this.phase === "proving" && this.#prove());
      else {
        this.#distrusted = false;
        this.#ready();
      }
    });
  }

  #lost(reason: StatorError | undefined): void {
    const { link } = this;
    this.#reason = reason;
    this.link = undefined;
    this.#leave("lost");
    this.lastStep = undefined;
    this.#timer?.cancel();
    this.#retireTimer?.cancel();
    this.#disconnect();
    if (link) this.#options.onLinkEnd(link);
    if (this.#retired) return;
    if (reason) this.#options.metrics.add("stator_dispatch_link_failures_total");
    // Told once, since it is tried for as long as its record is there.
    if (!this.reached && this.#backoff.waits === 0) {
      this.#log.warn("worker cannot be reached", { address: this.record.address, error: reason });
    }
    const waitMs = this.#backoff.nextMs();
    this.#log.debug("link to worker ended", { error: reason, againMs: Math.round(waitMs) });
    this.#timer = this.#options.clock.after(waitMs, () => {
      this.phase = "idle";
      this.update(this.record);
    });
  }

  #leave(phase: SeatPhase): void {
    if (this.phase === "ready") this.expectedMs = this.#options.clock.nowMs();
    this.phase = phase;
  }

  #disconnect(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
  }
}

import { create } from "@bufbuild/protobuf";
import { type Notice, NoticeSchema, type Step, type Submit } from "#gen/stator/worker/v1/link_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, type StatorError } from "#lib/base/errors";
import { LINK_LIMITS, type LinkLimits } from "./limits.ts";
import type { WorkerChannel, WorkerLink, WorkerSink } from "./link.ts";
import { requestEvents, stepWorker } from "./worker-machine.ts";
import {
  createWorkerState,
  type Introduction,
  type WorkerEffect,
  type WorkerEvent,
  type WorkerState,
} from "./worker-state.ts";

/** How long to wait for room in the send buffer before looking again, should the channel not tell. */
const LOOK_AGAIN_MS = 20;

/** What a worker's link needs. */
export interface WorkerLinkOptions {
  /** The engine's side; called from the link alone, one call at a time. */
  readonly sink: WorkerSink;
  /** Called when Hello came. */
  readonly introduce: () => Introduction;
  /** Borrowed; the bound of Hello goes by it. */
  readonly clock: Clock;
  /** Bounds that differ from LINK_LIMITS; Welcome tells the caller the longest message. */
  readonly limits?: Partial<LinkLimits>;
}

/** Opens the worker's side over a channel, which it takes. The sink hears of requests once the caller said Hello. */
export function openWorkerLink(channel: WorkerChannel, options: WorkerLinkOptions): WorkerLink {
  return new Shell(channel, options);
}

class Shell implements WorkerLink {
  readonly #channel: WorkerChannel;
  readonly #options: WorkerLinkOptions;
  readonly #state: WorkerState;
  readonly #turn = () => this.#step({ kind: "turn", bufferedBytes: this.#channel.bufferedBytes });
  readonly #helloTimer: Timer;
  #roomTimer: Timer | undefined;

  constructor(channel: WorkerChannel, options: WorkerLinkOptions) {
    this.#channel = channel;
    this.#options = options;
    const limits = { ...LINK_LIMITS, ...options.limits };
    this.#state = createWorkerState(limits, options.clock.nowMs());
    channel.receive({
      onMessage: (message) => {
        // One at a time: an offered request is taken or refused before the next part, such as its cancel, is looked at.
        for (const event of requestEvents(message, limits.maxMessageBytes)) this.#step(event);
      },
      onEnd: (error) => this.#step({ kind: "ended", error }),
      onDrain: () => this.#room(),
    });
    this.#helloTimer = options.clock.after(limits.helloTimeoutMs, () => this.#step({ kind: "tick" }));
  }

  get caller() {
    return this.#state.caller;
  }

  get openRequests() {
    return this.#state.requests.size;
  }

  get counters() {
    return this.#state.counters;
  }

  step(step: Step): void {
    this.#step({ kind: "step", step });
  }

  notice(notice: Omit<Notice, "$typeName" | "$unknown">): void {
    this.#step({ kind: "notice", notice: create(NoticeSchema, notice) });
  }

  close(error?: StatorError): void {
    this.#step({ kind: "close", error });
  }

  #step(event: WorkerEvent): void {
    const { clock, introduce } = this.#options;
    for (const effect of stepWorker(this.#state, event, { nowMs: clock.nowMs(), introduce })) this.#run(effect);
  }

  #run(effect: WorkerEffect): void {
    switch (effect.kind) {
      case "send":
        this.#channel.send(effect.message);
        return;
      case "turn later":
        this.#options.clock.soon(this.#turn);
        return;
      case "turn on room":
        this.#roomTimer = this.#options.clock.after(LOOK_AGAIN_MS, () => this.#room());
        return;
      case "offer":
        this.#offer(effect.handle, effect.submit);
        return;
      case "cancel":
        this.#options.sink.onCancel(effect.handles, effect.mode);
        return;
      case "end":
        this.#helloTimer.cancel();
        this.#roomTimer?.cancel();
        this.#channel.end(effect.error);
        return;
      case "gone":
        this.#options.sink.onEnd(effect.error);
        return;
    }
  }

  #offer(handle: number, submit: Submit): void {
    // An earlier request of the same message may have ended the link.
    if (this.#state.link === "closed") return;
    try {
      this.#step({ kind: "took", handle, ...this.#options.sink.onSubmit(submit) });
    } catch (caught) {
      this.#step({ kind: "refused", handle, error: asStatorError(caught) });
    }
  }

  #room(): void {
    if (!this.#roomTimer) return;
    this.#roomTimer.cancel();
    this.#roomTimer = undefined;
    this.#turn();
  }
}

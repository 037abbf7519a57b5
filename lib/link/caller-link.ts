import type { CancelMode } from "#gen/stator/worker/v1/link_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { assert, StatorError } from "#lib/base/errors";
import { responseEvents, stepCaller } from "./caller-machine.ts";
import {
  type CallerEffect,
  type CallerEvent,
  type CallerRequest,
  type CallerState,
  createCallerState,
  type Deliveries,
} from "./caller-state.ts";
import { LINK_LIMITS, type LinkLimits } from "./limits.ts";
import type { CallerChannel, CallerLink, LinkListener, RequestListener, SubmitInit } from "./link.ts";

/** What a caller's link needs. */
export interface CallerLinkOptions {
  /** Who calls, for the worker's log, such as frontend/5f3a. */
  readonly caller: string;
  /** Borrowed; the watch and the bound of Hello go by it. */
  readonly clock: Clock;
  /** Hears of the whole link, until "closed"; calls back into the link are allowed. */
  readonly listener: LinkListener;
  /** The instance that is meant: another one is refused. Any, unless given. */
  readonly instanceId?: bigint;
  /** The incarnation that is meant, the same way. */
  readonly incarnation?: bigint;
  /** Optional features that the caller can use; Welcome names those that the worker has as well. None unless given. */
  readonly features?: readonly string[];
  /** Bounds that differ from LINK_LIMITS. */
  readonly limits?: Partial<LinkLimits>;
}

/** Opens the caller's side over a channel, which it takes. Hello leaves at the end of this turn; the listener hears "ready" or "closed". */
export function openCallerLink(channel: CallerChannel, options: CallerLinkOptions): CallerLink {
  return new Shell(channel, options);
}

/** Runs the machine: every event goes through `#step`, one at a time, and its effects are done in order before the next. */
class Shell implements CallerLink {
  readonly #channel: CallerChannel;
  readonly #clock: Clock;
  readonly #listener: LinkListener;
  readonly #state: CallerState;
  readonly #pings = new Map<bigint, PromiseWithResolvers<number>>();
  /** A cancel left in this turn already: further ones wait for the turn's end. */
  #hurried = false;
  #timer: Timer | undefined;
  /** Handles that were abandoned while effects are being run: theirs are skipped. */
  readonly #muted = new Set<number>();
  #depth = 0;

  constructor(channel: CallerChannel, options: CallerLinkOptions) {
    this.#channel = channel;
    this.#clock = options.clock;
    this.#listener = options.listener;
    const { instanceId, incarnation } = options;
    this.#state = createCallerState({
      limits: { ...LINK_LIMITS, ...options.limits },
      caller: options.caller,
      features: options.features ?? [],
      expect: { instanceId, incarnation },
      nowMs: options.clock.nowMs(),
    });
    channel.receive({
      onMessage: (message) => {
        for (const event of responseEvents(message, this.#state.limits.maxMessageBytes)) this.#step(event);
      },
      onEnd: (error) => this.#step({ kind: "ended", error }),
    });
    this.#state.turnComing = true;
    this.#clock.soon(this.#say);
    this.#tickLater();
  }

  get state() {
    return this.#state.link;
  }

  get welcome() {
    return this.#state.welcome;
  }

  get openRequests() {
    return this.#state.openRequests;
  }

  get counters() {
    return this.#state.counters;
  }

  submit(submit: SubmitInit, listener: RequestListener): number {
    const request: CallerRequest = { handle: 0, phase: "unknown", outputs: 0, progressMs: 0, listener };
    const refused = this.#step({ kind: "submit", submit, request });
    if (refused) throw refused;
    return request.handle;
  }

  cancel(handle: number, mode: CancelMode): void {
    this.#step({ kind: "cancel", handle, mode });
    this.#hurry();
  }

  abandon(handle: number): void {
    if (this.#depth > 0) this.#muted.add(handle);
    this.#step({ kind: "abandon", handle });
    this.#hurry();
  }

  ping(): Promise<number> {
    const asked = Promise.withResolvers<number>();
    const nonce = this.#state.nextNonce;
    this.#pings.set(nonce, asked);
    const refused = this.#step({ kind: "ping" });
    if (refused) {
      this.#pings.delete(nonce);
      asked.reject(refused);
    }
    return asked.promise;
  }

  close(): void {
    this.#step({ kind: "close" });
  }

  /**
   * The first cancel of a turn leaves at once, with all that waits, since an engine computes for nobody until it comes.
   * The others of the turn share a message.
   */
  #hurry(): void {
    if (this.#hurried || this.#depth > 0 || !this.#state.turnComing) return;
    this.#hurried = true;
    this.#step({ kind: "turn" });
  }

  /** The end of a turn. What waited for it may have left in a hurry already. */
  readonly #say = (): void => {
    this.#hurried = false;
    this.#step({ kind: "turn" });
  };

  #tickLater(): void {
    this.#timer = this.#clock.after(this.#state.limits.tickEveryMs, () => {
      this.#step({ kind: "tick" });
      if (this.#state.link !== "closed") this.#tickLater();
    });
  }

  /** Returns why a wish was refused. Listeners may call back into the link from an effect. */
  #step(event: CallerEvent): StatorError | undefined {
    let refused: StatorError | undefined;
    this.#depth++;
    for (const effect of stepCaller(this.#state, event, this.#clock.nowMs())) {
      if (effect.kind === "refuse") refused = effect.error;
      else if (effect.kind === "deliver") this.#deliver(effect);
      else this.#run(effect);
    }
    this.#depth--;
    if (this.#depth === 0 && this.#muted.size > 0) this.#muted.clear();
    return refused;
  }

  #deliver({ requests, bounds, tokens, logprobs }: Deliveries): void {
    for (let at = 0; at < requests.length; at++) {
      const request = requests[at] as CallerRequest;
      // A listener earlier in this step may have abandoned it.
      if (this.#muted.has(request.handle)) this.#state.counters.droppedFrames++;
      else request.listener.onTokens(tokens, bounds[2 * at] as number, bounds[2 * at + 1] as number, logprobs?.[at]);
    }
  }

  #run(effect: Exclude<CallerEffect, Deliveries | { kind: "refuse" }>): void {
    switch (effect.kind) {
      case "send":
        this.#channel.send(effect.message);
        return;
      case "turn later":
        this.#clock.soon(this.#say);
        return;
      case "end":
        this.#end(effect.error);
        return;
      case "state":
        this.#listener.onState(effect.state, effect.reason);
        return;
      case "welcome":
        this.#listener.onWelcome(effect.welcome);
        return;
      case "step":
        this.#listener.onStep(effect.step);
        return;
      case "notice":
        this.#listener.onNotice(effect.notice);
        return;
      case "pinged":
        return;
      case "pong":
        this.#pings.get(effect.nonce)?.resolve(effect.roundTripMs);
        this.#pings.delete(effect.nonce);
        return;
      default:
        this.#tell(effect);
    }
  }

  #tell(effect: Extract<CallerEffect, { request: CallerRequest }>): void {
    const { listener, handle } = effect.request;
    if (this.#muted.has(handle)) return void this.#state.counters.droppedFrames++;
    switch (effect.kind) {
      case "accepted":
        listener.onAccepted(effect.cachedTokens, effect.queuedAhead);
        return;
      case "prompt logprobs":
        listener.onPromptLogprobs?.(effect.position, effect.logprobs);
        return;
      case "text":
        listener.onText(effect.text);
        return;
      case "embedding":
        listener.onEmbedding(effect.values);
        return;
      case "finish":
        listener.onFinish(effect.finish);
        return;
      case "lost":
        listener.onLost(effect.error, effect.accepted);
        return;
      default:
        assert(false, "every effect is run");
    }
  }

  #end(error: StatorError | undefined): void {
    this.#timer?.cancel();
    this.#channel.end(error);
    const lost = new StatorError("STREAM_LOST", { detail: "the link ended" }, { cause: error });
    for (const asked of this.#pings.values()) {
      // Whoever asked may have gone; the rejection still has an owner.
      asked.promise.catch(() => {});
      asked.reject(lost);
    }
    this.#pings.clear();
  }
}

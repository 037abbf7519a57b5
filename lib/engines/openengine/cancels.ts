import { AbortStatus } from "#gen/openengine/v1/lifecycle_pb";
import type { Control } from "#gen/openengine/v1/openengine_pb";
import type { Clock } from "#lib/base/clock";
import { Queue } from "#lib/base/collections";
import { pause } from "#lib/host/pause";
import type { Scope } from "#lib/host/scope";
import type { Client } from "#lib/rpc/client";
import type { EngineCall } from "./engine-call.ts";
import type { OpenEngineLimits } from "./limits.ts";

/** What requests are ended with. */
export interface CancelDeps {
  /** Of the engine. */
  readonly control: Client<typeof Control>;
  /** Of all waits. */
  readonly clock: Clock;
  /** Owns them. */
  readonly scope: Scope;
  /** How long the engine has, and how often it is asked. */
  readonly limits: Pick<OpenEngineLimits, "cancelMs" | "cancelAgainMs" | "timeoutMs" | "resetEveryMs" | "openRequests">;
}

/**
 * Ends requests by Abort, inside the contract. A stream that the engine does not end is reset, one at a time: many resets at
 * once look like an attack, and servers close the session for it.
 */
export class Cancels {
  readonly #deps: CancelDeps;
  readonly #asked = new Set<EngineCall>();
  readonly #resets: Queue<EngineCall>;
  #isResetting = false;

  constructor(deps: CancelDeps) {
    this.#deps = deps;
    // Those that wait count as open at the engine, of which there are no more.
    this.#resets = new Queue(deps.limits.openRequests);
  }

  /** Streams that still wait to be reset: the engine takes them for open. */
  get waiting(): number {
    return this.#resets.size;
  }

  /** Asks the engine to end a call. Once more does nothing. */
  cancel(call: EngineCall): void {
    if (this.#asked.has(call) || call.isOver) return;
    this.#asked.add(call);
    call.cancelled();
    this.#deps.scope.spawn("cancel", (signal) => this.#follow(call, signal).finally(() => this.#asked.delete(call)));
  }

  /** Cuts the stream of a call that is over here, when it is its turn. */
  reset(call: EngineCall): void {
    this.#resets.push(call);
    if (this.#isResetting) return;
    this.#isResetting = true;
    const next = (): void => {
      this.#resets.shift()?.reset();
      this.#isResetting = this.#resets.size > 0;
      if (this.#isResetting) this.#deps.clock.after(this.#deps.limits.resetEveryMs, next);
    };
    next();
  }

  async #follow(call: EngineCall, signal: AbortSignal): Promise<void> {
    const { clock, limits } = this.#deps;
    const untilMs = clock.nowMs() + limits.cancelMs;
    let isKnown = false;
    while (!call.isOver && clock.nowMs() < untilMs) {
      if (!isKnown) isKnown = await this.#ask(call, signal);
      if (call.isOver) return;
      await pause(clock, Math.min(limits.cancelAgainMs, Math.max(1, untilMs - clock.nowMs())), signal);
    }
    if (call.isOver) return;
    call.giveUp();
    this.reset(call);
  }

  /** Whether the engine knows of it now. One that does not may hear of the request after this. */
  async #ask({ requestId }: EngineCall, signal: AbortSignal): Promise<boolean> {
    const { control, limits } = this.#deps;
    try {
      const target = { case: "requestId", value: requestId } as const;
      const { status } = await control.abort({ target }, { timeoutMs: limits.timeoutMs, signal });
      return status !== AbortStatus.UNSPECIFIED;
    } catch {
      // Whatever it says of it, the call tells in the end.
      return false;
    }
  }
}

import type { Clock } from "#lib/base/clock";
import type { StatorError } from "#lib/base/errors";
import type { KvChange } from "#lib/kv/event";

/** Which events are wanted. */
export interface KvAsk {
  /** Rank whose cache it is. */
  readonly rank: number;
  /** Of the worker, as discovery tells it. */
  readonly incarnation: bigint;
  /** First event that is missing; 0: all that is kept, as a snapshot. */
  readonly fromId: bigint;
}

/** What one message of a feed says; its arrays are shared: read only. */
export type KvFeedMessage =
  | {
      readonly kind: "header";
      readonly incarnation: bigint;
      readonly blockTokens: number;
      readonly hashScheme: string;
      /** Name of the cache that outlives workers; undefined: the rank itself keeps the blocks. */
      readonly cacheDomain: string | undefined;
      readonly lastId: bigint;
      readonly isSnapshot: boolean;
    }
  | {
      readonly kind: "snapshot";
      readonly changes: readonly KvChange[];
      readonly isLast: boolean;
      /** The state after this event. */
      readonly lastId: bigint;
    }
  | {
      readonly kind: "events";
      readonly firstId: bigint;
      /** When the worker heard of the first of them, Unix time in milliseconds. */
      readonly unixMs: number;
      readonly changes: readonly KvChange[];
    }
  | { readonly kind: "heartbeat"; readonly lastId: bigint }
  /** The last message: too slow. */
  | { readonly kind: "resume" }
  /** Something came that is none of these; what it said is lost. */
  | { readonly kind: "unreadable"; readonly detail: string };

/** Who hears a feed. Calls come from the event loop, none from inside `subscribe`; none after its `close`. */
export interface KvFeedListener {
  /** In the order in which the way to the worker brings them, perhaps not all and some twice. */
  onMessage(message: KvFeedMessage): void;
  /** Once; nothing follows. */
  onEnd(error: StatorError | undefined): void;
}

/**
 * The way to the events of one worker, whatever carries them. It promises to begin with a header; what it loses, repeats
 * or brings in another order is found and repaired by whoever listens.
 */
export interface KvFeed {
  /** Begins a subscription. What ends it is told to the listener, failures to begin too. */
  subscribe(ask: KvAsk, listener: KvFeedListener): { close(): void };
  /** Ends all subscriptions without a word and gives the connection back. */
  close(): void;
}

/** The way to a worker to which there is none. */
export function createRefusedFeed(error: StatorError, clock: Pick<Clock, "after">): KvFeed {
  return {
    subscribe(_, listener) {
      const timer = clock.after(0, () => listener.onEnd(error));
      return { close: () => timer.cancel() };
    },
    close() {},
  };
}

import type { ServerHttp2Session } from "node:http2";
import type { Clock } from "#lib/base/clock";
import { BoundedCache } from "#lib/base/collections";
import { RESET_LIMIT } from "./settings.ts";

/** Peers whose resets are remembered. */
const PEERS = 4_096;

/** How many resets a peer may send: so many at once, and so many more a second. */
export interface ResetLimit {
  /** Resets at once, of a peer that sent none for a while. */
  readonly burst: number;
  /** How fast the burst fills again. */
  readonly perSecond: number;
}

/** Counts resets per peer address in token buckets, so that a new session does not buy a new allowance. */
export class ResetCounter {
  readonly #limit: ResetLimit;
  readonly #buckets = new BoundedCache<string, { left: number; atMs: number }>(PEERS);

  constructor(limit: ResetLimit = RESET_LIMIT) {
    this.#limit = limit;
  }

  /** Counts one reset. False when the peer is beyond its limit. */
  take(peer: string, nowMs: number): boolean {
    const { burst, perSecond } = this.#limit;
    let bucket = this.#buckets.get(peer);
    if (!bucket) {
      bucket = { left: burst, atMs: nowMs };
      this.#buckets.set(peer, bucket, 1);
    }
    bucket.left = Math.min(burst, bucket.left + ((nowMs - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = nowMs;
    if (bucket.left < 1) return false;
    bucket.left--;
    return true;
  }
}

/** What a watched session reports. */
export interface ResetListener {
  /** The client ended a stream by a reset; within the limit or not. */
  onReset(): void;
  /** The session was told to go; its other streams finish. */
  onClosed(peer: string): void;
}

/** Watches a session for streams that its client resets. Beyond the limit the session takes no new stream and ends with its last one. */
export function watchResets(
  session: ServerHttp2Session,
  { counter, clock }: { readonly counter: ResetCounter; readonly clock: Clock },
  listener: ResetListener,
): void {
  const peer = session.socket?.remoteAddress ?? "unknown";
  session.on("stream", (stream) => {
    stream.once("aborted", () => {
      if (session.destroyed) return;
      listener.onReset();
      if (counter.take(peer, clock.nowMs()) || session.closed) return;
      listener.onClosed(peer);
      // A plain GOAWAY: with an error code the client would drop its innocent streams too.
      session.close();
    });
  });
}

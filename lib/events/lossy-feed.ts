import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import type { KvFeed, KvFeedMessage } from "./feed.ts";

/** How much of what a feed brings is lost, comes twice or comes late; shares of 1. */
export interface Losses {
  /** Lost. */
  readonly drop: number;
  /** Comes again, late. */
  readonly duplicate: number;
  /** Comes late, perhaps behind what was sent after it. */
  readonly late: number;
  /** Longest time that something is late. */
  readonly lateMs: number;
}

/** A feed as a transport without promises would be, as long as `losses` says so. */
export function createLossyFeed(
  feed: KvFeed,
  { chance, clock, losses }: { chance: Chance; clock: Clock; losses: () => Losses | undefined },
): KvFeed {
  return {
    subscribe(ask, listener) {
      let isOver = false;
      const bring = (message: KvFeedMessage): void => {
        if (!isOver) listener.onMessage(message);
      };
      const subscription = feed.subscribe(ask, {
        onMessage(message) {
          const now = losses();
          if (!now) return bring(message);
          if (chance.next() < now.drop) return;
          if (chance.next() < now.late) clock.after(chance.next() * now.lateMs, () => bring(message));
          else bring(message);
          if (chance.next() < now.duplicate) clock.after(chance.next() * now.lateMs, () => bring(message));
        },
        onEnd(error) {
          isOver = true;
          listener.onEnd(error);
        },
      });
      return {
        close() {
          isOver = true;
          subscription.close();
        },
      };
    },
    close: () => feed.close(),
  };
}

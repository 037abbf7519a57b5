import type { Clock } from "#lib/base/clock";
import { Queue } from "#lib/base/collections";
import type { KvNotice } from "#lib/engines/engine";

/** Events that a subscriber may be behind, unless another number is given. */
const MOST_BEHIND = 4_096;

/** One thing that happened to the engine's cache. */
export interface KvEvent {
  /** From 1, without a gap, over the life of the worker. */
  readonly sequence: bigint;
  /** When the worker heard of it. */
  readonly unixMs: number;
  /** Its arrays are shared by all subscribers: read only. */
  readonly notice: KvNotice;
}

/** Tells what enters and leaves the engine's cache to whoever subscribed. It keeps nothing for those who come later. */
export interface KvFeed {
  /** Tells all who subscribed; keeps the notice's arrays for them. */
  publish(notice: KvNotice): void;
  /** Events from the first read on, until the signal. One who is too far behind gets `behind` as the last thing. */
  subscribe(signal: AbortSignal): AsyncIterable<KvEvent | "behind">;
}

/** A feed without subscribers. */
export function createKvFeed({ clock, mostBehind = MOST_BEHIND }: { clock: Clock; mostBehind?: number }): KvFeed {
  const subscribers = new Set<(event: KvEvent | undefined) => void>();
  let sequence = 0n;

  const publish = (notice: KvNotice): void => {
    sequence++;
    if (subscribers.size === 0) return;
    const event: KvEvent = { sequence, unixMs: clock.unixMs(), notice };
    for (const tell of subscribers) tell(event);
  };

  async function* subscribe(signal: AbortSignal): AsyncGenerator<KvEvent | "behind"> {
    const waiting = new Queue<KvEvent>(mostBehind);
    let behind = false;
    let wake: () => void = () => {};
    const tell = (event: KvEvent | undefined): void => {
      if (event && !waiting.push(event)) behind = true;
      wake();
    };
    const onAbort = (): void => tell(undefined);
    subscribers.add(tell);
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted && !behind) {
        const event = waiting.shift();
        if (event) yield event;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
      if (behind) yield "behind";
    } finally {
      subscribers.delete(tell);
      signal.removeEventListener("abort", onAbort);
    }
  }

  return { publish, subscribe };
}

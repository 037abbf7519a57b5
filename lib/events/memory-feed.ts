import { KvEventService, type SubscribeRequest, type SubscribeResponse } from "#gen/stator/worker/v1/kv_event_pb";
import type { Clock } from "#lib/base/clock";
import { createMemoryWire, type MemoryEnd, type MemoryWire, type MemoryWireOptions } from "#lib/rpc/memory-wire";
import { subscribeOver } from "./channel-feed.ts";
import type { KvFeed } from "./feed.ts";

/** Subscriptions in memory, and what can happen to them. */
export interface MemoryFeed extends KvFeed {
  /** Cuts all that are open: what is under way is lost and both ends hear of it. */
  cut(): void;
  /** Stops reading at this end, as a frozen process does. */
  freeze(): void;
  /** Reads on. */
  thaw(): void;
}

/** The events of a worker in the same process, through their bytes. `serve` gets the worker's end of each subscription. */
export function createMemoryFeed(
  serve: (channel: MemoryEnd<SubscribeResponse, SubscribeRequest>) => void,
  clock: Clock,
  options?: MemoryWireOptions,
): MemoryFeed {
  const { input: up, output: down } = KvEventService.method.subscribe;
  const wires = new Set<MemoryWire<SubscribeRequest, SubscribeResponse>>();
  let isFrozen = false;
  return {
    subscribe(ask, listener) {
      const wire = createMemoryWire({ up, down }, clock, options);
      if (isFrozen) wire.freeze("caller");
      wires.add(wire);
      serve(wire.server);
      const subscription = subscribeOver(wire.caller, ask, {
        onMessage: listener.onMessage,
        onEnd(error) {
          wires.delete(wire);
          listener.onEnd(error);
        },
      });
      return {
        close() {
          wires.delete(wire);
          subscription.close();
        },
      };
    },
    cut() {
      for (const wire of [...wires]) wire.cut();
    },
    freeze() {
      isFrozen = true;
      for (const wire of wires) wire.freeze("caller");
    },
    thaw() {
      isFrozen = false;
      for (const wire of wires) wire.thaw("caller");
    },
    close() {
      for (const wire of [...wires]) wire.cut();
      wires.clear();
    },
  };
}

import { KvEventService } from "#gen/stator/worker/v1/kv_event_pb";
import type { Transport } from "#lib/rpc/transport";
import { subscribeOver } from "./channel-feed.ts";
import type { KvFeed } from "./feed.ts";

/**
 * The events of a worker over a transport to it, which it takes: a session of its own over gRPC, or a direct call in the
 * same process.
 */
export function createRpcFeed(transport: Transport): KvFeed {
  let isClosed = false;
  return {
    subscribe(ask, listener) {
      const channel = transport.open(KvEventService.method.subscribe);
      const subscription = subscribeOver(channel, ask, {
        onMessage: listener.onMessage,
        onEnd(error) {
          if (!isClosed) listener.onEnd(error);
        },
      });
      channel.end();
      return subscription;
    },
    close() {
      isClosed = true;
      transport.close();
    },
  };
}

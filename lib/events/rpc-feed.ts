import { create } from "@bufbuild/protobuf";
import { KvEventService, SubscribeRequestSchema } from "#gen/stator/worker/v1/kv_event_pb";
import { StatorError } from "#lib/base/errors";
import type { Transport } from "#lib/rpc/transport";
import type { KvFeed } from "./feed.ts";
import { readFeedMessage } from "./wire.ts";

/**
 * The events of a worker over a transport to it, which it takes: a session of its own over gRPC, or a direct call in the
 * same process.
 */
export function createRpcFeed(transport: Transport): KvFeed {
  return {
    subscribe({ rank, incarnation, fromId }, listener) {
      const channel = transport.open(KvEventService.method.subscribe);
      let isOver = false;
      channel.receive({
        onMessage: (message) => {
          if (!isOver) listener.onMessage(readFeedMessage(message));
        },
        onEnd: (error) => {
          if (!isOver) listener.onEnd(error);
          isOver = true;
        },
      });
      channel.send(create(SubscribeRequestSchema, { rank, incarnation, fromEventId: fromId }));
      channel.end();
      return {
        close() {
          if (isOver) return;
          isOver = true;
          channel.end(new StatorError("CANCELLED"));
        },
      };
    },
    close: () => transport.close(),
  };
}

import { create } from "@bufbuild/protobuf";
import {
  type SubscribeRequest,
  SubscribeRequestSchema,
  type SubscribeResponse,
} from "#gen/stator/worker/v1/kv_event_pb";
import { StatorError } from "#lib/base/errors";
import type { MemoryEnd } from "#lib/rpc/memory-wire";
import type { KvAsk, KvFeedListener } from "./feed.ts";
import { readFeedMessage } from "./wire.ts";

/** One call of `KvEventService.Subscribe`, as whoever calls holds it. */
export type KvEventChannel = MemoryEnd<SubscribeRequest, SubscribeResponse>;

/** Subscribes over a channel of its own, which it takes. */
export function subscribeOver(
  channel: KvEventChannel,
  { rank, incarnation, fromId }: KvAsk,
  listener: KvFeedListener,
): { close(): void } {
  let isOver = false;
  channel.receive({
    onMessage(message) {
      if (!isOver) listener.onMessage(readFeedMessage(message));
    },
    onEnd(error) {
      if (!isOver) listener.onEnd(error);
      isOver = true;
    },
  });
  channel.send(create(SubscribeRequestSchema, { rank, incarnation, fromEventId: fromId }));
  return {
    close() {
      if (isOver) return;
      isOver = true;
      channel.end(new StatorError("CANCELLED"));
    },
  };
}

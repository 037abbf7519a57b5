import { create } from "@bufbuild/protobuf";
import {
  KvEventService,
  type SubscribeRequest,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from "#gen/stator/worker/v1/kv_event_pb";
import { printId } from "#lib/base/bytes";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { MemoryEnd } from "#lib/rpc/memory-wire";
import { createService, type ServedService } from "#lib/rpc/service";
import type { sharedMessage } from "./kv-ring.ts";
import type { KvReader, KvSource } from "./kv-source.ts";

/** What the service tells of. */
export interface KvEventServiceOptions {
  /** By rank. */
  readonly sources: readonly KvSource[];
  /** Of the heartbeats. */
  readonly clock: Clock;
}

/** The worker's end of one subscription. */
export type KvSubscriberChannel = MemoryEnd<SubscribeResponse, SubscribeRequest>;

/** stator.worker.v1.KvEventService over the sources of a worker's ranks. */
export function createKvEventService(options: KvEventServiceOptions): ServedService {
  return createService(KvEventService, {
    subscribe: {
      open(channel, call) {
        const subscription = serveKvSubscriber(channel, options);
        // A cancel may look like an end in order.
        call.signal.addEventListener("abort", () => subscription.stop());
      },
    },
  });
}

/** Serves one subscriber over a channel, whatever carries it, until one of them ends it; `stop` when the subscriber is gone. */
export function serveKvSubscriber(channel: KvSubscriberChannel, options: KvEventServiceOptions): { stop(): void } {
  const subscription = new Subscription(channel, options);
  subscription.receive();
  return subscription;
}

/** One subscriber: it is sent as much as it reads, and what it does not read is not kept for it. */
class Subscription {
  readonly #channel: KvSubscriberChannel;
  readonly #options: KvEventServiceOptions;
  #source: KvSource | undefined;
  #reader: KvReader | undefined;
  /** Parts of the snapshot that are still to be sent. */
  #parts: readonly SubscribeResponse[] = [];
  #part = 0;
  #isFull = false;
  #isOver = false;
  #spoke = false;
  #timer: Timer | undefined;

  constructor(channel: KvSubscriberChannel, options: KvEventServiceOptions) {
    this.#channel = channel;
    this.#options = options;
  }

  receive(): void {
    this.#channel.receive({
      onMessage: (request) => this.#begin(request),
      onEnd: (error) => {
        if (error) this.stop();
        else if (!this.#source) this.#end(new StatorError("INVALID_ARGUMENT", { detail: "Nothing was asked for" }));
      },
      onDrain: () => {
        this.#isFull = false;
        this.#pump();
      },
    });
  }

  #begin(request: SubscribeRequest): void {
    try {
      if (this.#source) throw new StatorError("INVALID_ARGUMENT", { detail: "A subscription is asked for once" });
      this.#open(request);
    } catch (caught) {
      this.#end(asStatorError(caught));
    }
  }

  #open({ rank, incarnation, fromEventId }: SubscribeRequest): void {
    const source = this.#options.sources[rank];
    if (!source) {
      const detail = `rank: this worker has ranks 0 to ${this.#options.sources.length - 1}`;
      throw new StatorError("INVALID_ARGUMENT", { detail });
    }
    if (incarnation !== 0n && incarnation !== source.incarnation) {
      throw new StatorError("NOT_FOUND", { what: `The incarnation ${printId(incarnation)} of this worker` });
    }
    const { blockTokens, hashScheme } = source.scale();
    this.#source = source;
    const isSnapshot = fromEventId === 0n || !source.remembers(fromEventId);
    const snapshot = isSnapshot ? source.snapshot() : undefined;
    this.#parts = snapshot?.messages ?? [];
    this.#reader = source.read(snapshot ? snapshot.lastId + 1n : fromEventId, {
      onNews: () => this.#pump(),
      onEnd: (error) => this.#end(error),
    });
    this.#send({
      case: "header",
      value: {
        ...{ incarnation: source.incarnation, blockTokens, hashScheme, isSnapshot },
        owner: { case: "workerRank", value: rank },
        lastEventId: source.lastId,
        oldestEventId: source.oldestId,
      },
    });
    this.#beat(source);
    this.#pump();
  }

  #send(content: Parameters<typeof sharedMessage>[0]): void {
    this.#put(create(SubscribeResponseSchema, { content }));
  }

  #put(message: SubscribeResponse): void {
    this.#spoke = true;
    if (!this.#channel.send(message)) this.#isFull = true;
  }

  #pump(): void {
    while (!this.#isFull && !this.#isOver) {
      const part = this.#parts[this.#part];
      if (part) {
        this.#part++;
        this.#put(part);
        continue;
      }
      this.#parts = [];
      const batch = this.#reader?.next();
      if (batch === undefined) return;
      if (batch !== "behind") this.#put(batch.message);
      else this.#resume();
    }
  }

  #resume(): void {
    const fromEventId = this.#reader?.nextId ?? 0n;
    this.#send({ case: "resume", value: { fromEventId, oldestEventId: this.#source?.oldestId ?? 0n } });
    this.#end();
  }

  #beat(source: KvSource): void {
    const { clock } = this.#options;
    this.#timer = clock.after(source.limits.heartbeatMs, () => {
      if (this.#isOver) return;
      // One who has something to read is told of it by that.
      if (!this.#spoke && !this.#isFull) this.#send({ case: "heartbeat", value: { lastEventId: source.lastId } });
      this.#spoke = false;
      this.#beat(source);
    });
  }

  #end(error?: StatorError): void {
    if (this.#isOver) return;
    this.stop();
    this.#channel.end(error);
  }

  stop(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#reader?.close();
    this.#parts = [];
  }
}

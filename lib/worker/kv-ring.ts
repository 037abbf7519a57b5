import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type SubscribeResponse, SubscribeResponseSchema } from "#gen/stator/worker/v1/kv_event_pb";
import { Queue } from "#lib/base/collections";
import { printChanges } from "#lib/events/wire";
import type { KvChange, KvEvent } from "#lib/kv/event";
import { share } from "#lib/rpc/serialize";

/** An event with the tokens of the blocks that it tells of. */
export interface SourceEvent extends KvEvent {
  /** Token ids of the blocks in order where they were stored, else empty. */
  readonly tokens: Uint32Array;
}

/** What an event weighs beside its arrays, in bytes. */
const EVENT_BYTES = 200;
/** Of a block: its two hashes, here and in the bytes that are sent. */
const BLOCK_BYTES = 32;

/** A message of the stream that all who hear it share: it is made to bytes once. */
export function sharedMessage(content: MessageInitShape<typeof SubscribeResponseSchema>["content"]): SubscribeResponse {
  return share(create(SubscribeResponseSchema, { content }));
}

/** Consecutive events that are told together. */
export class SourceBatch {
  /** At least one. */
  readonly events: readonly SourceEvent[];
  /** Memory that it takes, roughly. */
  readonly bytes: number;
  #message: SubscribeResponse | undefined;

  constructor(events: readonly SourceEvent[]) {
    this.events = events;
    this.bytes = events.reduce((sum, { change, tokens }) => {
      return sum + EVENT_BYTES + blocksOf(change) * BLOCK_BYTES + tokens.byteLength;
    }, 0);
  }

  /** Number of the first event. */
  get firstId(): bigint {
    return this.events[0]!.id;
  }

  /** Number of the last event. */
  get lastId(): bigint {
    return this.events.at(-1)!.id;
  }

  /** As the contract says it. */
  get message(): SubscribeResponse {
    this.#message ??= sharedMessage({
      case: "batch",
      value: {
        firstEventId: this.firstId,
        unixMs: BigInt(Math.floor(this.events[0]!.unixMs)),
        changes: printChanges(this.events.map(({ change }) => change)),
      },
    });
    return this.#message;
  }

  /** The part from an event on, which is in it or before it. */
  from(id: bigint): SourceBatch {
    return id <= this.firstId ? this : new SourceBatch(this.events.filter((event) => event.id >= id));
  }
}

/** Blocks that a change tells of. */
export function blocksOf(change: KvChange): number {
  return change.kind === "cleared" ? 0 : change.hashes.length;
}

/** The last batches, as many as fit: the oldest go first, and the last one stays whatever its size. */
export class KvRing {
  readonly #mostEvents: number;
  readonly #mostBytes: number;
  #batches: Queue<SourceBatch>;
  /** Number of the batch in front, counted from the first that ever was. */
  #first = 0;
  #events = 0;
  #bytes = 0;

  constructor({ ringEvents, ringBytes }: { readonly ringEvents: number; readonly ringBytes: number }) {
    this.#mostEvents = ringEvents;
    this.#mostBytes = ringBytes;
    // A batch has at least one event, and the newest is in before the oldest goes.
    this.#batches = new Queue(ringEvents + 1);
  }

  /** Events that it holds. */
  get events(): number {
    return this.#events;
  }

  /** Memory of what it holds, roughly. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The first event that it holds; undefined when it is empty. */
  get oldestId(): bigint | undefined {
    return this.#batches.peek()?.firstId;
  }

  /** Number of the batch that comes next. */
  get end(): number {
    return this.#first + this.#batches.size;
  }

  push(batch: SourceBatch): void {
    this.#batches.push(batch);
    this.#events += batch.events.length;
    this.#bytes += batch.bytes;
    while (this.#batches.size > 1 && (this.#events > this.#mostEvents || this.#bytes > this.#mostBytes)) {
      const gone = this.#batches.shift()!;
      this.#first++;
      this.#events -= gone.events.length;
      this.#bytes -= gone.bytes;
    }
  }

  /** A batch by its number; `gone` when it was held once, undefined when it is still to come. */
  at(number: number): SourceBatch | "gone" | undefined {
    return number < this.#first ? "gone" : this.#batches.at(number - this.#first);
  }

  /** The number of the batch that an event is in. */
  find(id: bigint): number | "gone" | undefined {
    if (id < (this.oldestId ?? 0n)) return "gone";
    let from = 0;
    let to = this.#batches.size;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#batches.at(middle)!.lastId < id) from = middle + 1;
      else to = middle;
    }
    return from === this.#batches.size ? undefined : this.#first + from;
  }

  /** Forgets all; what was held is gone. */
  clear(): void {
    this.#first = this.end;
    this.#batches = new Queue(this.#mostEvents + 1);
    this.#events = 0;
    this.#bytes = 0;
  }
}

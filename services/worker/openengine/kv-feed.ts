import type { MessageInitShape } from "@bufbuild/protobuf";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import {
  type KvEventSchema,
  StorageMedium,
  type SubscribeKvEventsRequest,
  type SubscribeKvEventsResponseSchema,
} from "#gen/openengine/v1/kv_pb";
import { viewBytes } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { Queue } from "#lib/base/collections";
import { StatorError } from "#lib/base/errors";
import type { KvNotice } from "#lib/engines/engine";
import type { CallContext } from "#lib/rpc/call";

type Response = MessageInitShape<typeof SubscribeKvEventsResponseSchema>;

/** Batches that one slow subscriber may be behind; then it is told to subscribe again. */
const SUBSCRIBER_BATCHES = 4096;

/** Tells what enters and leaves the engine's cache to whoever subscribed. */
export interface KvFeed {
  publish(notice: KvNotice): void;
  /** A live stream of later events. A snapshot or a replay is refused: this feed keeps nothing. */
  subscribe(request: SubscribeKvEventsRequest, call: CallContext): AsyncIterable<Response>;
}

/** A feed of an engine with blocks of `blockTokens` tokens. */
export function createKvFeed(deps: { blockTokens(): number; clock: Clock }): KvFeed {
  const subscribers = new Set<(batch: Response | undefined) => void>();
  let sequence = 0n;

  const publish = (notice: KvNotice): void => {
    sequence++;
    if (subscribers.size === 0) return;
    const batch: Response = {
      event: {
        case: "batch",
        value: {
          sequenceNumber: sequence,
          timestampUnixNanos: BigInt(deps.clock.unixMs()) * 1_000_000n,
          dataParallelRank: 0,
          events: [kvEvent(notice, deps.blockTokens())],
        },
      },
    };
    for (const tell of subscribers) tell(batch);
  };

  async function* subscribe(request: SubscribeKvEventsRequest, call: CallContext): AsyncGenerator<Response> {
    if (request.includeSnapshot || request.startSequenceNumber > 0n) {
      throw new StatorError("UNSUPPORTED_FEATURE", {
        feature: "a snapshot or replay of KV events",
        detail: "only live events are offered",
      });
    }
    if (request.dataParallelRanks.some((rank) => rank !== 0)) {
      throw new StatorError("INVALID_ARGUMENT", { detail: "data_parallel_ranks: this worker has rank 0 only" });
    }
    const waiting = new Queue<Response>(SUBSCRIBER_BATCHES);
    let behind = false;
    let wake: () => void = () => {};
    const tell = (batch: Response | undefined): void => {
      if (batch && !waiting.push(batch)) behind = true;
      wake();
    };
    const onAbort = (): void => tell(undefined);
    subscribers.add(tell);
    call.signal.addEventListener("abort", onAbort);
    try {
      while (!call.signal.aborted && !behind) {
        const batch = waiting.shift();
        if (batch) yield batch;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
      if (behind) {
        yield {
          event: {
            case: "error",
            value: { code: ErrorCode.OVERLOADED, message: "Too far behind: subscribe again.", retryable: true },
          },
        };
      }
    } finally {
      subscribers.delete(tell);
      call.signal.removeEventListener("abort", onAbort);
    }
  }

  return { publish, subscribe };
}

/** Block hashes as 8 bytes little endian. */
function hashList(hashes: BigUint64Array) {
  return Array.from({ length: hashes.length }, (_, at) => ({
    value: viewBytes(hashes.slice(at, at + 1)),
    encoding: "bytes",
  }));
}

function kvEvent(notice: KvNotice, blockTokens: number): MessageInitShape<typeof KvEventSchema> {
  if (notice.kind === "cleared") return { event: { case: "allBlocksCleared", value: {} } };
  const blockHashes = hashList(notice.hashes);
  if (notice.kind === "removed") {
    return { event: { case: "blockRemoved", value: { blockHashes, medium: StorageMedium.GPU } } };
  }
  const parent = notice.parent === undefined ? undefined : hashList(BigUint64Array.of(notice.parent))[0];
  return {
    event: {
      case: "blockStored",
      value: {
        blockHashes,
        parentBlockHash: parent,
        tokenIds: [...notice.tokens],
        blockSize: blockTokens,
        loraName: notice.adapter ?? "",
        medium: StorageMedium.GPU,
      },
    },
  };
}

import type { MessageInitShape } from "@bufbuild/protobuf";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import {
  type KvEventSchema,
  StorageMedium,
  type SubscribeKvEventsRequest,
  type SubscribeKvEventsResponseSchema,
} from "#gen/openengine/v1/kv_pb";
import { viewBytes } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { KvNotice } from "#lib/engines/engine";
import type { KvEvent, KvFeed } from "../events/kv-feed.ts";

type Response = MessageInitShape<typeof SubscribeKvEventsResponseSchema>;

/** What the answer to a subscription is made from. */
export interface KvEventsSource {
  /** Where the events come from. */
  readonly feed: KvFeed;
  /** Of the engine's card; 0 before there is one. */
  blockTokens(): number;
}

/** A live stream of later events. A snapshot or a replay is refused: the feed keeps nothing. */
export async function* subscribeKvEvents(
  { feed, blockTokens }: KvEventsSource,
  request: SubscribeKvEventsRequest,
  signal: AbortSignal,
): AsyncGenerator<Response> {
  if (request.includeSnapshot || request.startSequenceNumber > 0n) {
    throw new StatorError("UNSUPPORTED_FEATURE", {
      feature: "a snapshot or replay of KV events",
      detail: "only live events are offered",
    });
  }
  if (request.dataParallelRanks.some((rank) => rank !== 0)) {
    throw new StatorError("INVALID_ARGUMENT", { detail: "data_parallel_ranks: this worker has rank 0 only" });
  }
  for await (const event of feed.subscribe(signal)) {
    yield { event: event === "behind" ? BEHIND : printBatch(event, blockTokens()) };
  }
}

const BEHIND = {
  case: "error",
  value: { code: ErrorCode.OVERLOADED, message: "Too far behind: subscribe again.", retryable: true },
} as const;

function printBatch({ sequence, unixMs, notice }: KvEvent, blockTokens: number): Response["event"] {
  return {
    case: "batch",
    value: {
      sequenceNumber: sequence,
      timestampUnixNanos: BigInt(unixMs) * 1_000_000n,
      dataParallelRank: 0,
      events: [printNotice(notice, blockTokens)],
    },
  };
}

/** Block hashes as 8 bytes little endian. */
function hashList(hashes: BigUint64Array) {
  return Array.from({ length: hashes.length }, (_, at) => ({
    value: viewBytes(hashes.slice(at, at + 1)),
    encoding: "bytes",
  }));
}

function printNotice(notice: KvNotice, blockTokens: number): MessageInitShape<typeof KvEventSchema> {
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

import type { MessageInitShape } from "@bufbuild/protobuf";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import {
  type KvEventSchema,
  StorageMedium,
  type SubscribeKvEventsRequest,
  type SubscribeKvEventsResponseSchema,
} from "#gen/openengine/v1/kv_pb";
import { printId, viewBytes } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { KvTier } from "#lib/kv/event";
import type { HeldRun } from "#lib/worker/kv-mirror";
import type { SourceEvent } from "#lib/worker/kv-ring";
import type { KvReader, KvSource } from "#lib/worker/kv-source";

type Response = MessageInitShape<typeof SubscribeKvEventsResponseSchema>;

const MEDIA = {
  device: StorageMedium.GPU,
  host: StorageMedium.CPU_PINNED,
  disk: StorageMedium.DISK,
  external: StorageMedium.EXTERNAL,
} as const satisfies Record<KvTier, StorageMedium>;

const RANK = 0;

/**
 * The events of a worker as openengine.v1 tells them, one a batch: from now on, from a number that is still remembered, or
 * from a snapshot, whose batches have the number of the last event that is in it. Where a number is asked for and a
 * snapshot too, the snapshot is sent when the number is not remembered.
 */
export async function* subscribeKvEvents(
  source: KvSource,
  { dataParallelRanks, includeSnapshot, startSequenceNumber: start }: SubscribeKvEventsRequest,
  signal: AbortSignal,
): AsyncGenerator<Response> {
  if (dataParallelRanks.some((rank) => rank !== RANK)) {
    throw new StatorError("INVALID_ARGUMENT", { detail: "data_parallel_ranks: this worker has rank 0 only" });
  }
  const { blockTokens } = source.scale();
  const isRemembered = start > 0n && source.remembers(start);
  if (start > 0n && !isRemembered && !includeSnapshot) throw forgotten(source, start);
  const snapshot = includeSnapshot && !isRemembered ? source.snapshot() : undefined;
  const from = isRemembered ? start : (snapshot?.lastId ?? source.lastId) + 1n;
  const events = new EventReader(source, from, signal);
  try {
    for (const run of snapshot?.runs ?? []) {
      yield printBatch({ ...run, id: snapshot!.lastId, unixMs: snapshot!.unixMs }, blockTokens);
    }
    for (;;) {
      const next = await events.next();
      if (next === "over") return;
      if (next === "behind") {
        yield { event: BEHIND };
        return;
      }
      for (const event of next) yield printBatch(event, blockTokens);
    }
  } finally {
    events.close();
  }
}

function forgotten({ oldestId, lastId }: KvSource, start: bigint): StatorError {
  const detail = `start_sequence_number: ${start} is not remembered; ${oldestId} to ${lastId + 1n} can be asked for, and a snapshot`;
  return new StatorError("INVALID_ARGUMENT", { detail });
}

const BEHIND = {
  case: "error",
  value: { code: ErrorCode.OVERLOADED, message: "Too far behind: subscribe again.", retryable: true },
} as const;

/** Waits for events of a source. */
class EventReader {
  readonly #reader: KvReader;
  readonly #signal: AbortSignal;
  #wake: () => void = () => {};
  #error: StatorError | undefined;

  constructor(source: KvSource, fromId: bigint, signal: AbortSignal) {
    this.#signal = signal;
    this.#reader = source.read(fromId, {
      onNews: () => this.#wake(),
      onEnd: (error) => {
        this.#error = error;
        this.#wake();
      },
    });
    signal.addEventListener("abort", this.#onAbort);
  }

  /** Consecutive events; `over` when nobody reads any more. Throws what ended the source. */
  async next(): Promise<readonly SourceEvent[] | "behind" | "over"> {
    for (;;) {
      if (this.#signal.aborted) return "over";
      if (this.#error) throw this.#error;
      const batch = this.#reader.next();
      if (batch === "behind") return "behind";
      if (batch) return batch.events;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#reader.close();
    this.#signal.removeEventListener("abort", this.#onAbort);
  }

  readonly #onAbort = (): void => this.#wake();
}

function printBatch(event: SourceEvent, blockTokens: number): Response {
  return {
    event: {
      case: "batch",
      value: {
        sequenceNumber: event.id,
        timestampUnixNanos: BigInt(Math.floor(event.unixMs)) * 1_000_000n,
        dataParallelRank: RANK,
        events: [printEvent(event, blockTokens)],
      },
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

function printEvent(
  { change, tokens }: Pick<SourceEvent, "change"> & Pick<HeldRun, "tokens">,
  blockTokens: number,
): MessageInitShape<typeof KvEventSchema> {
  if (change.kind === "cleared") return { event: { case: "allBlocksCleared", value: {} } };
  const blockHashes = hashList(change.hashes);
  const place = { medium: MEDIA[change.tier], groupIdx: change.group };
  if (change.kind === "removed") return { event: { case: "blockRemoved", value: { blockHashes, ...place } } };
  const parent = change.parent === undefined ? undefined : hashList(BigUint64Array.of(change.parent))[0];
  // The salt itself is told to nobody.
  const values = [printId(change.saltNamespace)];
  const extraKeys = change.saltNamespace === 0n ? [] : Array.from(change.hashes, () => ({ values }));
  return {
    event: {
      case: "blockStored",
      value: {
        blockHashes,
        parentBlockHash: parent,
        tokenIds: [...tokens],
        blockSize: blockTokens,
        loraName: change.adapter ?? "",
        extraKeys,
        ...place,
      },
    },
  };
}

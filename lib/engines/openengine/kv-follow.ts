import type { KvEventBatch } from "#gen/openengine/v1/kv_pb";
import type { Control } from "#gen/openengine/v1/openengine_pb";
import { Backoff } from "#lib/base/backoff";
import type { Clock } from "#lib/base/clock";
import { asStatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import { pause } from "#lib/host/pause";
import type { Client } from "#lib/rpc/client";
import type { KvNotice } from "../engine.ts";
import { contractFault, readEngineError } from "./faults.ts";
import { KvNames } from "./kv-names.ts";

/** What a cache is followed with. */
export interface KvFollowDeps {
  /** Of the engine. */
  readonly control: Client<typeof Control>;
  /** Of the waits between subscriptions. */
  readonly clock: Clock;
  /** Told of what was missed, and of an engine that tells nothing. */
  readonly log: Log;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** Blocks that the engine may tell of. */
  readonly mostBlocks: number;
  /** The salt that a key in the names of blocks stands for; undefined when that is not known. */
  saltOf(key: string): string | undefined;
  /** Hears what changed, in order. */
  onKv(notice: KvNotice): void;
}

/** Between subscriptions that fail one after the other. */
const WAITS = { firstMs: 50, longestMs: 5_000 } as const;

const RANK = 0;

/**
 * Keeps knowing what an engine has cached: a subscription that begins with a snapshot, and after a gap or a loss another one
 * from the batch that is missing, or with a snapshot where the engine does not remember it.
 */
export class KvFollow {
  readonly #deps: KvFollowDeps;
  readonly #names: KvNames;
  /** Number of the last batch that was applied; undefined when nothing can be gone on from. */
  #last: bigint | undefined;
  /** Parts of a snapshot have one number. */
  #isSnapshot = false;

  constructor(deps: KvFollowDeps) {
    this.#deps = deps;
    this.#names = new KvNames(deps.blockTokens, deps.mostBlocks, deps.saltOf);
  }

  /** Blocks that are known to be cached. */
  get blocks(): number {
    return this.#names.size;
  }

  /** The engine began anew: nothing of what it told holds. */
  restart(): void {
    this.#last = undefined;
    this.#tell(this.#names.clear());
  }

  /** Follows until the signal, or until the engine says that it tells nothing. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const backoff = new Backoff(WAITS);
    while (!signal.aborted) {
      try {
        await this.#subscribe(signal, () => backoff.reset());
      } catch (caught) {
        if (signal.aborted) return;
        const error = asStatorError(caught);
        if (error.row.grpc === GRPC_UNIMPLEMENTED) {
          log.info("the engine tells nothing of its cache", { error });
          return;
        }
        log.debug("events of the engine's cache ended", { error });
        // What contradicts itself is not gone on from.
        if (error.reason === "ENGINE_FAILED" || error.reason === "LIMIT") this.restart();
      }
      await pause(clock, backoff.nextMs(), signal);
    }
  }

  async #subscribe(signal: AbortSignal, isWell: () => void): Promise<void> {
    const startSequenceNumber = this.#last === undefined ? 0n : this.#last + 1n;
    const request = { dataParallelRanks: [RANK], includeSnapshot: true, startSequenceNumber };
    let isFirst = true;
    for await (const { event } of this.#deps.control.subscribeKvEvents(request, { signal })) {
      if (event.case === "error") throw readEngineError(event.value);
      if (event.case !== "batch") continue;
      if (isFirst) this.#begin(event.value);
      isFirst = false;
      if (!this.#take(event.value)) return;
      isWell();
    }
  }

  /** The first batch is the one that is missing, or the first of a snapshot. */
  #begin({ sequenceNumber }: KvEventBatch): void {
    this.#isSnapshot = this.#last === undefined || sequenceNumber !== this.#last + 1n;
    if (this.#isSnapshot) this.restart();
  }

  /** Applies a batch. False: some are missing, and are to be asked for. */
  #take(batch: KvEventBatch): boolean {
    const { sequenceNumber, dataParallelRank, events } = batch;
    if (dataParallelRank !== RANK)
      throw contractFault(`events of the rank ${dataParallelRank}, which was not asked for`);
    const last = this.#last;
    if (last !== undefined && sequenceNumber !== last + 1n) {
      const isPart = this.#isSnapshot && sequenceNumber === last;
      // What was told before is told again by some after a loss.
      if (!isPart && sequenceNumber <= last) return true;
      if (!isPart) {
        this.#deps.log.debug("batches of the engine's cache are missing", { last, next: sequenceNumber });
        return false;
      }
    } else if (last !== undefined) this.#isSnapshot = false;
    this.#last = sequenceNumber;
    for (const event of events) this.#tell(this.#names.read(event));
    return true;
  }

  #tell(notice: KvNotice | undefined): void {
    if (notice) this.#deps.onKv(notice);
  }
}

const GRPC_UNIMPLEMENTED = 12;

import type { SubscribeResponse } from "#gen/stator/worker/v1/kv_event_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { KvNotice } from "#lib/engines/engine";
import { printChanges } from "#lib/events/wire";
import type { Log } from "#lib/host/log";
import type { KvChange } from "#lib/kv/event";
import { type BlockHasher, hashSeed } from "#lib/tokens/block-hash";
import { xxh3 } from "#lib/tokens/xxh3";
import { type HeldRun, KvMirror } from "./kv-mirror.ts";
import { blocksOf, KvRing, SourceBatch, type SourceEvent, sharedMessage } from "./kv-ring.ts";

/** Bounds and periods of a source. */
export interface KvSourceLimits {
  /** Events that can be replayed. */
  readonly ringEvents: number;
  /** Memory of the events that can be replayed, in bytes, roughly; the last batch stays whatever its size. */
  readonly ringBytes: number;
  /** Blocks in one batch or part of a snapshot; a notice of more is told in several events. */
  readonly batchBlocks: number;
  /** Events are gathered for so long, to be told together: a message costs more than what is in it. */
  readonly gatherMs: number;
  /** A subscriber that heard nothing for so long hears that nothing happened. */
  readonly heartbeatMs: number;
  /** Blocks that are remembered of an engine that does not say how many it has. */
  readonly heldBlocks: number;
}

/** What every source uses unless told otherwise. */
export const KV_SOURCE_LIMITS: KvSourceLimits = {
  ringEvents: 16_384,
  ringBytes: 16 << 20,
  batchBlocks: 4_096,
  gatherMs: 20,
  heartbeatMs: 1_000,
  heldBlocks: 1 << 20,
};

/** What a source is made of. */
export interface KvSourceOptions {
  /** Of its numbers: another one begins anew. */
  readonly incarnation: bigint;
  /** Hashes what blocks hold; the addon's where it is there. */
  readonly hasher: BlockHasher;
  /** Of the times of events. */
  readonly clock: Clock;
  /** Told of an engine that keeps more than it may. */
  readonly log: Log;
  /** What differs from `KV_SOURCE_LIMITS`. */
  readonly limits?: Partial<KvSourceLimits> | undefined;
}

/** As much of an engine's card as its events are read by. */
export interface KvScale {
  /** Tokens of a block; undefined: it tells of none. */
  readonly blockTokens: number | undefined;
  /** How blocks are hashed; empty when nobody knows. */
  readonly hashScheme: string;
  /** Blocks of the pool; undefined when nobody knows. */
  readonly totalBlocks: number | undefined;
}

/** What a source has counted since it was made. */
export interface KvSourceCounters {
  /** Events, by kind. */
  readonly events: Record<KvChange["kind"], number>;
  /** Notices that were left out: blocks behind one that was never stored, or without their tokens. */
  refused: number;
  /** Times that an engine kept more blocks than it may, and was taken for cleared. */
  overflows: number;
  /** Readers that were too slow. */
  behind: number;
}

/** Reads a source from one event on. */
export interface KvReader {
  /** What comes next; undefined: nothing yet. Of one that was too slow `behind`, as the last thing. */
  next(): SourceBatch | "behind" | undefined;
  /** First event that was not read. */
  readonly nextId: bigint;
  /** Reads no more. */
  close(): void;
}

/** Who reads. Called from the event loop. */
export interface KvReaderListener {
  /** There is something to read. */
  onNews(): void;
  /** The numbers end here: nothing can be read any more. */
  onEnd(error: StatorError): void;
}

/** All that is kept, as it is after an event. */
export interface KvSnapshotView {
  /** The last event that it has in it. */
  readonly lastId: bigint;
  /** When it was made, Unix time in milliseconds. */
  readonly unixMs: number;
  /** Blocks as they would be stored, those before them first, in parts of `batchBlocks` at most. */
  readonly runs: readonly HeldRun[];
  /** The same as the contract says it; the same for all who hear it. */
  readonly messages: readonly SubscribeResponse[];
}

const NO_TOKENS = new Uint32Array(0);

interface Reading {
  readonly listener: KvReaderListener;
  at: number;
  nextId: bigint;
}

/**
 * The events of one rank: it numbers what an engine tells from 1 on, remembers the last ones and all that is kept, and
 * tells any number of readers, each at its own pace. Nothing is computed twice for two of them, and nothing is kept for one.
 */
export class KvSource {
  readonly counters: KvSourceCounters = {
    events: { stored: 0, removed: 0, cleared: 0 },
    refused: 0,
    overflows: 0,
    behind: 0,
  };
  readonly limits: KvSourceLimits;
  readonly #options: KvSourceOptions;
  readonly #ring: KvRing;
  readonly #readers = new Set<Reading>();
  #scale: KvScale | undefined;
  #mirror = new KvMirror(1);
  #incarnation: bigint;
  #lastId = 0n;
  #gathered: SourceEvent[] = [];
  #gatheredBlocks = 0;
  #timer: Timer | undefined;
  #snapshot: KvSnapshotView | undefined;
  /** Why nothing is told any more. */
  #closed: StatorError | undefined;
  #seed = { cacheSalt: "", adapter: undefined as string | undefined, seed: hashSeed("", undefined) };
  #scratch = new BigUint64Array(0);

  constructor(options: KvSourceOptions) {
    this.#options = options;
    this.#incarnation = options.incarnation;
    this.limits = { ...KV_SOURCE_LIMITS, ...options.limits };
    this.#ring = new KvRing(this.limits);
  }

  /** The worker's: it changes when others took the worker for dead. */
  get incarnation(): bigint {
    return this.#incarnation;
  }

  /** Number of the last event that was told; 0 before the first. */
  get lastId(): bigint {
    return this.#lastId - BigInt(this.#gathered.length);
  }

  /** The first event that can still be read. */
  get oldestId(): bigint {
    return this.#ring.oldestId ?? this.lastId + 1n;
  }

  /** Blocks that are kept. */
  get heldBlocks(): number {
    return this.#mirror.blocks;
  }

  /** Memory of what can be replayed, in bytes, roughly. */
  get ringBytes(): number {
    return this.#ring.bytes;
  }

  /** Those who read. */
  get readers(): number {
    return this.#readers.size;
  }

  /** The engine is open; once, before its first notice. */
  open(scale: KvScale): void {
    this.#scale = scale;
    this.#mirror = new KvMirror(scale.blockTokens ?? 1);
  }

  /**
   * What events are read by. Throws MODEL_LOADING before the engine is open, UNSUPPORTED_FEATURE where it tells of no blocks,
   * and what it was closed with.
   */
  scale(): { readonly blockTokens: number; readonly hashScheme: string } {
    if (this.#closed) throw this.#closed;
    if (!this.#scale) throw new StatorError("MODEL_LOADING", { model: "of this worker" }, { retryAfterMs: 1000 });
    const { blockTokens, hashScheme } = this.#scale;
    if (blockTokens !== undefined && hashScheme !== "") return { blockTokens, hashScheme };
    const detail = "nobody knows how its engine names its blocks";
    throw new StatorError("UNSUPPORTED_FEATURE", { feature: "Events of this worker's cache", detail });
  }

  /** Tells what an engine told; keeps the arrays. Nothing after `close`. */
  publish(notice: KvNotice): void {
    if (this.#closed) return;
    const { blockTokens, hashScheme = "", totalBlocks } = this.#scale ?? {};
    if (blockTokens === undefined || hashScheme === "") return;
    if (notice.kind === "cleared") this.#clear();
    else if (notice.kind === "removed") this.#remove(notice.hashes);
    else this.#store(notice, blockTokens, totalBlocks ?? this.limits.heldBlocks);
  }

  /** Others took the worker for dead: numbers begin anew, and those who read the old ones are told so. */
  restart(incarnation: bigint): void {
    this.#incarnation = incarnation;
    this.#end(new StatorError("STREAM_LOST", { detail: "the worker came back as another incarnation" }));
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#gathered = [];
    this.#gatheredBlocks = 0;
    this.#ring.clear();
    this.#lastId = 0n;
    this.#snapshot = undefined;
  }

  /** Nothing is told any more, and who comes now to read is told the same as those who do. */
  close(error: StatorError): void {
    this.#closed ??= error;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#end(error);
  }

  /** All that is kept now. */
  snapshot(): KvSnapshotView {
    this.#flush();
    this.#snapshot ??= createSnapshot(this.#mirror.runs(), this.limits.batchBlocks, {
      lastId: this.lastId,
      unixMs: this.#options.clock.unixMs(),
    });
    return this.#snapshot;
  }

  /** Whether the events from this one on can be read: it is remembered, or the next. */
  remembers(id: bigint): boolean {
    this.#flush();
    return id === this.lastId + 1n || (id >= this.oldestId && id <= this.lastId);
  }

  /** Reads from an event on that is remembered, or the next. */
  read(fromId: bigint, listener: KvReaderListener): KvReader {
    this.#flush();
    const found = this.#ring.find(fromId);
    const reading: Reading = { listener, at: typeof found === "number" ? found : this.#ring.end, nextId: fromId };
    this.#readers.add(reading);
    return {
      next: () => this.#next(reading),
      get nextId() {
        return reading.nextId;
      },
      close: () => void this.#readers.delete(reading),
    };
  }

  #next(reading: Reading): SourceBatch | "behind" | undefined {
    const found = this.#ring.at(reading.at);
    if (found === undefined) return undefined;
    if (found === "gone") {
      if (this.#readers.delete(reading)) this.counters.behind++;
      return "behind";
    }
    const batch = found.from(reading.nextId);
    reading.at++;
    reading.nextId = batch.lastId + 1n;
    return batch;
  }

  #end(error: StatorError): void {
    const readers = [...this.#readers];
    this.#readers.clear();
    for (const { listener } of readers) listener.onEnd(error);
  }

  #clear(): void {
    this.#mirror.clear();
    this.#tell({ kind: "cleared" }, NO_TOKENS);
  }

  #remove(hashes: BigUint64Array): void {
    this.#mirror.remove(hashes);
    for (let from = 0; from < hashes.length; from += this.limits.batchBlocks) {
      const part = hashes.subarray(from, from + this.limits.batchBlocks);
      this.#tell({ kind: "removed", tier: "device", group: 0, hashes: part }, NO_TOKENS);
    }
  }

  #store(notice: KvNotice & { kind: "stored" }, blockTokens: number, mostBlocks: number): void {
    const { hashes, tokens, cacheSalt, adapter } = notice;
    const isOrphan = notice.parent !== undefined && !this.#mirror.has(notice.parent);
    if (isOrphan || tokens.length !== hashes.length * blockTokens || hashes.length === 0) {
      this.counters.refused++;
      return;
    }
    const contents = notice.contents ?? this.#contentsOf(notice, blockTokens);
    const saltNamespace = cacheSalt === "" ? 0n : xxh3(new TextEncoder().encode(cacheSalt), 1n);
    for (let from = 0; from < hashes.length; from += this.limits.batchBlocks) {
      const to = Math.min(from + this.limits.batchBlocks, hashes.length);
      const part = tokens.subarray(from * blockTokens, to * blockTokens);
      const change = {
        kind: "stored",
        tier: "device",
        group: 0,
        parent: from === 0 ? notice.parent : hashes[from - 1],
        hashes: hashes.subarray(from, to),
        contents: contents.subarray(from, to),
        adapter,
        saltNamespace,
        media: [],
      } as const;
      this.#mirror.store({ change, tokens: part });
      this.#tell(change, part);
    }
    if (this.#mirror.blocks > mostBlocks) this.#overflow(mostBlocks);
  }

  #contentsOf(
    { hashes, tokens, cacheSalt, adapter }: KvNotice & { kind: "stored" },
    blockTokens: number,
  ): BigUint64Array {
    const contents = new BigUint64Array(hashes.length);
    if (this.#scratch.length < hashes.length) this.#scratch = new BigUint64Array(hashes.length);
    this.#options.hasher.hashBlocks(tokens, blockTokens, this.#seedOf(cacheSalt, adapter), contents, this.#scratch);
    return contents;
  }

  /** What it keeps cannot be known in bounded memory: others forget it too. */
  #overflow(mostBlocks: number): void {
    if (this.counters.overflows++ === 0) {
      this.#options.log.warn("the engine told of more blocks than it has", { blocks: mostBlocks });
    }
    this.#clear();
  }

  #seedOf(cacheSalt: string, adapter: string | undefined): bigint {
    const last = this.#seed;
    if (last.cacheSalt === cacheSalt && last.adapter === adapter) return last.seed;
    this.#seed = { cacheSalt, adapter, seed: hashSeed(cacheSalt, adapter) };
    return this.#seed.seed;
  }

  #tell(change: KvChange, tokens: Uint32Array): void {
    const { clock } = this.#options;
    const blocks = blocksOf(change);
    if (this.#gatheredBlocks + blocks > this.limits.batchBlocks) this.#flush();
    this.counters.events[change.kind]++;
    this.#gathered.push({ id: ++this.#lastId, unixMs: clock.unixMs(), change, tokens });
    this.#gatheredBlocks += blocks;
    this.#snapshot = undefined;
    if (this.#gathered.length >= this.limits.batchBlocks) this.#flush();
    else this.#timer ??= clock.after(this.limits.gatherMs, () => this.#flush());
  }

  /** What was gathered is told. */
  #flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#gathered.length === 0) return;
    this.#ring.push(new SourceBatch(this.#gathered));
    this.#gathered = [];
    this.#gatheredBlocks = 0;
    for (const { listener } of [...this.#readers]) listener.onNews();
  }
}

function createSnapshot(
  held: readonly HeldRun[],
  mostBlocks: number,
  { lastId, unixMs }: { readonly lastId: bigint; readonly unixMs: number },
): KvSnapshotView {
  const parts: HeldRun[][] = [[]];
  let blocks = 0;
  for (const run of held) {
    const count = run.change.hashes.length;
    if (blocks + count > mostBlocks && blocks > 0) {
      parts.push([]);
      blocks = 0;
    }
    parts.at(-1)!.push(run);
    blocks += count;
  }
  let messages: SubscribeResponse[] | undefined;
  return {
    lastId,
    unixMs,
    runs: held,
    get messages() {
      messages ??= parts.map((runs, part) =>
        sharedMessage({
          case: "snapshot",
          value: {
            changes: printChanges(runs.map(({ change }) => change)),
            part,
            isLast: part === parts.length - 1,
            lastEventId: lastId,
          },
        }),
      );
      return messages;
    },
  };
}

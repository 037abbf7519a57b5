import type { MessageInitShape } from "@bufbuild/protobuf";
import type { KvSession, Room, TransferReportSchema } from "#gen/stator/worker/v1/link_pb";
import type { StatorError } from "#lib/base/errors";
import type { KvLayout } from "#lib/kv/layout";
import type { ServedService } from "#lib/rpc/service";
import type { BlockStore } from "./block-store.ts";

/** A sequence whose blocks are kept or wanted. */
export interface TransferPrompt {
  /** All tokens whose rows count, from the first on: the prompt, and what earlier attempts generated. Kept, and not changed. */
  readonly tokens: Uint32Array;
  /** As a request's: blocks are shared within one salt. */
  readonly cacheSalt: string;
  /** As a request's; undefined: the base model. */
  readonly adapter: string | undefined;
}

/** A sequence that a prefill has computed. */
export interface KeptPrompt extends TransferPrompt {
  /** What it drew behind it. */
  readonly firstTokens: Uint32Array;
  /** Who waits for it there goes on; undefined without a room. */
  readonly room?: bigint | undefined;
}

/** The worker as others know it. */
export interface WorkerIdentity {
  /** Its instance. */
  readonly instanceId: bigint;
  /** Of its start, or of the last time that it came back. */
  readonly incarnation: bigint;
  /** host:port of its gRPC port, where it serves PayloadService. */
  readonly address: string;
}

/** The engine whose blocks are lent and brought in. */
export interface TransferEngine {
  /** Its blocks. */
  readonly blocks: BlockStore;
  /** How many its pool has. */
  readonly totalBlocks: number;
  /** How one lies. */
  readonly layout: KvLayout;
  /** SHA-256 of its weights, 32 bytes. */
  readonly modelDigest: Uint8Array;
  /** How its blocks are named. */
  readonly hashScheme: string;
  /** Asked each time: an incarnation ends before the process does. */
  identity(): WorkerIdentity;
}

/** Where blocks come from. */
export type TransferSource = { readonly session: KvSession } | { readonly room: Room };

/** How one fetch is made. */
export interface FetchOptions {
  /** Gives it up: `fetch` rejects with its reason. */
  readonly signal: AbortSignal;
  /** It ends after so long, and the rest is computed; `transfer.deadline-ms` unless given, and never later than that. */
  readonly deadlineMs?: number | undefined;
}

/** What became of a transfer. */
export type TransferReportInit = MessageInitShape<typeof TransferReportSchema>;

/** What a fetch brought. */
export interface Fetched {
  /** What the prefill drew: the answer's first tokens. */
  readonly firstTokens: Uint32Array;
  /** For the request's Finish. */
  readonly report: TransferReportInit;
}

/** What is kept for others now. */
export interface TransferLoad {
  /** Sessions that nobody has released and whose lease lasts, and rooms whose prefill runs. */
  readonly openSessions: number;
  /** Blocks that they keep, each counted once for every session. */
  readonly pinnedBlocks: number;
  /** One more prefill for somebody else would be beyond the bound of sessions or of pinned blocks. */
  readonly isFull: boolean;
}

/**
 * A worker's part of the data plane: keeps the blocks of prompts that it has computed for those who go on from them, and
 * brings in what other workers keep. Who needs blocks reads them; nobody writes into another's memory.
 */
export interface TransferAgent {
  /** stator.worker.v1.PayloadService. Before `serve` it refuses with MODEL_LOADING. */
  readonly service: ServedService;
  /** For each Step. */
  readonly load: TransferLoad;
  /** The engine is open. Once. `onFreed` is called after each session that has ended. */
  serve(engine: TransferEngine, onFreed?: () => void): void;
  /** A prefill for a room has begun: who waits there pulls what is ready. Ends with `keep` or `fail`. Throws LIMIT beyond the bound. */
  announce(room: bigint, prompt: TransferPrompt): void;
  /** Blocks were registered in the engine: rooms look again. Cheap without rooms. */
  progressed(): void;
  /**
   * Keeps the blocks of a computed sequence until they are pulled, released, or their lease is over. What cannot be kept is
   * missing at the end of the session's hashes, all of it beyond the bound. Never throws.
   */
  keep(prompt: KeptPrompt): KvSession;
  /** The prefill of a room came to nothing, or its answer has ended: who waits there is told so. */
  fail(room: bigint, error: StatorError): void;
  /**
   * Brings in what is lacking of a sequence, and lets go of the session at its owner. What is wrong with a transfer never
   * rejects: the report says it, and what did not come is computed here. Rejects when the signal aborts, with its reason,
   * and when a room brought no first token: STREAM_LOST when its worker is gone or its prefill came to nothing.
   */
  fetch(from: TransferSource, prompt: TransferPrompt, options: FetchOptions): Promise<Fetched>;
  /** Lets go of sessions that are kept here. Names that are not known are ignored. */
  release(sessionIds: readonly string[]): void;
  /** Resolves when nothing is kept for others any more: it was fetched, let go, or its lease is over. */
  emptied(): Promise<void>;
  /** The worker has another incarnation: what is kept under the one before is of no use to anybody, and is let go. */
  renewed(error: StatorError): void;
  /** Ends what runs with the error, and gives back all memory. */
  close(error: StatorError): Promise<void>;
}

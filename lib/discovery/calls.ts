import type { StoredRecord } from "./codec.ts";

/** A lease as the store granted it. */
export interface LeaseGrant {
  readonly leaseId: bigint;
  /** Time to live without a keep-alive. */
  readonly ttlMs: number;
  /** Another value than before: the store forgot everything, so that a missing lease says nothing about its owner. */
  readonly incarnation: bigint;
}

/** Where a watch goes on: what the store said last. */
export interface ResumePoint {
  readonly revision: bigint;
  readonly incarnation: bigint;
}

/** What a store says to a watcher. Empty upserts and removals without `snapshot` are a heartbeat. */
export interface StoreNews {
  /** Upserts are the whole view. */
  readonly snapshot: boolean;
  readonly upserts: readonly StoredRecord[];
  readonly removed: readonly string[];
  readonly resume: ResumePoint;
}

/**
 * What the supervisor asks of a store. One implementation per store; each does one attempt and throws a StatorError:
 * NOT_FOUND for a lease that is gone, a reason with retry `never` for what the store will not take, anything else for
 * an attempt that may be repeated. The signal ends an attempt whose time is over.
 */
export interface StoreCalls {
  readonly store: "memory" | "hub" | "file" | "etcd";
  /** The store in words for an error, with its address. */
  readonly place: string;
  /** Resolves when the store answers. */
  reach(signal: AbortSignal): Promise<void>;
  grant(ttlMs: number, signal: AbortSignal): Promise<LeaseGrant>;
  keepAlive(leaseId: bigint, signal: AbortSignal): Promise<void>;
  revoke(leaseId: bigint, signal: AbortSignal): Promise<void>;
  put(leaseId: bigint, records: readonly StoredRecord[], signal: AbortSignal): Promise<void>;
  remove(leaseId: bigint, keys: readonly string[], signal: AbortSignal): Promise<void>;
  /**
   * News of a prefix, a snapshot first unless the point can be resumed. It says something at least every two seconds
   * and ends or throws when the store is lost. The signal ends it.
   */
  watch(prefix: string, resume: ResumePoint | undefined, signal: AbortSignal): AsyncIterable<StoreNews>;
  close(): Promise<void>;
}

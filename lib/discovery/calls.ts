import type { StoredRecord } from "./codec.ts";

/** A lease as the store granted it. */
export interface LeaseGrant {
  /** What the other calls name it by. */
  readonly leaseId: bigint;
  /** Time to live without a keep-alive. */
  readonly ttlMs: number;
  /** Another value than before: the store forgot everything, so that a missing lease says nothing about its owner. */
  readonly incarnation: bigint;
}

/** Where a watch goes on. */
export interface ResumePoint {
  /** Of the last change that the watcher was told of. */
  readonly revision: bigint;
  /** Life of the store that counted it: another one counts anew. */
  readonly incarnation: bigint;
}

/** What a store says to a watcher. Empty upserts and removals without `snapshot` are a heartbeat. */
export interface StoreNews {
  /** Upserts are the whole view. */
  readonly snapshot: boolean;
  /** Records that are new or changed, each key once. */
  readonly upserts: readonly StoredRecord[];
  /** Keys that are there no more; none in a snapshot. */
  readonly removed: readonly string[];
  /** Where a later watch goes on after this. */
  readonly resume: ResumePoint;
}

/**
 * What the supervisor asks of a store. One implementation per store; each does one attempt and throws a StatorError:
 * NOT_FOUND for a lease that is gone, a reason with retry `never` for what the store will not take, anything else for
 * an attempt that may be repeated. The signal ends an attempt whose time is over.
 */
export interface StoreCalls {
  /** Kind of store, the label of its metrics. */
  readonly store: "memory" | "hub" | "file" | "etcd";
  /** The store in words for an error, with its address. */
  readonly place: string;
  /** Resolves when the store answers. */
  reach(signal: AbortSignal): Promise<void>;
  /** Opens a lease without records. */
  grant(ttlMs: number, signal: AbortSignal): Promise<LeaseGrant>;
  /** Gives the lease its whole time again. */
  keepAlive(leaseId: bigint, signal: AbortSignal): Promise<void>;
  /** Ends the lease and removes its records. */
  revoke(leaseId: bigint, signal: AbortSignal): Promise<void>;
  /** Writes records under the lease, over whoever held them; resolves when watchers can see them. */
  put(leaseId: bigint, records: readonly StoredRecord[], signal: AbortSignal): Promise<void>;
  /** Removes those of the keys that the lease still holds. */
  remove(leaseId: bigint, keys: readonly string[], signal: AbortSignal): Promise<void>;
  /**
   * News of a prefix, a snapshot first unless the point can be resumed. It says something at least every two seconds
   * and ends or throws when the store is lost. The signal ends it.
   */
  watch(prefix: string, resume: ResumePoint | undefined, signal: AbortSignal): AsyncIterable<StoreNews>;
  /** Gives back what it holds; a lease that was not revoked lapses by itself. */
  close(): Promise<void>;
}

import type { AdapterCard, InstanceRecord, ModelCard } from "#gen/stator/discovery/v1/discovery_pb";

/** A value of the store: the messages of stator.discovery.v1, frozen by whoever hands them over. */
export type DiscoveryValue =
  | { readonly case: "instance"; readonly value: InstanceRecord }
  | { readonly case: "model"; readonly value: ModelCard }
  | { readonly case: "adapter"; readonly value: AdapterCard };

/** One record under its key. */
export interface DiscoveryRecord {
  /** Segments of a-z, 0-9, '-', '_', '.', joined by '/'. */
  readonly key: string;
  /** Read only. */
  readonly value: DiscoveryValue;
}

/** What a watcher learns. */
export interface DiscoveryChange {
  /** Records that are new or changed, as they are now. */
  readonly upserts: readonly DiscoveryRecord[];
  /** Keys that are there no more. */
  readonly removed: readonly string[];
  /** False while the store is unreachable and the view is the last one. */
  readonly synced: boolean;
}

/** What a process has published. It lives until closed, over outages of the store: re-granted and re-put by itself. */
export interface Registration {
  /**
   * Replaces the records of this registration: new ones appear, changed ones are upserts, missing ones vanish. Resolves
   * when that is visible. UNAVAILABLE when the store is not reached within the time limit: it is published all the same
   * when the store is back. INVALID_ARGUMENT changes nothing.
   */
  update(records: readonly DiscoveryRecord[]): Promise<void>;
  /**
   * Called when the lease had lapsed, so that others may have seen the owner as dead, and a new one was granted. Nothing is
   * published under it yet: the owner draws a new incarnation and calls `update` at once, before it returns. A store that
   * forgot everything is no lapse, unless this process stood still itself.
   */
  onLapse(call: () => void): void;
  /** Removes the records; at once where the store can be reached, else when the lease ends. Idempotent; never throws. */
  close(): Promise<void>;
}

/**
 * A view of the store that follows it. Read it at any time; loss of the store leaves the last view. After a loss a record
 * that is missing stays for a while, so that owners who lost their lease by the same outage can return unnoticed.
 */
export interface DiscoveryWatch {
  /** The view now, by key. */
  readonly records: ReadonlyMap<string, DiscoveryRecord>;
  /** Whether the store is connected now. */
  readonly synced: boolean;
  /** Calls for each change after this moment; returns what ends it. The first call is the present view. */
  subscribe(call: (change: DiscoveryChange) => void): () => void;
  /** Ends it: no call comes any more and the view stays as it is. Idempotent. */
  close(): Promise<void>;
}

/** Who is there. Implementations: memory, hub, file, etcd; one conformance suite runs against all. */
export interface Discovery {
  /** Publishes under a lease of `ttlMs`. Resolves when the records are visible; UNAVAILABLE when the store cannot be reached within its time limit. */
  register(records: readonly DiscoveryRecord[], options: { ttlMs: number }): Promise<Registration>;
  /** Follows the records whose key is under the prefix (whole segments; empty follows all). Resolves when the first view is complete. */
  watch(prefix: string): Promise<DiscoveryWatch>;
  /** Closes all registrations and watches, and gives the store back. Idempotent. */
  close(): Promise<void>;
}

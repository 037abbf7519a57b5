import { equalBytes } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { StoredRecord } from "./codec.ts";
import { isUnder } from "./keys.ts";

/** Shortest time to live of a lease. */
export const MIN_TTL_MS = 1_000;
/** Longest time to live of a lease. */
export const MAX_TTL_MS = 600_000;

/** What one store holds at most. Whoever comes above a limit is refused with OVERLOADED; what is there stays. */
export interface StoreLimits {
  /** Over all leases. */
  readonly records: number;
  /** Keys and values together. */
  readonly bytes: number;
  /** Open at once. */
  readonly leases: number;
  /** Open at once. */
  readonly watchers: number;
  /** Changes of one key each that are remembered for watchers that resume. */
  readonly history: number;
  /** The driver steps more often than this while a lease lives: after a longer gap the store itself stood still. */
  readonly stallMs: number;
}

/** Room for some thousand processes. A snapshot is one message: all bytes must fit the 16 MiB that a message may have. */
export const DEFAULT_LIMITS: StoreLimits = {
  records: 50_000,
  bytes: 12 * 1024 * 1024,
  leases: 20_000,
  watchers: 5_000,
  history: 20_000,
  stallMs: 2_000,
};

interface Held {
  readonly record: StoredRecord;
  readonly revision: bigint;
  leaseId: bigint;
}

interface Lease {
  readonly ttlMs: number;
  dueMs: number;
  readonly keys: Set<string>;
}

interface Watcher {
  readonly prefix: string;
  /** View that the watcher has; undefined when it needs a snapshot. */
  revision: bigint | undefined;
}

/** The whole store. Only `step` and `pull` change it. */
export interface StoreState {
  /** Drawn when the store started: revisions of another one mean nothing here. */
  readonly incarnation: bigint;
  /** Never changed. */
  readonly limits: StoreLimits;
  /** Of the last change; 1 before the first. */
  revision: bigint;
  /** Keys and values together. */
  bytes: number;
  /** Time of the last step. */
  nowMs: number;
  /** By key; each belongs to one lease. */
  readonly records: Map<string, Held>;
  /** By id, those that live. */
  readonly leases: Map<bigint, Lease>;
  /** By a number that the driver gave. */
  readonly watchers: Map<number, Watcher>;
  /** Keys by the revision that changed them, oldest first. */
  readonly history: { readonly revision: bigint; readonly key: string }[];
  /** Newest revision that fell out of the history: resuming after an older view is not possible. */
  forgotten: bigint;
}

/** What somebody asks of the store. Ids are drawn outside: the core has no chance of its own. */
export type StoreEvent =
  | { readonly kind: "grant"; readonly leaseId: bigint; readonly ttlMs: number }
  | { readonly kind: "keepAlive"; readonly leaseId: bigint }
  | { readonly kind: "revoke"; readonly leaseId: bigint }
  | { readonly kind: "put"; readonly leaseId: bigint; readonly records: readonly StoredRecord[] }
  | { readonly kind: "remove"; readonly leaseId: bigint; readonly keys: readonly string[] }
  | {
      readonly kind: "watch";
      readonly watcherId: number;
      readonly prefix: string;
      readonly afterRevision: bigint;
      readonly incarnation: bigint;
    }
  | { readonly kind: "unwatch"; readonly watcherId: number }
  | { readonly kind: "tick" };

/** What follows. `refused` answers the event and says that nothing else of it happened. */
export type StoreEffect =
  | { readonly kind: "refused"; readonly error: StatorError }
  | { readonly kind: "wake"; readonly watcherId: number }
  | { readonly kind: "expired"; readonly leaseId: bigint; readonly records: number }
  | { readonly kind: "stalled"; readonly byMs: number };

/** What a watcher learns: changes after its view, or everything. */
export interface StoreDelta {
  /** Upserts are the whole view. */
  readonly snapshot: boolean;
  /** In key order, each with the revision of its last change. */
  readonly upserts: readonly { readonly record: StoredRecord; readonly revision: bigint }[];
  /** Keys that are there no more, in order; none in a snapshot. */
  readonly removed: readonly string[];
  /** Of the view that the watcher has now. */
  readonly revision: bigint;
}

/** An empty store. The incarnation is drawn when the store starts. */
export function createStore(incarnation: bigint, nowMs: number, limits: StoreLimits = DEFAULT_LIMITS): StoreState {
  return {
    incarnation,
    limits,
    revision: 1n,
    bytes: 0,
    nowMs,
    records: new Map(),
    leases: new Map(),
    watchers: new Map(),
    history: [],
    forgotten: 0n,
  };
}

/** Applies one event. Leases that are due lapse first, so an answer never depends on when a timer ran. */
export function step(state: StoreState, event: StoreEvent, nowMs: number): StoreEffect[] {
  const effects: StoreEffect[] = [];
  passTime(state, nowMs, effects);
  try {
    apply(state, event, effects);
  } catch (error) {
    if (!(error instanceof StatorError)) throw error;
    effects.push({ kind: "refused", error });
  }
  return effects;
}

/** What a watcher does not know yet, undefined when it knows all; it counts as told. */
export function pull(state: StoreState, watcherId: number): StoreDelta | undefined {
  const watcher = state.watchers.get(watcherId);
  if (!watcher || watcher.revision === state.revision) return undefined;
  const after = watcher.revision;
  watcher.revision = state.revision;
  if (after === undefined || after < state.forgotten) {
    return { snapshot: true, upserts: list(state, watcher.prefix), removed: [], revision: state.revision };
  }
  const changed = new Set<string>();
  for (let at = firstAfter(state, after); at < state.history.length; at++) {
    const { key } = state.history[at]!;
    if (isUnder(key, watcher.prefix)) changed.add(key);
  }
  if (changed.size === 0) return undefined;
  const keys = [...changed].sort();
  return {
    snapshot: false,
    upserts: keys.flatMap((key) => state.records.get(key) ?? []),
    removed: keys.filter((key) => !state.records.has(key)),
    revision: state.revision,
  };
}

/** The records under a prefix, in key order. */
export function list(state: StoreState, prefix: string): { record: StoredRecord; revision: bigint }[] {
  const found: Held[] = [];
  for (const [key, held] of state.records) if (isUnder(key, prefix)) found.push(held);
  return found.sort((left, right) => (left.record.key < right.record.key ? -1 : 1));
}

/** A store that stood still cannot tell who is dead: every lease gets the time back. */
function passTime(state: StoreState, nowMs: number, effects: StoreEffect[]): void {
  const gapMs = nowMs - state.nowMs;
  state.nowMs = nowMs;
  if (gapMs > state.limits.stallMs && state.leases.size > 0) {
    for (const lease of state.leases.values()) lease.dueMs += gapMs;
    effects.push({ kind: "stalled", byMs: gapMs });
  }
  for (const [leaseId, lease] of state.leases) {
    if (lease.dueMs > nowMs) continue;
    effects.push({ kind: "expired", leaseId, records: lease.keys.size });
    endLease(state, leaseId, lease, effects);
  }
}

function apply(state: StoreState, event: StoreEvent, effects: StoreEffect[]): void {
  switch (event.kind) {
    case "grant":
      grant(state, event.leaseId, event.ttlMs);
      break;
    case "keepAlive": {
      const lease = requireLease(state, event.leaseId);
      lease.dueMs = state.nowMs + lease.ttlMs;
      break;
    }
    case "revoke": {
      const lease = state.leases.get(event.leaseId);
      if (lease) endLease(state, event.leaseId, lease, effects);
      break;
    }
    case "put":
      put(state, event.leaseId, event.records, effects);
      break;
    case "remove":
      remove(state, event, effects);
      break;
    case "watch":
      watch(state, event, effects);
      break;
    case "unwatch":
      state.watchers.delete(event.watcherId);
      break;
    case "tick":
      break; // Time has passed; nothing else.
  }
}

function grant(state: StoreState, leaseId: bigint, ttlMs: number): void {
  if (!(ttlMs >= MIN_TTL_MS && ttlMs <= MAX_TTL_MS)) {
    const detail = `A lease lives ${MIN_TTL_MS} to ${MAX_TTL_MS} ms without a keep-alive, not ${ttlMs}`;
    throw new StatorError("INVALID_ARGUMENT", { detail });
  }
  if (state.leases.size >= state.limits.leases) throw new StatorError("OVERLOADED", { what: "a discovery lease" });
  state.leases.set(leaseId, { ttlMs, dueMs: state.nowMs + ttlMs, keys: new Set() });
}

function requireLease(state: StoreState, leaseId: bigint): Lease {
  const lease = state.leases.get(leaseId);
  if (!lease) throw new StatorError("NOT_FOUND", { what: "The lease" });
  return lease;
}

function put(state: StoreState, leaseId: bigint, records: readonly StoredRecord[], effects: StoreEffect[]): void {
  const lease = requireLease(state, leaseId);
  const last = new Map(records.map((record) => [record.key, record]));
  requireRoom(state, last);
  const changed: string[] = [];
  for (const [key, record] of last) {
    const before = state.records.get(key);
    if (before && before.leaseId !== leaseId) state.leases.get(before.leaseId)?.keys.delete(key);
    lease.keys.add(key);
    if (before && equalBytes(before.record.bytes, record.bytes)) before.leaseId = leaseId;
    else {
      state.bytes += weigh(record) - (before ? weigh(before.record) : 0);
      state.records.set(key, { record, revision: state.revision + 1n, leaseId });
      changed.push(key);
    }
  }
  commit(state, changed, effects);
}

function requireRoom(state: StoreState, records: ReadonlyMap<string, StoredRecord>): void {
  let count = state.records.size;
  let bytes = state.bytes;
  for (const [key, record] of records) {
    const before = state.records.get(key);
    if (!before) count++;
    bytes += weigh(record) - (before ? weigh(before.record) : 0);
  }
  if (count > state.limits.records) throw new StatorError("OVERLOADED", { what: "a discovery record" });
  if (bytes > state.limits.bytes) throw new StatorError("OVERLOADED", { what: "the bytes of discovery records" });
}

function remove(state: StoreState, event: { leaseId: bigint; keys: readonly string[] }, effects: StoreEffect[]): void {
  const mine = (held: Held | undefined) => held && (event.leaseId === 0n || held.leaseId === event.leaseId);
  drop(
    state,
    [...new Set(event.keys)].filter((key) => mine(state.records.get(key))),
    effects,
  );
}

function watch(state: StoreState, event: Extract<StoreEvent, { kind: "watch" }>, effects: StoreEffect[]): void {
  if (state.watchers.size >= state.limits.watchers) throw new StatorError("OVERLOADED", { what: "a discovery watch" });
  // A revision from another life of the store, or from none, says nothing here.
  const known = event.incarnation === state.incarnation && event.afterRevision > 0n;
  const revision = known && event.afterRevision <= state.revision ? event.afterRevision : undefined;
  state.watchers.set(event.watcherId, { prefix: event.prefix, revision });
  effects.push({ kind: "wake", watcherId: event.watcherId });
}

function endLease(state: StoreState, leaseId: bigint, lease: Lease, effects: StoreEffect[]): void {
  state.leases.delete(leaseId);
  drop(state, [...lease.keys], effects);
}

function drop(state: StoreState, keys: readonly string[], effects: StoreEffect[]): void {
  for (const key of keys) {
    const held = state.records.get(key)!;
    state.records.delete(key);
    state.leases.get(held.leaseId)?.keys.delete(key);
    state.bytes -= weigh(held.record);
  }
  commit(state, keys, effects);
}

/** One revision for all keys of one change. */
function commit(state: StoreState, keys: readonly string[], effects: StoreEffect[]): void {
  if (keys.length === 0) return;
  state.revision++;
  for (const key of keys) state.history.push({ revision: state.revision, key });
  const excess = state.history.length - state.limits.history;
  // Trimmed a quarter at a time, so that a full history does not cost its length at every change.
  if (excess > state.limits.history / 4) {
    state.forgotten = state.history[excess - 1]!.revision;
    state.history.splice(0, firstAfter(state, state.forgotten));
  }
  for (const [watcherId, { prefix }] of state.watchers) {
    if (keys.some((key) => isUnder(key, prefix))) effects.push({ kind: "wake", watcherId });
  }
}

/** Index of the first change after a revision. */
function firstAfter(state: StoreState, revision: bigint): number {
  let low = 0;
  let high = state.history.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (state.history[middle]!.revision > revision) high = middle;
    else low = middle + 1;
  }
  return low;
}

function weigh(record: StoredRecord): number {
  return record.key.length + record.bytes.byteLength;
}

import { equalBytes } from "#lib/base/bytes";
import { decodeRecord, type StoredRecord } from "./codec.ts";
import type { DiscoveryChange, DiscoveryRecord } from "./discovery.ts";

interface Entry {
  /** Bytes of the last readable value. */
  bytes: Uint8Array;
  record: DiscoveryRecord;
  /** When it goes, unless it comes back: set while it is missing after an outage. */
  goneAtMs: number | undefined;
}

/** What one watcher knows. */
export interface ViewState {
  /**
   * How long a missing record is kept after an outage: owners that lost their lease by it need the time to return, and
   * a reader must not drop them meanwhile.
   */
  readonly settleMs: number;
  /** By key, those that are missing and still kept as well. */
  readonly entries: Map<string, Entry>;
  /** The same as readers see it. */
  readonly records: Map<string, DiscoveryRecord>;
  /** Keys of the entries that have a `goneAtMs`. */
  readonly missing: Set<string>;
  /** Whether the store is heard now. */
  synced: boolean;
  /** Whether a first view was complete. */
  started: boolean;
  /** Until when removals are held back. */
  settleUntilMs: number;
}

/** What happened to the store behind the view. */
export type ViewEvent =
  | { readonly kind: "snapshot"; readonly records: readonly StoredRecord[] }
  | { readonly kind: "change"; readonly upserts: readonly StoredRecord[]; readonly removed: readonly string[] }
  /** The store cannot be heard. */
  | { readonly kind: "lost" }
  | { readonly kind: "tick" };

/** What follows. */
export interface ViewEffects {
  /** Undefined when readers learn nothing new. */
  readonly change: DiscoveryChange | undefined;
  /** Values that could not be read; the ones before stay. */
  readonly unreadable: number;
  /** Removals that were taken back. */
  readonly kept: number;
  /** When a tick is due, undefined when nothing waits. */
  readonly tickAtMs: number | undefined;
}

/** An empty view that heard nothing yet. */
export function createView(settleMs: number): ViewState {
  return {
    settleMs,
    entries: new Map(),
    records: new Map(),
    missing: new Set(),
    synced: false,
    started: false,
    settleUntilMs: Number.NEGATIVE_INFINITY,
  };
}

/** Applies one event; readers learn of differences only. */
export function step(view: ViewState, event: ViewEvent, nowMs: number): ViewEffects {
  const wasSynced = view.synced;
  const told: Told = { upserts: [], removed: [], unreadable: 0, kept: 0 };
  if (event.kind === "lost") view.synced = false;
  else if (event.kind !== "tick") {
    if (!view.synced && view.started) settle(view, nowMs);
    view.synced = true;
    view.started = true;
    const records = event.kind === "snapshot" ? event.records : event.upserts;
    for (const record of records) upsert(view, record, told);
    for (const key of event.kind === "snapshot" ? absent(view, records) : event.removed) lose(view, key, nowMs);
  }
  // A view that lost the store cannot know that an owner did not return.
  if (view.synced) flush(view, nowMs, told);
  const news = told.upserts.length > 0 || told.removed.length > 0 || view.synced !== wasSynced;
  return {
    change: news ? { upserts: told.upserts, removed: told.removed, synced: view.synced } : undefined,
    unreadable: told.unreadable,
    kept: told.kept,
    tickAtMs: view.synced ? nextTick(view) : undefined,
  };
}

interface Told {
  readonly upserts: DiscoveryRecord[];
  readonly removed: string[];
  unreadable: number;
  kept: number;
}

/** Whoever is missing already gets the time to return, too. */
function settle(view: ViewState, nowMs: number): void {
  view.settleUntilMs = nowMs + view.settleMs;
  for (const key of view.missing) view.entries.get(key)!.goneAtMs = view.settleUntilMs;
}

function upsert(view: ViewState, { key, bytes }: StoredRecord, told: Told): void {
  const before = view.entries.get(key);
  if (before && view.missing.delete(key)) {
    before.goneAtMs = undefined;
    told.kept++;
  }
  if (before && equalBytes(before.bytes, bytes)) return;
  const record = decodeRecord(key, bytes);
  if (!record) {
    told.unreadable++;
    return;
  }
  view.entries.set(key, { bytes, record, goneAtMs: undefined });
  view.records.set(key, record);
  told.upserts.push(record);
}

function absent(view: ViewState, records: readonly StoredRecord[]): string[] {
  const present = new Set(records.map(({ key }) => key));
  return [...view.entries.keys()].filter((key) => !present.has(key));
}

function lose(view: ViewState, key: string, nowMs: number): void {
  const entry = view.entries.get(key);
  if (!entry || view.missing.has(key)) return;
  entry.goneAtMs = Math.max(nowMs, view.settleUntilMs);
  view.missing.add(key);
}

function flush(view: ViewState, nowMs: number, told: Told): void {
  for (const key of view.missing) {
    if (view.entries.get(key)!.goneAtMs! > nowMs) continue;
    view.missing.delete(key);
    view.entries.delete(key);
    view.records.delete(key);
    told.removed.push(key);
  }
}

function nextTick(view: ViewState): number | undefined {
  let next: number | undefined;
  for (const key of view.missing) {
    const { goneAtMs } = view.entries.get(key)!;
    if (next === undefined || goneAtMs! < next) next = goneAtMs;
  }
  return next;
}

import { describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { eachSeed } from "../../test/support/seeds.ts";
import type { StoredRecord } from "./codec.ts";
import {
  createStore,
  DEFAULT_LIMITS,
  list,
  pull,
  type StoreDelta,
  type StoreEffect,
  type StoreEvent,
  type StoreLimits,
  type StoreState,
  step,
} from "./store.ts";

const record = (key: string, value: number): StoredRecord => ({ key, bytes: Uint8Array.of(value) });
const refusal = (effects: readonly StoreEffect[]) =>
  effects.flatMap((effect) => (effect.kind === "refused" ? [effect.error.reason] : []))[0];

/** The same store written as lists that are searched from the start each time. */
class NaiveStore {
  revision = 1n;
  lastMs = 0;
  records: { key: string; value: number; lease: bigint; revision: bigint }[] = [];
  leases: { id: bigint; ttlMs: number; dueMs: number }[] = [];
  readonly limits: StoreLimits;

  constructor(limits: StoreLimits) {
    this.limits = limits;
  }

  passTime(nowMs: number): void {
    const gapMs = nowMs - this.lastMs;
    this.lastMs = nowMs;
    if (gapMs > this.limits.stallMs) for (const lease of this.leases) lease.dueMs += gapMs;
    for (const lease of this.leases.filter(({ dueMs }) => dueMs <= nowMs)) this.end(lease.id);
  }

  end(id: bigint): void {
    this.leases = this.leases.filter((lease) => lease.id !== id);
    this.drop((one) => one.lease === id);
  }

  drop(which: (one: { key: string; lease: bigint }) => boolean): void {
    if (this.records.some(which)) this.revision++;
    this.records = this.records.filter((one) => !which(one));
  }

  /** The reason of a refusal, or undefined. */
  apply(event: StoreEvent, nowMs: number): string | undefined {
    this.passTime(nowMs);
    if (event.kind === "grant") {
      if (event.ttlMs < 1000 || event.ttlMs > 600_000) return "INVALID_ARGUMENT";
      if (this.leases.length >= this.limits.leases) return "OVERLOADED";
      this.leases.push({ id: event.leaseId, ttlMs: event.ttlMs, dueMs: nowMs + event.ttlMs });
    } else if (event.kind === "keepAlive") {
      const lease = this.leases.find(({ id }) => id === event.leaseId);
      if (!lease) return "NOT_FOUND";
      lease.dueMs = nowMs + lease.ttlMs;
    } else if (event.kind === "revoke") this.end(event.leaseId);
    else if (event.kind === "remove")
      this.drop((one) => event.keys.includes(one.key) && (event.leaseId === 0n || one.lease === event.leaseId));
    else if (event.kind === "put") return this.put(event.leaseId, event.records);
    return undefined;
  }

  put(leaseId: bigint, records: readonly StoredRecord[]): string | undefined {
    if (!this.leases.some(({ id }) => id === leaseId)) return "NOT_FOUND";
    const next = this.records.map((one) => ({ ...one }));
    let changed = false;
    for (const { key } of records) {
      const value = records.findLast((one) => one.key === key)!.bytes[0]!;
      const at = next.findIndex((one) => one.key === key);
      const same = at >= 0 && next[at]!.value === value;
      const revision = same ? next[at]!.revision : this.revision + 1n;
      if (!same) changed = true;
      if (at >= 0) next.splice(at, 1);
      next.push({ key, value, lease: leaseId, revision });
    }
    if (next.length > this.limits.records) return "OVERLOADED";
    if (next.reduce((sum, one) => sum + one.key.length + 1, 0) > this.limits.bytes) return "OVERLOADED";
    this.records = next;
    if (changed) this.revision++;
    return undefined;
  }

  print(): string {
    const bytes = this.records.reduce((sum, one) => sum + one.key.length + 1, 0);
    const records = this.records.toSorted((left, right) => (left.key < right.key ? -1 : 1));
    return `@${this.revision}, ${bytes} bytes: ${records.map(printRecord).join(" ")}`;
  }
}

function printRecord({ key, value, revision }: { key: string; value: number; revision: bigint }): string {
  return `${key}=${value}@${revision}`;
}

/** As the naive store prints itself. */
function printState(state: StoreState): string {
  const records = list(state, "").map(({ record: one, revision }) =>
    printRecord({ key: one.key, value: one.bytes[0]!, revision }),
  );
  return `@${state.revision}, ${state.bytes} bytes: ${records.join(" ")}`;
}

/** A client that does what the contract says with what it is told. */
class Follower {
  view = new Map<string, number>();
  revision = 0n;

  take(delta: StoreDelta): void {
    if (delta.snapshot) this.view.clear();
    for (const key of delta.removed) this.view.delete(key);
    for (const { record: one } of delta.upserts) this.view.set(one.key, one.bytes[0]!);
    this.revision = delta.revision;
  }
}

const KEYS = ["a/1", "a/10", "a/1/x", "a", "b/1", "b/10"];
const PREFIXES = ["", "a", "a/1", "b"];

function drawEvent(chance: SeededChance, leases: bigint[], watcher: { next: number }, state: StoreState): StoreEvent {
  const lease = () => leases[pick(chance, leases.length)]!;
  const key = () => KEYS[pick(chance, KEYS.length)]!;
  switch (pick(chance, 9)) {
    case 0: {
      const leaseId = BigInt(leases.length + 1);
      leases.push(leaseId);
      return { kind: "grant", leaseId, ttlMs: [500, 1000, 3000, 10_000][pick(chance, 4)]! };
    }
    case 1:
    case 2:
      return { kind: "keepAlive", leaseId: lease() };
    case 3:
      return pick(chance, 4) === 0 ? { kind: "revoke", leaseId: lease() } : { kind: "tick" };
    case 4:
      return { kind: "remove", leaseId: pick(chance, 2) === 0 ? 0n : lease(), keys: [key(), key()] };
    case 5:
      return {
        kind: "watch",
        watcherId: watcher.next++,
        prefix: PREFIXES[pick(chance, PREFIXES.length)]!,
        afterRevision: state.revision - BigInt(pick(chance, 8)) + 1n,
        incarnation: pick(chance, 4) === 0 ? 9n : state.incarnation,
      };
    default:
      return {
        kind: "put",
        leaseId: lease(),
        records: Array.from({ length: 1 + pick(chance, 3) }, () => record(key(), pick(chance, 3))),
      };
  }
}

describe("the store core", () => {
  it("does what a naive store does, and every watcher ends with the same view", () => {
    eachSeed(1_000, (seed) => {
      const chance = new SeededChance(BigInt(seed));
      const limits = { ...DEFAULT_LIMITS, records: 5, bytes: 30, leases: 6, history: 8 };
      const state = createStore(7n, 0, limits);
      const naive = new NaiveStore(limits);
      const followers = new Map<number, { prefix: string; follower: Follower }>();
      const leases = [0n];
      const watcher = { next: 0 };
      let nowMs = 0;
      for (let at = 0; at < 250; at++) {
        nowMs += [0, 10, 400, 1900, 2500][pick(chance, 5)]!;
        const event = drawEvent(chance, leases, watcher, state);
        // A watcher that resumes must really have had the view: only those that ask for a snapshot are made up here.
        const asked = event.kind === "watch" ? { ...event, afterRevision: 0n } : event;
        const expected = naive.apply(asked, nowMs);
        const effects = step(state, asked, nowMs);
        const found = `${refusal(effects)} ${printState(state)}`;
        // An expectation costs as much as the step.
        if (found !== `${expected} ${naive.print()}`)
          expect(found, `step ${at} ${asked.kind}`).toBe(`${expected} ${naive.print()}`);
        if (asked.kind === "watch") followers.set(asked.watcherId, { prefix: asked.prefix, follower: new Follower() });
        for (const effect of effects) {
          if (effect.kind !== "wake" || pick(chance, 3) === 0) continue;
          const delta = pull(state, effect.watcherId);
          if (delta) followers.get(effect.watcherId)!.follower.take(delta);
        }
        if (pick(chance, 10) === 0) reconnect(state, followers, watcher, nowMs);
      }
      for (const [id, { prefix, follower }] of followers) {
        const delta = pull(state, id);
        if (delta) follower.take(delta);
        const under = list(state, prefix).map(({ record: one }) => [one.key, one.bytes[0]!] as const);
        expect([...follower.view].sort()).toEqual(under);
      }
    });
  });

  /** A watcher loses its stream and resumes from the view it has. */
  function reconnect(
    state: StoreState,
    followers: Map<number, { prefix: string; follower: Follower }>,
    watcher: { next: number },
    nowMs: number,
  ): void {
    const first = followers.entries().next().value;
    if (!first) return;
    const [watcherId, { prefix, follower }] = first;
    step(state, { kind: "unwatch", watcherId }, nowMs);
    followers.delete(watcherId);
    const next = watcher.next++;
    step(state, { kind: "watch", watcherId: next, prefix, afterRevision: follower.revision, incarnation: 7n }, nowMs);
    followers.set(next, { prefix, follower });
  }

  const grant: StoreEvent = { kind: "grant", leaseId: 1n, ttlMs: 1000 };
  const put = (key: string, value: number, leaseId = 1n): StoreEvent => ({
    kind: "put",
    leaseId,
    records: [record(key, value)],
  });
  const open = (): StoreState => {
    const state = createStore(7n, 0);
    step(state, grant, 0);
    return state;
  };

  it("forgets the records of a lease that is not kept alive", () => {
    const state = open();
    step(state, put("a", 1), 0);
    step(state, { kind: "keepAlive", leaseId: 1n }, 900);
    step(state, { kind: "tick" }, 1899);
    expect(list(state, "")).toHaveLength(1);
    expect(step(state, { kind: "tick" }, 1900)).toContainEqual({ kind: "expired", leaseId: 1n, records: 1 });
    expect(list(state, "")).toHaveLength(0);
    expect(refusal(step(state, put("a", 1), 1901))).toBe("NOT_FOUND");
  });

  it("gives leases the time back in which the store stood still", () => {
    const state = open();
    step(state, put("a", 1), 0);
    expect(step(state, { kind: "tick" }, 60_000)).toEqual([{ kind: "stalled", byMs: 60_000 }]);
    expect(list(state, "")).toHaveLength(1);
    step(state, { kind: "tick" }, 61_000);
    expect(list(state, "")).toHaveLength(0);
  });

  it("lets a second lease take a key over", () => {
    const state = open();
    step(state, put("a", 1), 0);
    step(state, { kind: "grant", leaseId: 2n, ttlMs: 10_000 }, 0);
    const before = state.revision;
    step(state, put("a", 1, 2n), 10);
    expect(state.revision).toBe(before);
    step(state, { kind: "remove", leaseId: 1n, keys: ["a"] }, 10);
    step(state, { kind: "revoke", leaseId: 1n }, 10);
    expect(list(state, "")).toHaveLength(1);
  });

  it("joins what a slow watcher missed, and starts over when the history is gone", () => {
    const state = createStore(7n, 0, { ...DEFAULT_LIMITS, history: 4 });
    step(state, grant, 0);
    step(state, { kind: "watch", watcherId: 1, prefix: "", afterRevision: 0n, incarnation: 0n }, 0);
    expect(pull(state, 1)).toMatchObject({ snapshot: true, upserts: [] });
    for (let at = 0; at < 3; at++) step(state, put("a", at), 0);
    const joined = pull(state, 1)!;
    expect(joined).toMatchObject({ snapshot: false, removed: [] });
    expect(joined.upserts.map(({ record: one }) => one.bytes[0])).toEqual([2]);
    for (let at = 0; at < 9; at++) step(state, put("a", at), 0);
    expect(pull(state, 1)?.snapshot).toBe(true);
  });

  it("refuses what is above a limit and keeps what is there", () => {
    const state = createStore(7n, 0, { ...DEFAULT_LIMITS, records: 1, watchers: 0, leases: 1 });
    step(state, grant, 0);
    step(state, put("a", 1), 0);
    expect(refusal(step(state, put("b", 1), 0))).toBe("OVERLOADED");
    expect(refusal(step(state, { kind: "grant", leaseId: 2n, ttlMs: 1000 }, 0))).toBe("OVERLOADED");
    expect(
      refusal(step(state, { kind: "watch", watcherId: 1, prefix: "", afterRevision: 0n, incarnation: 0n }, 0)),
    ).toBe("OVERLOADED");
    expect(list(state, "")).toHaveLength(1);
  });

  it("holds as much as its limits say, to the record, the byte, the lease and the watcher", () => {
    const state = createStore(7n, 0, { ...DEFAULT_LIMITS, records: 2, bytes: 5, leases: 2, watchers: 1 });
    const lease = (leaseId: bigint): StoreEvent => ({ kind: "grant", leaseId, ttlMs: 1000 });
    const watch = (watcherId: number): StoreEvent => ({
      kind: "watch",
      watcherId,
      prefix: "",
      afterRevision: 0n,
      incarnation: 0n,
    });
    const answers = (...events: StoreEvent[]) => events.map((event) => refusal(step(state, event, 0)));
    expect(answers(lease(1n), lease(2n), lease(3n))).toEqual([undefined, undefined, "OVERLOADED"]);
    expect(answers(watch(1), watch(2))).toEqual([undefined, "OVERLOADED"]);
    // Each weighs its key and one byte.
    expect(answers(put("a", 1), put("bc", 1), put("d", 1))).toEqual([undefined, undefined, "OVERLOADED"]);
    expect(state.bytes).toBe(5);
    // What is there already takes no new place; a longer key in place of another would.
    expect(answers(put("a", 2), put("bc", 2, 2n))).toEqual([undefined, undefined]);
    expect(answers({ kind: "remove", leaseId: 1n, keys: ["a"] }, put("def", 1), put("de", 1))).toEqual([
      undefined,
      "OVERLOADED",
      "OVERLOADED",
    ]);
    expect(answers(put("d", 1))).toEqual([undefined]);
    expect(answers({ kind: "unwatch", watcherId: 1 }, watch(2))).toEqual([undefined, undefined]);
    expect(answers({ kind: "revoke", leaseId: 2n }, lease(3n))).toEqual([undefined, undefined]);
  });

  it("grants leases between the shortest and the longest time, both included", () => {
    const ttl = (ttlMs: number) => refusal(step(createStore(7n, 0), { kind: "grant", leaseId: 1n, ttlMs }, 0));
    expect([999, 1_000, 600_000, 600_001, Number.NaN].map(ttl)).toEqual([
      "INVALID_ARGUMENT",
      undefined,
      undefined,
      "INVALID_ARGUMENT",
      "INVALID_ARGUMENT",
    ]);
  });

  it("takes a gap for its own pause when it is longer than the bound, and only while somebody could have been late", () => {
    const gap = (byMs: number) => {
      const state = createStore(7n, 0, { ...DEFAULT_LIMITS, stallMs: 100 });
      const idle = step(state, { kind: "tick" }, 5_000);
      step(state, { kind: "grant", leaseId: 1n, ttlMs: 1_000 }, 5_000);
      const effects = step(state, { kind: "tick" }, 5_000 + byMs);
      return [idle, effects, state.leases.get(1n)?.dueMs];
    };
    expect(gap(100)).toEqual([[], [], 6_000]);
    expect(gap(101)).toEqual([[], [{ kind: "stalled", byMs: 101 }], 6_101]);
  });

  it("resumes a watcher from its view as long as the history reaches back to it", () => {
    const resumed = (changes: number) => {
      const state = createStore(7n, 0, { ...DEFAULT_LIMITS, history: 4 });
      step(state, grant, 0);
      const view = state.revision;
      for (let at = 0; at < changes; at++) step(state, put("a", at), 0);
      step(state, { kind: "watch", watcherId: 1, prefix: "", afterRevision: view, incarnation: 7n }, 0);
      return pull(state, 1)?.snapshot;
    };
    // A quarter more than the history is kept before it is trimmed.
    expect([1, 4, 5, 6].map(resumed)).toEqual([false, false, false, true]);
  });

  it("gives everything to a watcher with a view of another store, of none, or of the future", () => {
    const state = open();
    step(state, put("a", 1), 0);
    const first = (afterRevision: bigint, incarnation: bigint) => {
      step(state, { kind: "watch", watcherId: 1, prefix: "", afterRevision, incarnation }, 0);
      return pull(state, 1)?.snapshot;
    };
    expect(first(state.revision, 8n)).toBe(true);
    expect(first(0n, 7n)).toBe(true);
    expect(first(state.revision + 1n, 7n)).toBe(true);
    expect(first(state.revision, 7n)).toBeUndefined();
    expect(first(state.revision - 1n, 7n)).toBe(false);
  });

  it("lets a lease live until the moment at which it is due", () => {
    const state = createStore(7n, 0);
    step(state, { kind: "grant", leaseId: 1n, ttlMs: 1_000 }, 0);
    expect(step(state, { kind: "tick" }, 999)).toEqual([]);
    expect(step(state, { kind: "tick" }, 1_000)).toEqual([{ kind: "expired", leaseId: 1n, records: 0 }]);
  });
});

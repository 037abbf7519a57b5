import { Backoff } from "#lib/base/backoff";
import type { Chance } from "#lib/base/chance";
import type { StatorError } from "#lib/base/errors";
import type { KvChange, KvKnowledge } from "#lib/kv/event";
import type { KvFeedMessage } from "./feed.ts";
import type { FollowLimits } from "./limits.ts";

/** Things that cannot be, told by a worker. */
export const FAULTS = ["parent_unknown", "scope", "incarnation", "ids_back", "order"] as const;

/** One of them. */
export type Fault = (typeof FAULTS)[number];

/** Why events that came were not applied: known already, too far ahead, before anything was asked for, not to be read. */
export const DROPS = ["stale", "gap", "early", "unreadable"] as const;

/** One of them. */
export type Drop = (typeof DROPS)[number];

/** How a rank was caught up with: by all that it keeps, or by what was missed. */
export type RecoveryWay = "snapshot" | "replay";

/** What happens to the knowledge of a rank. */
export type RankEvent =
  | { readonly kind: "start" }
  /** The moment of the last `wake` has come. */
  | { readonly kind: "timer" }
  /** It is this rank's turn to catch up. */
  | { readonly kind: "permit" }
  | { readonly kind: "message"; readonly message: KvFeedMessage; readonly unixMs: number }
  | { readonly kind: "ended"; readonly error: StatorError | undefined }
  /** Changes were applied, and of so many the block that they go on from was not known. */
  | { readonly kind: "applied"; readonly parentsUnknown: number };

/** What is to be done. */
export type RankEffect =
  /** Ask for a turn to catch up; there are only so many over all ranks. */
  | { readonly kind: "acquire" }
  /** Give the turn back, or do not wait for it any more. */
  | { readonly kind: "release" }
  | { readonly kind: "subscribe"; readonly fromId: bigint }
  | { readonly kind: "unsubscribe" }
  /** Forget all. */
  | { readonly kind: "reset" }
  /** Apply from `from` on, and say with `applied` what that did where a parent was unknown. */
  | { readonly kind: "apply"; readonly changes: readonly KvChange[]; readonly from: number }
  | { readonly kind: "know"; readonly knowledge: KvKnowledge }
  /** Fire the timer then, and not before. */
  | { readonly kind: "wake"; readonly atMs: number }
  | { readonly kind: "dropped"; readonly why: Drop; readonly events: number }
  | { readonly kind: "gap" }
  | { readonly kind: "recovered"; readonly way: RecoveryWay }
  | { readonly kind: "failed"; readonly reason: string; readonly rests: boolean }
  | { readonly kind: "fault"; readonly fault: Fault; readonly reason: string; readonly isLast: boolean };

/** What a rank must tell to be believed. */
export interface Expected {
  /** Of the worker. */
  readonly incarnation: bigint;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** How blocks are hashed. */
  readonly hashScheme: string;
}

/**
 * `waiting` for a moment, `queued` for a turn, `asking` until the header comes, `filling` from a snapshot, `replaying` what
 * was missed, `live`; `over` when it is not believed any more.
 */
type Phase = "waiting" | "queued" | "asking" | "filling" | "replaying" | "live" | "over";

const SUBSCRIBED: readonly Phase[] = ["asking", "filling", "replaying", "live"];
const WITH_TURN: readonly Phase[] = ["queued", "asking", "filling", "replaying"];

/**
 * What is known of one rank of one incarnation of a worker, as a machine: an event and the time go in, effects come out.
 * Ids that were applied are dropped; after a gap the next id is asked for while what is known stays; a snapshot begins
 * anew and ends with the worker's own last id. What cannot be is counted and repaired by a snapshot, and after several
 * times the rank is not believed any more.
 */
export class RankMachine {
  readonly #expected: Expected;
  readonly #limits: FollowLimits;
  readonly #chance: Chance;
  readonly #backoff: Backoff;
  #phase: Phase = "waiting";
  /** Last event that is applied; undefined: nothing is known. */
  #cursor: bigint | undefined;
  /** Last event that the worker told of. */
  #seen = 0n;
  #way: RecoveryWay = "snapshot";
  /** The first part of a snapshot has come. */
  #isFilled = false;
  /** Something was learned since the last subscription. */
  #progressed = false;
  #tries = 0;
  #askedMs = Number.NEGATIVE_INFINITY;
  #faults = 0;
  #faultMs = Number.NEGATIVE_INFINITY;
  #lagMs: number | undefined;
  #reason = "It was not asked yet.";
  #effects: RankEffect[] = [];

  constructor(expected: Expected, limits: FollowLimits, chance: Chance) {
    this.#expected = expected;
    this.#limits = limits;
    this.#chance = chance;
    this.#backoff = new Backoff({ firstMs: limits.firstRetryMs, longestMs: limits.longestRetryMs }, chance);
  }

  /** How well the rank is known. */
  get knowledge(): KvKnowledge {
    const behind = this.#cursor === undefined ? this.#seen : this.#seen - this.#cursor;
    return {
      state: this.#state,
      reason: this.#phase === "live" ? "" : this.#reason,
      lagMs: this.#lagMs,
      behind: Number(behind > 0n ? behind : 0n),
    };
  }

  get #state(): KvKnowledge["state"] {
    if (this.#phase === "over") return "untrusted";
    if (this.#phase === "live") return "live";
    return this.#cursor !== undefined || this.#phase === "filling" ? "recovering" : "none";
  }

  /** Takes one event. The effects are to be carried out in order; what they cause comes back as later events. */
  step(event: RankEvent, nowMs: number): readonly RankEffect[] {
    this.#effects = [];
    const before = this.knowledge;
    if (this.#phase !== "over") this.#take(event, nowMs);
    const after = this.knowledge;
    const isSame =
      before.state === after.state &&
      before.reason === after.reason &&
      before.behind === after.behind &&
      before.lagMs === after.lagMs;
    if (!isSame || event.kind === "start") this.#effects.push({ kind: "know", knowledge: after });
    return this.#effects;
  }

  #take(event: RankEvent, nowMs: number) {
    switch (event.kind) {
      case "start":
        return this.#wait(nowMs + this.#limits.spreadMs * this.#chance.next());
      case "timer":
        return this.#due(nowMs);
      case "permit":
        return this.#ask(nowMs);
      case "message":
        if (SUBSCRIBED.includes(this.#phase)) this.#hear(event.message, event.unixMs, nowMs);
        return;
      case "ended":
        if (SUBSCRIBED.includes(this.#phase))
          this.#retry(event.error?.message ?? "The feed ended.", nowMs, event.error);
        return;
      case "applied":
        if (event.parentsUnknown === 0 || !SUBSCRIBED.includes(this.#phase)) return;
        return this.#fault("parent_unknown", "Blocks go on from one that was never told", nowMs);
    }
  }

  #wait(atMs: number): void {
    this.#phase = "waiting";
    this.#effects.push({ kind: "wake", atMs });
  }

  #due(nowMs: number) {
    if (this.#phase === "waiting") {
      this.#phase = "queued";
      this.#effects.push({ kind: "acquire" });
      return;
    }
    if (SUBSCRIBED.includes(this.#phase)) this.#retry(`Nothing came for ${this.#limits.silenceMs} ms.`, nowMs);
  }

  #ask(nowMs: number) {
    if (this.#phase !== "queued") return;
    this.#phase = "asking";
    this.#askedMs = nowMs;
    this.#progressed = false;
    this.#effects.push({ kind: "subscribe", fromId: this.#cursor === undefined ? 0n : this.#cursor + 1n });
    this.#listenOn(nowMs);
  }

  #listenOn(nowMs: number): void {
    this.#effects.push({ kind: "wake", atMs: nowMs + this.#limits.silenceMs });
  }

  #hear(message: KvFeedMessage, unixMs: number, nowMs: number) {
    this.#listenOn(nowMs);
    switch (message.kind) {
      case "header":
        return this.#onHeader(message, nowMs);
      case "snapshot":
        return this.#onSnapshot(message, nowMs);
      case "events":
        return this.#onEvents(message, unixMs, nowMs);
      case "heartbeat":
        return this.#onHeartbeat(message.lastId, nowMs);
      case "resume":
        return this.#catchUp("It was read too slowly.", nowMs);
      case "unreadable":
        return this.#onUnreadable(message.detail, nowMs);
    }
  }

  #onHeader(header: KvFeedMessage & { kind: "header" }, nowMs: number) {
    if (this.#phase !== "asking") return this.#fault("order", "A second header came", nowMs);
    const wrong = this.#mismatch(header);
    if (wrong) return this.#fault(wrong.fault, wrong.reason, nowMs);
    this.#progressed = true;
    this.#see(header.lastId);
    if (this.#cursor !== undefined && header.lastId < this.#cursor) {
      const reason = `Its last event is ${header.lastId}, and ${this.#cursor} was told before`;
      return this.#fault("ids_back", reason, nowMs);
    }
    if (header.isSnapshot) {
      this.#way = "snapshot";
      this.#isFilled = false;
      this.#phase = "filling";
      this.#reason = "A snapshot comes.";
      return;
    }
    if (this.#cursor === undefined) return this.#fault("order", "A snapshot was asked for and none came", nowMs);
    this.#way = "replay";
    this.#phase = "replaying";
    this.#reason = "What was missed comes.";
    this.#liveWhenThere(nowMs);
  }

  #mismatch(header: KvFeedMessage & { kind: "header" }): { fault: Fault; reason: string } | undefined {
    const { incarnation, blockTokens, hashScheme } = this.#expected;
    if (header.incarnation !== incarnation) return { fault: "incarnation", reason: "It is another incarnation" };
    if (header.blockTokens !== blockTokens) {
      return { fault: "scope", reason: `Its blocks have ${header.blockTokens} tokens, not ${blockTokens}` };
    }
    if (header.hashScheme === hashScheme) return undefined;
    return { fault: "scope", reason: `Its blocks are hashed by ${header.hashScheme}, not ${hashScheme}` };
  }

  #onSnapshot({ changes, isLast, lastId }: KvFeedMessage & { kind: "snapshot" }, nowMs: number) {
    if (this.#phase !== "filling") return this.#fault("order", "A snapshot came that was not announced", nowMs);
    if (!this.#isFilled) {
      this.#isFilled = true;
      this.#cursor = undefined;
      this.#effects.push({ kind: "reset" });
    }
    if (changes.some(({ kind }) => kind !== "stored")) {
      return this.#fault("order", "A snapshot tells what is not there", nowMs);
    }
    this.#effects.push({ kind: "apply", changes, from: 0 });
    if (!isLast) return;
    this.#cursor = lastId;
    this.#see(lastId);
    this.#phase = "replaying";
    this.#reason = "What came meanwhile is missing.";
    this.#liveWhenThere(nowMs);
  }

  #onEvents({ firstId, unixMs: toldMs, changes }: KvFeedMessage & { kind: "events" }, unixMs: number, nowMs: number) {
    const count = changes.length;
    const lastId = firstId + BigInt(count) - 1n;
    const cursor = this.#cursor;
    this.#see(lastId);
    if (this.#phase === "asking" || this.#phase === "filling" || cursor === undefined) {
      this.#effects.push({ kind: "dropped", why: "early", events: count });
      return;
    }
    if (firstId > cursor + 1n) {
      this.#effects.push({ kind: "gap" }, { kind: "dropped", why: "gap", events: count });
      return this.#catchUp(`Events ${cursor + 1n} to ${firstId - 1n} did not come.`, nowMs);
    }
    const known = lastId <= cursor ? count : Number(cursor + 1n - firstId);
    if (known > 0) this.#effects.push({ kind: "dropped", why: "stale", events: known });
    if (known === count) return;
    this.#progressed = true;
    this.#cursor = lastId;
    this.#lagMs = Math.max(0, unixMs - toldMs);
    this.#effects.push({ kind: "apply", changes, from: known });
    this.#liveWhenThere(nowMs);
  }

  #onHeartbeat(lastId: bigint, nowMs: number) {
    this.#see(lastId);
    const cursor = this.#cursor;
    if (this.#phase !== "live" || cursor === undefined || lastId === cursor) return;
    // It may have come late: the header of a new subscription tells.
    if (lastId < cursor) return this.#catchUp(`Its last event is ${lastId}, and ${cursor} was told before.`, nowMs);
    this.#effects.push({ kind: "gap" });
    this.#catchUp(`Events ${cursor + 1n} to ${lastId} did not come.`, nowMs);
  }

  #onUnreadable(detail: string, nowMs: number) {
    this.#effects.push({ kind: "dropped", why: "unreadable", events: 1 });
    const reason = `Something came that cannot be read: ${detail}.`;
    if (this.#phase === "live") return this.#catchUp(reason, nowMs);
    // The same would come again.
    this.#cursor = undefined;
    this.#retry(reason, nowMs);
  }

  #see(id: bigint): void {
    if (id > this.#seen) this.#seen = id;
  }

  #liveWhenThere(nowMs: number): void {
    if (this.#phase !== "replaying" || this.#cursor === undefined || this.#cursor < this.#seen) return;
    this.#phase = "live";
    this.#tries = 0;
    this.#backoff.reset();
    this.#effects.push({ kind: "release" }, { kind: "recovered", way: this.#way });
    this.#listenOn(nowMs);
  }

  #leave(reason: string): void {
    this.#reason = reason;
    this.#effects.push({ kind: "unsubscribe" });
    if (WITH_TURN.includes(this.#phase)) this.#effects.push({ kind: "release" });
    // Half a snapshot is nothing to go on from.
    if (this.#phase === "filling" && this.#isFilled) this.#cursor = undefined;
  }

  /** Asks from the next id on; what is known stays. */
  #catchUp(reason: string, nowMs: number) {
    if (!this.#progressed) return this.#retry(reason, nowMs);
    this.#leave(reason);
    const earliestMs = this.#askedMs + this.#limits.steadyMs;
    this.#wait(Math.max(nowMs + this.#limits.spreadMs * this.#chance.next(), earliestMs));
  }

  /** A try that brought nothing, or not to the end. */
  #retry(reason: string, nowMs: number, error?: StatorError) {
    this.#leave(reason);
    const rests = ++this.#tries >= this.#limits.tries || error?.row.retry === "never";
    this.#effects.push({ kind: "failed", reason, rests });
    if (!rests) return this.#wait(nowMs + this.#backoff.nextMs());
    this.#tries = 0;
    this.#backoff.reset();
    this.#cursor = undefined;
    this.#effects.push({ kind: "reset" });
    this.#wait(nowMs + this.#limits.restMs);
  }

  #fault(fault: Fault, reason: string, nowMs: number) {
    if (nowMs - this.#faultMs > this.#limits.forgiveMs) this.#faults = 0;
    this.#faultMs = nowMs;
    const isLast = ++this.#faults >= this.#limits.faults;
    this.#effects.push({ kind: "fault", fault, reason, isLast });
    this.#cursor = undefined;
    this.#seen = 0n;
    if (!isLast) return this.#retry(`${reason}.`, nowMs);
    this.#leave(`${reason}; it told such things ${this.#faults} times.`);
    this.#phase = "over";
    this.#effects.push({ kind: "reset" });
  }
}

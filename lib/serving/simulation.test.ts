import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type KvSession, KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import type { LinkFinish } from "#lib/link/link";
import type { Leg, Place, RouteNote } from "#lib/routing/router";
import { eachSeed, SCALE } from "../../test/support/seeds.ts";
import { createLife, type Life } from "./life.ts";
import type { LifeEffect, LifeEvent } from "./life-event.ts";
import { plainAsk } from "./plain-ask.ts";
import { routeAsk } from "./route-ask.ts";
import { stepLife, takeTokens } from "./step-life.ts";

/** The undisturbed answer: a function of choice and position, and a length of its own. */
const tokenAt = (choice: number, position: number) => (choice * 7_919 + position * 104_729) % 50_000;
const lengthOf = (choice: number, maxTokens: number) => Math.min(maxTokens, 3 + ((choice * 5) % 9));

const at = (worker: bigint) =>
  ({ target: { worker, rank: undefined }, weights: "w", decision: { rule: "pinned" } }) as const;
const nameOf = ({ worker, choice, attempt }: Run) => `${worker}/${choice}/${attempt}`;

/** One submit as a worker has it. */
interface Run {
  readonly worker: bigint;
  readonly choice: number;
  readonly attempt: number;
  readonly leg: Leg;
  /** Of a leg that began ahead: the one that computes its prompt. */
  readonly prefill: Run | undefined;
  /** Of a prompt alone: its first token is drawn, and its blocks are kept. */
  drawn: boolean;
  handedOff: boolean;
  /** Of a leg that began ahead: it was there when the prompt's leg had ended. */
  followed: boolean;
  /** It ended as it should. */
  whole: boolean;
  position: number;
  accepted: boolean;
  /** Tokens of it that were delivered. */
  got: number;
  /** Cancelled, abandoned, finished or lost: the worker's slot is free. */
  over: boolean;
  /** Frames that it sent, for duplicates. */
  readonly sent: number[][];
}

/** A few workers that break in every way at random, and one request that must not notice. */
class World {
  readonly chance: Chance;
  readonly life: Life;
  readonly runs: Run[] = [];
  readonly delivered: number[][];
  readonly ends: string[];
  /** Tokens that count of a choice that was complete before its end. */
  readonly finishedByUs = new Map<number, number>();
  /** Attempts in a row without a token, and how many of the last ended with a death: the naive account of each choice. */
  readonly fruitless: number[];
  readonly deaths: number[];
  /** Times that a choice was accepted which an earlier attempt had run. */
  moves = 0;
  readonly pinned: bigint | undefined;
  /** How the router places answers. */
  readonly legs: "whole" | "prefill-first" | "bootstrap";
  /** It kills whoever runs it. */
  readonly poison: boolean;
  /** The worker that it is pinned to died under it. */
  orphaned = false;
  readonly maxTokens: number;
  /** No worker is there before. */
  readonly emptyUntilMs: number;
  errors: StatorError[] = [];
  failedMs: number | undefined;
  records = 0;
  nowMs = 0;
  placeAtMs: number | undefined;
  cancelled = false;
  /** Sessions that nobody goes on from. */
  readonly released = new Set<string>();
  /** Choices that a router placed and that have not ended there; with a leg that began ahead apart. */
  readonly noted = new Set<string>();

  constructor(seed: bigint) {
    this.chance = new SeededChance(seed);
    this.maxTokens = 1 + pick(this.chance, 12);
    this.emptyUntilMs = pick(this.chance, 5) === 0 ? pick(this.chance, 4_000) : 0;
    const choices = 1 + pick(this.chance, 4);
    this.poison = pick(this.chance, 20) === 0;
    this.pinned = pick(this.chance, 4) === 0 ? 2n : undefined;
    this.legs =
      this.pinned === undefined ? (["whole", "prefill-first", "bootstrap"] as const)[pick(this.chance, 3)]! : "whole";
    const request = plainAsk({ choicesPerPrompt: choices, maxTokens: this.maxTokens, worker: this.pinned });
    this.life = createLife(request, { nowMs: 0, unixMs: 0 });
    this.delivered = Array.from({ length: choices }, () => []);
    this.ends = Array.from({ length: choices }, () => "");
    this.fruitless = Array.from({ length: choices }, () => 0);
    this.deaths = Array.from({ length: choices }, () => 0);
    this.tell({ kind: "start" });
  }

  tell(event: LifeEvent): void {
    const wasDone = this.life.done;
    const effects = stepLife(this.life, event, this.nowMs);
    if (wasDone) expect(effects).toEqual([]);
    for (const effect of effects) this.do(effect);
  }

  do(effect: LifeEffect): void {
    switch (effect.kind) {
      case "place":
        expect(this.placeAtMs).toBeUndefined();
        this.placeAtMs = this.nowMs + effect.delayMs;
        // The last look for a worker is at the limit.
        expect(this.searchedMs() + effect.delayMs).toBeLessThanOrEqual(this.life.attempt === 0 ? 2_000 : 15_000);
        return;
      case "submit": {
        const { choice, attempt, generated, target, leg, room, session } = effect;
        const { worker } = target;
        expect([...generated]).toEqual(this.delivered[choice]);
        const prefill = leg === "decode" && room ? this.find(choice, room.attempt) : undefined;
        if (room) expect(room.worker).toBe(prefill?.worker ?? worker);
        if (session) expect(session.sessionId).toBe(this.lastKept(choice));
        if (session) expect(this.released.has(session.sessionId)).toBe(false);
        const begun = { position: generated.length, accepted: false, got: 0, over: false, sent: [] };
        this.runs.push({
          worker,
          choice,
          attempt,
          leg,
          prefill,
          drawn: false,
          handedOff: false,
          followed: false,
          whole: false,
          ...begun,
        });
        return;
      }
      case "cancel":
      case "abandon": {
        const run = this.find(effect.choice, effect.attempt);
        expect(run).toBeDefined();
        if (run) run.over = true;
        return;
      }
      case "release": {
        const { sessionId } = effect.session;
        expect(this.released.has(sessionId)).toBe(false);
        this.released.add(sessionId);
        return;
      }
      case "end":
        expect(this.ends[effect.choice]).toBe("");
        this.ends[effect.choice] = effect.end.reason;
        return;
      case "error":
        this.errors.push(effect.error);
        this.failedMs = this.nowMs;
        return;
      case "note":
        this.note(effect.note);
        return;
      case "tokens": {
        const { choice, tokens } = effect;
        this.delivered[choice]?.push(...tokens);
        this.find(choice, this.life.choices[choice]!.attempt)!.got += tokens.length;
        return;
      }
      case "tell placed":
      case "text":
      case "embedding":
        return;
      case "done":
        this.records++;
        expect(this.noted.size).toBe(0);
        expect(effect.record.completionTokens).toBe(this.countedTokens());
        expect(effect.record.migrations).toBe(this.moves);
        expect(effect.record.handOff !== undefined).toBe(this.runs.some(({ handedOff }) => handedOff));
    }
  }

  find(choice: number, attempt: number): Run | undefined {
    return this.runs.find((one) => one.choice === choice && one.attempt === attempt);
  }

  /** The name of what was kept last of a choice's prompt. */
  lastKept(choice: number): string | undefined {
    const run = this.runs.findLast((one) => one.choice === choice && one.handedOff);
    return run && nameOf(run);
  }

  countedTokens(): number {
    return this.delivered.reduce((sum, { length }, choice) => sum + (this.finishedByUs.get(choice) ?? length), 0);
  }

  /** How long it has looked for a worker, or had when it failed. */
  searchedMs(): number {
    const nowMs = this.failedMs ?? this.nowMs;
    return nowMs - (this.life.searchingSinceMs ?? nowMs);
  }

  /** One thing that can happen. */
  act(): void {
    this.nowMs += pick(this.chance, 40);
    const run = this.runs[pick(this.chance, Math.max(1, this.runs.length))];
    const dice = pick(this.chance, 100);
    if (this.placeAtMs !== undefined && this.nowMs >= this.placeAtMs && dice < 40) this.place();
    else if (dice < 2 && !this.cancelled) this.leave();
    else if (dice < 5) this.finishChoice();
    else if (run && dice < 12) this.replay(run);
    else if (run && !run.over) this.work(run, dice);
    const open = this.fruitless.filter((_, choice) => this.ends[choice] === "");
    if (!this.life.done && Math.max(0, ...open) >= 3) expect.fail("it should have been given up");
  }

  place(): void {
    this.placeAtMs = undefined;
    const usable = this.pinned === undefined ? [1n, 2n, 3n] : [this.pinned];
    const free = usable.filter((worker) => !this.life.avoid.has(worker));
    const worker = free[pick(this.chance, Math.max(1, free.length))];
    if (this.nowMs < this.emptyUntilMs || worker === undefined || pick(this.chance, 8) === 0) {
      this.tell({ kind: "unplaced", error: new StatorError("NO_WORKERS", { model: "m" }), final: false });
      return;
    }
    const { choices, stage, prefilledBy } = routeAsk(this.life);
    if (stage === "hand-off") {
      for (const choice of choices) expect(this.lastKept(choice)).toMatch(new RegExp(`^${prefilledBy}/`));
    }
    const leg =
      this.legs === "whole" || pick(this.chance, 6) === 0 ? "whole" : stage === "hand-off" ? "decode" : "prefill";
    const ahead = free[pick(this.chance, free.length)];
    const place: Place = {
      choices,
      ...at(worker),
      leg,
      ...(leg === "prefill" && this.legs === "bootstrap" && ahead !== undefined && { ahead: at(ahead) }),
    };
    for (const choice of choices) {
      this.noted.add(`${choice}`);
      if (place.ahead) this.noted.add(`${choice} ahead`);
    }
    this.tell({ kind: "placed", places: [place] });
  }

  /** The router hears of every choice that it placed, until that ended there. */
  note({ kind, choice, ahead }: RouteNote): void {
    const key = ahead ? `${choice} ahead` : `${choice}`;
    if (!this.noted.has(key)) expect.fail(`the router hears of ${key}, which is nowhere: ${kind}`);
    if (kind === "ended") this.noted.delete(key);
  }

  leave(): void {
    if (pick(this.chance, 8) > 0) return;
    this.cancelled = true;
    this.tell({ kind: "cancel" });
  }

  finishChoice(): void {
    const choice = pick(this.chance, this.delivered.length);
    if (pick(this.chance, 4) > 0 || this.ends[choice] !== "") return;
    const tokens = this.delivered[choice]!.length >> 1;
    this.finishedByUs.set(choice, tokens);
    this.tell({ kind: "finish choice", choice, tokens });
  }

  /** A frame of some attempt, old or new, comes once more; only one that is over may be repeated. */
  replay(run: Run): void {
    const frame = run.sent[pick(this.chance, Math.max(1, run.sent.length))];
    if (!run.over || !frame) return;
    this.deliver(run, frame);
    if (pick(this.chance, 3) === 0) this.finish(run, "end");
  }

  deliver(run: Run, tokens: number[]): void {
    const frame = { tokens: Uint32Array.from([0, ...tokens, 0]), start: 1, end: 1 + tokens.length, nowMs: this.nowMs };
    const view = takeTokens(this.life, run, frame);
    if (!view) return;
    run.got += view.length;
    this.delivered[run.choice]?.push(...view);
  }

  finish(run: Run, reason: LinkFinish["reason"], { error, session }: Partial<LinkFinish> = {}): void {
    const wasOver = run.over;
    run.over = true;
    run.whole ||= !wasOver && (reason === "end" || reason === "length");
    const numbers = { stopToken: undefined, promptTokens: 3, cachedTokens: 0, completionTokens: 0 };
    const finish: LinkFinish = { reason, ...numbers, error, ...(session && { session }) };
    this.tell({ kind: "finished", choice: run.choice, attempt: run.attempt, finish });
  }

  /** The naive account of an attempt that failed; `counts`: it may have been executed. */
  account({ choice, got, prefill, followed }: Run, { counts = true, died = false }): void {
    // A leg that began ahead is forgotten while its prompt is computed.
    if (prefill && !followed) return;
    if (got > 0) {
      this.fruitless[choice] = 0;
      this.deaths[choice] = 0;
    } else if (counts) {
      this.fruitless[choice]! += 1;
      this.deaths[choice] = died ? this.deaths[choice]! + 1 : 0;
    }
  }

  work(run: Run, dice: number): void {
    const { choice, attempt } = run;
    if (dice < 16 || (this.poison && run.accepted)) this.lose(run.worker, this.poison);
    else if (dice < 18) {
      for (const one of this.runs) if (one.worker === run.worker && !one.over) this.account(one, {});
      const error = new StatorError("WORKER_STALLED", { stalledMs: 2_000 });
      this.tell({ kind: "suspect", worker: run.worker, error });
    } else if (!run.accepted) {
      if (dice < 30) this.finish(run, "failed", { error: new StatorError("OVERLOADED", { what: "m" }) });
      else if (dice < 36) {
        run.over = true;
        this.tell({ kind: "refused", choice, attempt, error: new StatorError("DRAINING", { what: "it" }) });
      } else this.accept(run);
    } else if (dice < 21) {
      this.account(run, {});
      this.finish(run, "failed", { error: new StatorError("ENGINE_FAILED", { detail: "test" }) });
    } else this.generate(run);
  }

  accept(run: Run): void {
    const { choice, attempt, prefill } = run;
    const mine = this.runs.filter((other) => other.choice === choice && other.attempt < attempt && other.accepted);
    const last = mine.findLast((other) => !other.prefill || other.followed);
    // Its next leg is elsewhere, as it was meant to be.
    if (last && !last.handedOff && !prefill) this.moves++;
    run.accepted = true;
    this.tell({ kind: "accepted", choice, attempt, cachedTokens: 1 });
  }

  /** The whole worker is gone, or only its link, and every run on it. */
  lose(worker: bigint, died = pick(this.chance, 3) > 0): void {
    const error = new StatorError("STREAM_LOST", { detail: "killed" });
    for (const one of this.runs) {
      if (one.worker !== worker || one.over) continue;
      one.over = true;
      this.account(one, { counts: one.accepted || died, died });
      const { choice, attempt, accepted } = one;
      const isWhole = this.delivered[choice]?.length === this.maxTokens;
      if (died && this.pinned !== undefined && !isWhole && !this.life.done) this.orphaned = true;
      this.tell({ kind: "lost", choice, attempt, error, accepted, died });
      if (this.orphaned) expect(this.life.done).toBe(true);
    }
  }

  generate(run: Run): void {
    const { prefill, leg } = run;
    if (prefill && !prefill.drawn) return;
    if (prefill && run.sent.length === 0) run.position = prefill.position;
    const length = lengthOf(run.choice, this.maxTokens);
    if (leg === "prefill" && run.drawn && run.position < length) {
      run.handedOff = true;
      for (const other of this.runs) if (other.prefill === run && (!other.over || other.whole)) other.followed = true;
      this.finish(run, "length", { session: this.keep(run) });
      return;
    }
    const most = leg === "prefill" ? 1 : 1 + pick(this.chance, 3);
    const count = Math.min(length - run.position, most);
    run.drawn = true;
    if (count > 0) {
      const tokens = Array.from({ length: count }, (_, at) => tokenAt(run.choice, run.position + at));
      run.position += count;
      run.sent.push(tokens);
      this.deliver(run, tokens);
      // The terminal frame often comes apart from the last tokens.
      if (run.over || pick(this.chance, 2) === 0) return;
    }
    if (run.position === length) this.finish(run, length === this.maxTokens ? "length" : "end");
  }

  /** For a while, which may be too short for whoever is to fetch it. */
  keep(run: Run): KvSession {
    return create(KvSessionSchema, { sessionId: nameOf(run), leaseMs: [0, 50, 5_000][pick(this.chance, 3)]! });
  }

  /** The naive checker: what a client may have seen, whatever happened. */
  check(): void {
    expect(this.records).toBe(1);
    expect(this.runs.filter((run) => !run.over)).toEqual([]);
    for (const [choice, tokens] of this.delivered.entries()) {
      const length = lengthOf(choice, this.maxTokens);
      const whole = Array.from({ length }, (_, at) => tokenAt(choice, at));
      expect(tokens).toEqual(whole.slice(0, tokens.length));
      if (this.cancelled || this.errors.length > 0) continue;
      expect(this.ends[choice]).not.toBe("");
      if (this.ends[choice] === "cancelled") expect(this.finishedByUs.has(choice)).toBe(true);
      else expect(tokens).toEqual(whole);
    }
    if (this.cancelled) return;
    expect(this.errors.length).toBeLessThanOrEqual(1);
    const [error] = this.errors;
    const most = Math.max(...this.fruitless);
    if (error?.reason === "POISONED") expect(Math.max(...this.deaths)).toBe(3);
    else if (error?.reason === "STREAM_LOST") expect(this.orphaned).toBe(true);
    else if (error?.reason === "ATTEMPTS_EXHAUSTED" && this.searchedMs() < 15_000) {
      expect(most).toBe(3);
      expect(Math.max(...this.deaths)).toBeLessThan(3);
    } else if (error?.reason === "NO_WORKERS") {
      expect(this.life.attempt).toBe(0);
      expect(this.searchedMs()).toBeGreaterThanOrEqual(2_000);
    } else if (error) expect(["OVERLOADED", "ATTEMPTS_EXHAUSTED"]).toContain(error.reason);
  }
}

describe("a request among failing workers", () => {
  it(
    "delivers the undisturbed answer without gap or repetition, one terminal, no slot kept",
    () => {
      const outcomes = {
        finished: 0,
        failed: 0,
        cancelled: 0,
        migrated: 0,
        poisoned: 0,
        orphaned: 0,
        handedOff: 0,
        followed: 0,
      };
      eachSeed(3_000, (seed) => {
        const world = new World(BigInt(seed));
        for (let acts = 0; !world.life.done; acts++) {
          if (acts === 20_000) expect.fail("it does not end");
          world.act();
        }
        for (let acts = 0; acts < 20; acts++) world.act();
        world.check();
        if (world.cancelled) outcomes.cancelled++;
        else if (world.errors.length > 0) outcomes.failed++;
        else outcomes.finished++;
        if (world.life.migrations > 0) outcomes.migrated++;
        if (world.errors[0]?.reason === "POISONED") outcomes.poisoned++;
        if (world.orphaned) outcomes.orphaned++;
        if (world.runs.some((run) => run.leg === "decode" && !run.prefill && run.got > 0)) outcomes.handedOff++;
        if (world.runs.some(({ prefill, got }) => prefill && got > 0)) outcomes.followed++;
      });
      // The faults are frequent enough to mean something, and rare enough that most requests succeed.
      expect(outcomes.finished).toBeGreaterThan(1_500 * SCALE);
      expect(outcomes.migrated).toBeGreaterThan(500 * SCALE);
      expect(outcomes.poisoned).toBeGreaterThan(20 * SCALE);
      expect(outcomes.orphaned).toBeGreaterThan(10 * SCALE);
      expect(outcomes.handedOff).toBeGreaterThan(300 * SCALE);
      expect(outcomes.followed).toBeGreaterThan(300 * SCALE);
    },
    60_000 + 10_000 * SCALE,
  );
});

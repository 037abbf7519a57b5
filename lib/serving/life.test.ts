import { describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import type { LinkFinish } from "#lib/link/link";
import type { RouteNote } from "#lib/routing/router";
import { createLife, type Life } from "./life.ts";
import type { LifeEffect, LifeEvent } from "./life-event.ts";
import { type PlainChanges, plainAsk } from "./plain-ask.ts";
import { usageOf } from "./record.ts";
import { routeAsk } from "./route-ask.ts";
import { stepLife, takePromptLogprobs, takeTokens } from "./step-life.ts";

const ended: LinkFinish = {
  reason: "end",
  stopToken: undefined,
  promptTokens: 3,
  cachedTokens: 0,
  completionTokens: 0,
  error: undefined,
};

class Told {
  readonly life: Life;
  nowMs = 0;
  all: LifeEffect[] = [];
  readonly notes: RouteNote[] = [];

  constructor(more: PlainChanges = {}) {
    this.life = createLife(plainAsk(more), { nowMs: 0, unixMs: 1_000 });
  }

  tell(event: LifeEvent): LifeEffect[] {
    const all = stepLife(this.life, event, this.nowMs);
    for (const effect of all) if (effect.kind === "note") this.notes.push(effect.note);
    const effects = all.filter(({ kind }) => kind !== "note");
    this.all.push(...effects);
    return effects;
  }

  /** A router puts what it is asked for on one worker. */
  place(worker: bigint, choices = routeAsk(this.life).choices): LifeEffect[] {
    const place = { target: { worker, rank: undefined }, weights: "w", decision: { rule: "pinned" } } as const;
    return this.tell({ kind: "placed", places: [{ choices, ...place }] });
  }

  tokens(choice: number, attempt: number, ...tokens: number[]): number[] | undefined {
    const frame = { tokens: Uint32Array.from(tokens), start: 0, end: tokens.length, nowMs: this.nowMs };
    const view = takeTokens(this.life, { choice, attempt }, frame);
    return view && [...view];
  }

  /** Placed on a worker and accepted there. */
  run(worker: bigint): void {
    this.place(worker);
    const { attempt } = this.life;
    for (const { index, phase } of this.life.choices) {
      if (phase === "sent") this.tell({ kind: "accepted", choice: index, attempt, cachedTokens: 2 });
    }
  }

  last(kind: LifeEffect["kind"]) {
    return this.all.findLast((effect) => effect.kind === kind);
  }
}

const lost = new StatorError("STREAM_LOST", { detail: "test" });

describe("the life of a request", () => {
  it("goes from place to record", () => {
    const told = new Told();
    expect(told.tell({ kind: "start" })).toMatchObject([{ kind: "place", delayMs: 0 }]);
    told.nowMs = 5;
    told.run(7n);
    expect(told.last("tell placed")).toMatchObject({ placement: { worker: 7n, attempt: 1, cachedTokens: 2 } });
    told.nowMs = 10;
    expect(told.tokens(0, 1, 4, 5)).toEqual([4, 5]);
    told.nowMs = 20;
    const effects = told.tell({ kind: "finished", choice: 0, attempt: 1, finish: ended });
    expect(effects).toMatchObject([
      { kind: "end", end: { reason: "end" } },
      {
        kind: "done",
        record: {
          ...{ outcome: "finished", promptTokens: 3, cachedTokens: 2, completionTokens: 2 },
          ...{ firstTokenMs: 10, totalMs: 20, migrations: 0 },
        },
      },
    ]);
    expect(told.tell({ kind: "cancel" })).toEqual([]);
    expect(told.tokens(0, 1, 6)).toBeUndefined();
  });

  it("delivers each log-probability of a prompt once, whatever an attempt says again", () => {
    const told = new Told({ topLogprobs: 0, promptLogprobs: true });
    const scores = (attempt: number, position: number, count: number) =>
      takePromptLogprobs(told.life, { choice: 0, attempt }, { position, count });
    told.tell({ kind: "start" });
    told.run(1n);
    expect([scores(1, 1, 4), scores(1, 5, 2)]).toEqual([0, 0]);
    told.tell({ kind: "lost", choice: 0, attempt: 1, error: lost, accepted: true, died: true });
    told.run(2n);
    expect(scores(1, 7, 1), "the attempt is over").toBeUndefined();
    expect([scores(2, 1, 4), scores(2, 5, 3), scores(2, 8, 2)]).toEqual([undefined, 2, 0]);
    expect(scores(2, 12, 1), "something is missing before it").toBeUndefined();
  });

  it("continues elsewhere with what was generated, and redoes no choice that has ended", () => {
    const told = new Told({ choicesPerPrompt: 2 });
    told.tell({ kind: "start" });
    told.run(1n);
    told.tokens(0, 1, 4);
    told.tokens(1, 1, 5);
    told.tell({ kind: "finished", choice: 0, attempt: 1, finish: ended });
    const [place] = told.tell({ kind: "lost", choice: 1, attempt: 1, error: lost, accepted: true, died: false });
    expect(place).toMatchObject({ kind: "place", delayMs: 0 });
    expect(routeAsk(told.life)).toMatchObject({ choices: [1], weights: "w", avoid: new Set([1n]), isNew: false });
    const submits = told.place(2n);
    expect(submits).toMatchObject([{ kind: "submit", choice: 1, attempt: 2, generated: Uint32Array.of(5) }]);
    told.tell({ kind: "accepted", choice: 1, attempt: 2, cachedTokens: 0 });
    expect(told.tokens(1, 1, 99)).toBeUndefined();
    expect(told.tokens(1, 2, 6)).toEqual([6]);
    told.tell({ kind: "finished", choice: 1, attempt: 2, finish: ended });
    expect(told.last("done")).toMatchObject({
      record: { workers: [1n, 2n], promptTokens: 3, cachedTokens: 2, completionTokens: 3, migrations: 1 },
    });
  });

  it("asks for choices by the weights that began them, and sends each where its place says", () => {
    const told = new Told({ choicesPerPrompt: 3 });
    told.tell({ kind: "start" });
    const ask = routeAsk(told.life);
    expect(ask.kind).toBe("generate");
    expect(ask).toMatchObject({ choices: [0, 1, 2], choicesPerPrompt: 3, weights: undefined, isNew: true });
    const decision = { rule: "random", at: 1, of: 2 } as const;
    const places = [
      { choices: [0, 2], target: { worker: 1n, rank: 3 }, weights: "a", decision },
      { choices: [1], target: { worker: 2n, rank: undefined }, weights: "b", decision },
    ];
    const submits = told.tell({ kind: "placed", places });
    expect(submits.map((each) => each.kind === "submit" && [each.choice, each.target])).toEqual([
      [0, { worker: 1n, rank: 3 }],
      [2, { worker: 1n, rank: 3 }],
      [1, { worker: 2n, rank: undefined }],
    ]);
    for (const choice of [0, 1, 2]) told.tell({ kind: "accepted", choice, attempt: 1, cachedTokens: 0 });
    // Only two of them have a token; the third may go anywhere.
    for (const choice of [0, 1]) told.tokens(choice, 1, 4);
    for (const choice of [0, 1, 2])
      told.tell({ kind: "lost", choice, attempt: 1, error: lost, accepted: true, died: false });
    for (const [choices, weights] of [
      [[0], "a"],
      [[1], "b"],
      [[2], undefined],
    ] as const) {
      const next = routeAsk(told.life);
      expect(next).toMatchObject({ choices, weights });
      const effects = told.place(5n, next.choices);
      expect(effects.map(({ kind }) => kind)).toEqual(choices[0] === 2 ? ["submit"] : ["submit", "place"]);
    }
  });

  it("tells the router what became of each choice, once", () => {
    const told = new Told({ choicesPerPrompt: 2 });
    told.tell({ kind: "start" });
    told.tell({ kind: "finish choice", choice: 1, tokens: 0 });
    told.place(1n, [0, 1]);
    told.tell({ kind: "accepted", choice: 0, attempt: 1, cachedTokens: 2 });
    expect(told.notes.splice(0)).toEqual([
      { kind: "ended", choice: 1 },
      { kind: "accepted", choice: 0, cachedTokens: 2 },
    ]);
    told.tell({ kind: "lost", choice: 0, attempt: 1, error: lost, accepted: true, died: false });
    told.place(2n);
    told.tell({ kind: "cancel" });
    expect(told.notes).toEqual([
      { kind: "ended", choice: 0, tokens: 0 },
      { kind: "ended", choice: 0, tokens: 0 },
    ]);
  });

  it("does not wait where its router says that it is not to", () => {
    const told = new Told();
    told.tell({ kind: "start" });
    const error = new StatorError("NO_WORKERS", { model: "m" });
    const effects = told.tell({ kind: "unplaced", error, final: true });
    expect(effects).toMatchObject([{ kind: "error", error }, { kind: "done" }]);
  });

  it("ends by itself when only the terminal frame was lost", () => {
    const told = new Told({ maxTokens: 2 });
    told.tell({ kind: "start" });
    told.run(1n);
    told.tokens(0, 1, 4, 5);
    told.tell({ kind: "lost", choice: 0, attempt: 1, error: lost, accepted: true, died: false });
    expect(told.last("end")).toMatchObject({ end: { reason: "length" } });
    expect(told.last("done")).toMatchObject({ record: { completionTokens: 2 } });
  });

  it.each(["OVERLOADED", "WORKER_OUTDATED"] as const)("tries elsewhere at once, and says when all say %s", (reason) => {
    const told = new Told();
    const full = new StatorError(reason, { what: "m" });
    told.tell({ kind: "start" });
    for (const worker of [1n, 2n]) {
      told.place(worker);
      const attempt = told.life.attempt;
      const [place] = told.tell({ kind: "refused", choice: 0, attempt, error: full });
      expect(place).toMatchObject({ kind: "place", delayMs: 0 });
    }
    const effects = told.tell({ kind: "unplaced", error: new StatorError("NO_WORKERS", { model: "m" }), final: false });
    expect(effects).toMatchObject([{ kind: "error", error: { reason } }, { kind: "done" }]);
  });

  it("begins with the first wait again when a worker took it, and not before", () => {
    const told = new Told();
    const noWorkers = new StatorError("NO_WORKERS", { model: "m" });
    const waits = () => [1, 2].map(() => told.tell({ kind: "unplaced", error: noWorkers, final: false })[0]);
    told.tell({ kind: "start" });
    expect(waits()).toMatchObject([{ delayMs: 50 }, { delayMs: 100 }]);
    told.place(1n);
    told.tell({ kind: "refused", choice: 0, attempt: 1, error: new StatorError("STREAM_LOST", { detail: "test" }) });
    expect(waits()).toMatchObject([{ delayMs: 200 }, { delayMs: 400 }]);
    told.run(2n);
    told.tell({ kind: "lost", choice: 0, attempt: 2, error: lost, accepted: true, died: false });
    expect(waits()).toMatchObject([{ delayMs: 50 }, { delayMs: 100 }]);
  });

  it("waits for a worker with growing patience, but not for ever", () => {
    const told = new Told();
    told.tell({ kind: "start" });
    told.run(1n);
    told.tokens(0, 1, 4);
    told.tell({ kind: "lost", choice: 0, attempt: 1, error: lost, accepted: true, died: false });
    const delays: number[] = [];
    for (;;) {
      const [effect] = told.tell({
        kind: "unplaced",
        error: new StatorError("NO_WORKERS", { model: "m" }),
        final: false,
      });
      if (effect?.kind !== "place") break;
      delays.push(effect.delayMs);
      told.nowMs += effect.delayMs;
    }
    expect(delays.slice(0, 6)).toEqual([50, 100, 200, 400, 800, 1_000]);
    expect(told.nowMs).toBeGreaterThanOrEqual(15_000);
    expect(told.last("error")).toMatchObject({ error: { reason: "ATTEMPTS_EXHAUSTED" } });
  });

  it("waits shortly for its first worker, and says how long", () => {
    const error = new StatorError("NO_WORKERS", { model: "m" }, { retryAfterMs: 2_000 });
    for (const comes of [true, false]) {
      const told = new Told();
      told.tell({ kind: "start" });
      for (let effect = told.tell({ kind: "unplaced", error, final: false })[0]; effect?.kind === "place"; ) {
        told.nowMs += effect.delayMs;
        if (comes && told.nowMs >= 500) break;
        [effect] = told.tell({ kind: "unplaced", error, final: false });
      }
      if (comes) {
        told.run(7n);
        expect(told.last("tell placed")).toMatchObject({ placement: { decision: { rule: "pinned" }, waitedMs: 750 } });
      } else {
        expect(told.nowMs).toBe(2_000);
        expect(told.last("error")).toMatchObject({ error: { reason: "NO_WORKERS", retryAfterMs: 2_000 } });
        expect(told.last("done")).toMatchObject({ record: { reason: "NO_WORKERS", workers: [], migrations: 0 } });
      }
    }
  });

  /** Runs it on a worker until the worker is gone, after so many tokens. */
  function loseUnder(
    told: Told,
    worker: bigint,
    options: { tokens?: number; died?: boolean; accepted?: boolean } = {},
  ) {
    const { tokens = 0, died = true, accepted = true } = options;
    told.place(worker);
    const { attempt } = told.life;
    if (accepted) told.tell({ kind: "accepted", choice: 0, attempt, cachedTokens: 0 });
    for (let each = 0; each < tokens; each++) told.tokens(0, attempt, 7);
    return told.tell({ kind: "lost", choice: 0, attempt, error: lost, accepted, died });
  }

  it("goes on as long as attempts have tokens, and counts what moved", () => {
    const told = new Told({ maxTokens: 1_000 });
    told.tell({ kind: "start" });
    for (let attempt = 1; attempt <= 40; attempt++) {
      const fruitless = attempt % 3 !== 0;
      expect(loseUnder(told, BigInt(attempt), { tokens: fruitless ? 0 : 1 })).toMatchObject([{ kind: "place" }]);
    }
    // What nobody took did not move.
    told.place(50n);
    told.tell({ kind: "refused", choice: 0, attempt: 41, error: new StatorError("DRAINING", { what: "it" }) });
    told.run(51n);
    told.tell({ kind: "finished", choice: 0, attempt: 42, finish: ended });
    expect(told.last("done")).toMatchObject({ record: { outcome: "finished", migrations: 40, completionTokens: 13 } });
  });

  it("stops what kills three workers in a row without a token, by name", () => {
    const told = new Told({ requestId: "r9" });
    told.tell({ kind: "start" });
    loseUnder(told, 1n, { tokens: 1 });
    loseUnder(told, 2n);
    // One that dies before it can say that it accepted counts too.
    expect(loseUnder(told, 3n, { accepted: false })).toMatchObject([{ kind: "place", delayMs: 50 }]);
    expect(loseUnder(told, 4n)).toMatchObject([
      { kind: "error", error: { reason: "POISONED", facts: { request: "r9", workers: 3 }, row: { retry: "never" } } },
      { kind: "done", record: { outcome: "failed", reason: "POISONED", migrations: 2 } },
    ]);
  });

  it("gives up after three in a row without a token that did not all die", () => {
    for (const odd of [1n, 2n, 3n]) {
      const told = new Told();
      told.tell({ kind: "start" });
      for (const worker of [1n, 2n, 3n]) loseUnder(told, worker, { died: worker !== odd });
      expect(told.last("error")).toMatchObject({ error: { reason: "ATTEMPTS_EXHAUSTED", facts: { attempts: 3 } } });
    }
  });

  it("does not count what certainly was not executed", () => {
    const told = new Told();
    told.tell({ kind: "start" });
    for (const worker of [1n, 2n, 3n, 4n]) loseUnder(told, worker, { accepted: false, died: false });
    expect(told.life.done).toBe(false);
  });

  it.each([
    [0, 1],
    [1, 1],
    [5, 5],
  ])("with a limit of %d stops at attempt %d", (fruitless, attempts) => {
    const told = new Told();
    Object.assign(told.life, { limits: { ...told.life.limits, fruitless } });
    told.tell({ kind: "start" });
    for (let attempt = 1; attempt <= attempts; attempt++) {
      expect(told.life.done).toBe(false);
      loseUnder(told, BigInt(attempt), { tokens: fruitless === 0 ? 1 : 0 });
    }
    // Once may be chance.
    expect(told.last("error")).toMatchObject({ error: { reason: attempts > 1 ? "POISONED" : "ATTEMPTS_EXHAUSTED" } });
  });

  it("that is pinned hears at once that its worker died, or has left", () => {
    const died = new Told({ worker: 1n });
    died.tell({ kind: "start" });
    expect(loseUnder(died, 1n, { tokens: 1 })).toMatchObject([
      { kind: "error", error: { reason: "STREAM_LOST", row: { blame: "server" } } },
      { kind: "done" },
    ]);
    const left = new Told({ worker: 1n });
    left.tell({ kind: "start" });
    // A link that the worker ended for a reason may come back.
    expect(loseUnder(left, 1n, { died: false })).toMatchObject([{ kind: "place" }]);
    expect(left.tell({ kind: "unplaced", error: lost, final: false })).toMatchObject([
      { kind: "error", error: lost },
      { kind: "done" },
    ]);
  });

  it("does not repeat what can never work", () => {
    const told = new Told({ choicesPerPrompt: 2 });
    told.tell({ kind: "start" });
    told.run(1n);
    const error = new StatorError("INVALID_GRAMMAR", { detail: "no root" });
    const effects = told.tell({
      kind: "finished",
      choice: 0,
      attempt: 1,
      finish: { ...ended, reason: "failed", error },
    });
    expect(effects).toMatchObject([
      { kind: "cancel", choice: 1, mode: "kill" },
      { kind: "error", error: { reason: "INVALID_GRAMMAR" } },
      { kind: "done", record: { reason: "INVALID_GRAMMAR" } },
    ]);
  });

  it("abandons a suspect worker", () => {
    const told = new Told();
    told.tell({ kind: "start" });
    told.run(1n);
    const error = new StatorError("WORKER_STALLED", { stalledMs: 2_000 });
    expect(told.tell({ kind: "suspect", worker: 9n, error })).toEqual([]);
    expect(told.tell({ kind: "suspect", worker: 1n, error })).toMatchObject([
      { kind: "abandon", choice: 0, attempt: 1 },
      { kind: "place", delayMs: 0 },
    ]);
  });

  it("ends a choice whose stop string was found, once", () => {
    const told = new Told({ choicesPerPrompt: 2 });
    told.tell({ kind: "start" });
    told.run(1n);
    told.tokens(0, 1, 4, 5, 6);
    expect(usageOf(told.life)).toEqual({ promptTokens: 3, cachedTokens: 2, completionTokens: 3 });
    expect(told.tell({ kind: "finish choice", choice: 0, tokens: 2 })).toMatchObject([
      { kind: "cancel", choice: 0, mode: "stop" },
      { kind: "end", choice: 0, end: { reason: "cancelled" } },
    ]);
    expect(told.tell({ kind: "finish choice", choice: 0, tokens: 1 })).toEqual([]);
    expect(told.tell({ kind: "finished", choice: 0, attempt: 1, finish: ended })).toEqual([]);
    expect(told.tokens(0, 1, 7)).toBeUndefined();
    expect(told.life.openChoices).toBe(1);
    told.tokens(1, 1, 8);
    told.tell({ kind: "finish choice", choice: 1, tokens: 9 });
    expect(told.last("done"), "what did not come is not counted").toMatchObject({ record: { completionTokens: 3 } });
  });

  it("fails at its deadline", () => {
    const told = new Told({ deadlineMs: 100 });
    told.tell({ kind: "start" });
    told.nowMs = 40;
    told.run(1n);
    expect(told.last("submit")).toMatchObject({ deadlineMs: 60 });
    told.nowMs = 100;
    told.tell({ kind: "deadline" });
    expect(told.last("error")).toMatchObject({ error: { reason: "DEADLINE" } });
  });

  it("delivers each embedding once", () => {
    const told = new Told({ kind: "embed", prompts: [Uint32Array.of(1), Uint32Array.of(2)] });
    told.tell({ kind: "start" });
    told.run(1n);
    told.tell({ kind: "embedding", choice: 0, attempt: 1, values: Float32Array.of(1) });
    const error = lost;
    told.tell({ kind: "lost", choice: 0, attempt: 1, error, accepted: true, died: false });
    told.tell({ kind: "lost", choice: 1, attempt: 1, error, accepted: true, died: false });
    told.run(2n);
    told.tell({ kind: "embedding", choice: 1, attempt: 2, values: Float32Array.of(2) });
    told.tell({ kind: "finished", choice: 1, attempt: 2, finish: { ...ended, reason: "done" } });
    expect(told.all.filter((effect) => effect.kind === "embedding")).toHaveLength(2);
    expect(told.last("done")).toMatchObject({ record: { outcome: "finished", promptTokens: 2 } });
  });
});

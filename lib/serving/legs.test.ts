import { describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { LegRig, report, spot } from "../../test/support/leg-rig.ts";
import { draining, lost, reasons } from "../../test/support/life-rig.ts";
import type { LifeEffect } from "./life-event.ts";
import { usageOf } from "./record.ts";
import { routeAsk } from "./route-ask.ts";

const scores = (...chosen: number[]) => ({
  chosen: Float32Array.from(chosen),
  topTokens: new Uint32Array(0),
  topValues: new Float32Array(0),
});

describe("a prompt in one place, its answer in another", () => {
  it("goes on from where it is kept, behind the first token", () => {
    const rig = new LegRig();
    expect(rig.sent(1n, "prefill")).toMatchObject([
      { kind: "submit", leg: "prefill", session: undefined, room: undefined },
    ]);
    expect(rig.taken(1, 2)).toMatchObject([
      { kind: "tell placed", placement: { worker: 1n, leg: "prefill", cachedTokens: 2 } },
    ]);
    expect(rig.says(1, [7])).toEqual([7]);
    expect(rig.kept(1)).toEqual([{ kind: "place", delayMs: 0 }]);
    expect(routeAsk(rig.life)).toMatchObject({
      stage: "hand-off",
      prefilledBy: 1n,
      choices: [0],
      isNew: false,
      weights: "w",
    });
    expect(rig.sent(2n, "decode")).toMatchObject([
      {
        kind: "submit",
        leg: "decode",
        generated: Uint32Array.of(7),
        session: { sessionId: "s1" },
        target: { worker: 2n },
      },
    ]);
    // What the prompt's worker found is what was found.
    expect(rig.taken(2, 3)).toMatchObject([
      { kind: "tell placed", placement: { worker: 2n, leg: "decode", attempt: 2, cachedTokens: 2 } },
    ]);
    expect(rig.says(2, [8, 9])).toEqual([8, 9]);
    const [, done] = rig.ends(2, { reason: "end", transfer: report() });
    expect(done).toMatchObject({
      record: {
        migrations: 0,
        workers: [1n, 2n],
        promptTokens: 3,
        cachedTokens: 2,
        completionTokens: 3,
        outcome: "finished",
      },
    });
    expect(rig.notes).toEqual([
      { kind: "accepted", choice: 0, cachedTokens: 2 },
      { kind: "ended", choice: 0, tokens: 1 },
      { kind: "accepted", choice: 0, cachedTokens: 3 },
      { kind: "transferred", choice: 0, transfer: { bytes: 96, ms: 4 } },
      { kind: "ended", choice: 0, tokens: 3 },
    ]);
  });

  it("is over where its first token ended it, and nothing is handed on", () => {
    for (const finish of [{ reason: "end" }, { reason: "stop_token", stopToken: 9 }, { reason: "length" }] as const) {
      const rig = new LegRig();
      rig.sent(1n, "prefill");
      rig.taken(1);
      rig.says(1, [7]);
      expect(reasons(rig.ends(1, finish))).toEqual(["end", "done"]);
      expect(rig.life.handedOff).toBeUndefined();
    }
    const whole = new LegRig({ maxTokens: 1 });
    expect(reasons(whole.prefilled())).toEqual(["end", "done"]);
  });

  it("starts again when its worker fails before it is kept, behind what came of it", () => {
    const rig = new LegRig();
    rig.sent(1n, "prefill");
    rig.taken(1);
    expect(rig.dies(1)).toEqual([{ kind: "place", delayMs: 0 }]);
    expect(routeAsk(rig.life).stage).toBeUndefined();
    rig.sent(3n, "prefill");
    rig.taken(2);
    rig.says(2, [7]);
    rig.dies(2);
    expect(rig.sent(1n, "prefill")).toMatchObject([{ leg: "prefill", generated: Uint32Array.of(7) }]);
  });

  it("is handed on again while it is kept and nothing came behind it, and else starts again", () => {
    const failed = (tokens: number[], afterMs: number) => {
      const rig = new LegRig();
      rig.prefilled(100);
      rig.sent(2n, "decode");
      rig.taken(2);
      if (tokens.length > 0) rig.says(2, tokens);
      rig.nowMs += afterMs;
      rig.dies(2);
      return { rig, stage: routeAsk(rig.life).stage };
    };
    const { rig, stage } = failed([], 99);
    expect([stage, rig.avoided([{ kind: "place", delayMs: 0 }])]).toEqual(["hand-off", [2n]]);
    expect(rig.sent(3n, "decode")).toMatchObject([{ session: { sessionId: "s1" }, generated: Uint32Array.of(7) }]);
    expect(failed([], 100).stage).toBeUndefined();
    expect(failed([8], 0).stage).toBeUndefined();
  });

  it("is sent without what is kept no longer by then, and asks anew where nobody took it in time", () => {
    const late = new LegRig();
    late.prefilled(100);
    late.nowMs = 100;
    expect(late.sent(2n, "decode")).toMatchObject([
      { leg: "decode", session: undefined, generated: Uint32Array.of(7) },
    ]);
    const rig = new LegRig();
    rig.prefilled(100);
    expect(rig.wait()).toBe(50);
    expect(routeAsk(rig.life).stage).toBe("hand-off");
    rig.nowMs = 100;
    expect(rig.wait()).toBe(100);
    expect(routeAsk(rig.life)).not.toHaveProperty("stage");
  });

  it("is kept without an end where nobody said for how long", () => {
    const rig = new LegRig();
    rig.prefilled(0);
    rig.nowMs = 9_999;
    expect(rig.sent(2n, "decode")).toMatchObject([{ session: { sessionId: "s1" } }]);
  });

  it("counts those that died under its answer, and not the prompts between", () => {
    const rig = new LegRig();
    rig.prefilled();
    for (const attempt of [2, 3, 4]) {
      rig.sent(BigInt(attempt), "decode");
      rig.taken(attempt);
      const effects = rig.dies(attempt, { died: true });
      expect(reasons(effects)).toEqual(attempt < 4 ? ["place"] : ["release", "POISONED", "done"]);
    }
    expect(rig.life.migrations).toBe(2);
  });

  it("of a request that names its worker fails with that one, and not with the one of its prompt", () => {
    const rig = new LegRig({ worker: 2n });
    rig.sent(1n, "prefill");
    rig.taken(1);
    expect(reasons(rig.dies(1, { died: true }))).toEqual(["place"]);
    rig.sent(2n, "whole");
    rig.taken(2);
    expect(reasons(rig.dies(2, { died: true }))).toEqual(["STREAM_LOST", "done"]);
  });

  it("of several choices each goes its own way: those that are kept are placed first, by who keeps them", () => {
    const rig = new LegRig({ choicesPerPrompt: 4 });
    rig.tell({
      kind: "placed",
      places: [
        { choices: [0, 1], ...spot(1n), leg: "prefill" },
        { choices: [2, 3], ...spot(5n), leg: "prefill" },
      ],
    });
    for (const choice of [0, 1, 2, 3]) {
      rig.taken(1, 0, choice);
      rig.says(1, [7], undefined, choice);
    }
    rig.dies(1, { choice: 0 });
    for (const choice of [1, 2, 3]) rig.kept(1, 1_000, choice);
    expect(routeAsk(rig.life)).toMatchObject({ stage: "hand-off", prefilledBy: 1n, choices: [1] });
    expect(rig.sent(2n, "decode").map(({ kind }) => kind)).toEqual(["submit", "place"]);
    expect(routeAsk(rig.life)).toMatchObject({ stage: "hand-off", prefilledBy: 5n, choices: [2, 3] });
    rig.sent(2n, "decode");
    expect(routeAsk(rig.life)).toMatchObject({ choices: [0] });
    expect(routeAsk(rig.life)).not.toHaveProperty("stage");
    expect(usageOf(rig.life)).toMatchObject({ promptTokens: 3, completionTokens: 4 });
    expect(rig.life.workers).toEqual([1n, 5n]);
  });

  it("that a stop text completes is not handed on, and lets go of what is kept", () => {
    const rig = new LegRig();
    rig.sent(1n, "prefill");
    rig.taken(1);
    rig.says(1, [7]);
    expect(reasons(rig.tell({ kind: "finish choice", choice: 0, tokens: 1 }))).toEqual(["cancel", "end", "done"]);
    const later = new LegRig();
    later.prefilled();
    expect(reasons(later.tell({ kind: "finish choice", choice: 0, tokens: 1 }))).toEqual(["release", "end", "done"]);
  });

  it("that nobody goes on from is let go once, and what was fetched or is over is not", () => {
    const released = (effects: readonly LifeEffect[]) =>
      effects.flatMap((effect) =>
        effect.kind === "release" ? [`${effect.session.sessionId} of ${effect.worker}`] : [],
      );
    const waiting = new LegRig();
    waiting.prefilled();
    expect(released(waiting.tell({ kind: "cancel" }))).toEqual(["s1 of 1"]);
    const fetching = new LegRig();
    fetching.prefilled();
    fetching.sent(2n, "decode");
    fetching.taken(2);
    expect(reasons(fetching.tell({ kind: "cancel" }))).toEqual(["cancel", "release", "done"]);
    const answering = new LegRig();
    answering.prefilled();
    answering.sent(2n, "decode");
    answering.taken(2);
    answering.says(2, [8]);
    expect(released(answering.dies(2))).toEqual([]);
    expect(released(answering.tell({ kind: "cancel" }))).toEqual([]);
    const answered = new LegRig();
    answered.prefilled();
    answered.sent(2n, "decode");
    answered.taken(2);
    expect(released(answered.ends(2, {}))).toEqual([]);
    const late = new LegRig();
    late.prefilled(100);
    late.nowMs = 100;
    expect(released(late.tell({ kind: "cancel" }))).toEqual([]);
  });
});

describe("what is written of the two legs", () => {
  const handOffOf = (effects: ReturnType<LegRig["tell"]>) => {
    const last = effects.at(-1);
    return last?.kind === "done" ? last.record.handOff : undefined;
  };

  it("is who did what, how long it took, and how blocks came", () => {
    const rig = new LegRig();
    rig.nowMs = 20;
    rig.prefilled();
    rig.nowMs = 23;
    rig.sent(2n, "decode");
    rig.taken(2);
    expect(handOffOf(rig.ends(2, { transfer: report("STREAM_LOST") }))).toMatchObject({
      ...{ prefillWorker: 1n, decodeWorker: 2n, prefillMs: 20, transferMs: 8 },
      ...{ rung: "shared-memory", blocks: 3, bytes: 96n, reason: "STREAM_LOST" },
    });
  });

  it("is no time where nobody told one, and none where blocks came before the prompt was done", () => {
    const untold = new LegRig();
    untold.prefilled();
    expect(handOffOf(untold.tell({ kind: "cancel" }))).toMatchObject({
      decodeWorker: 0n,
      transferMs: undefined,
      rung: "",
    });
    const ahead = new LegRig();
    ahead.sent(1n, "prefill", 2n);
    ahead.taken(1);
    ahead.taken(2);
    ahead.says(1, [7]);
    ahead.nowMs = 50;
    ahead.kept(1);
    expect(handOffOf(ahead.ends(2, { transfer: report() }))).toMatchObject({ transferMs: 0, prefillMs: 50 });
    const whole = new LegRig();
    whole.sent(1n, "whole");
    whole.taken(1);
    expect(handOffOf(whole.ends(1, {}))).toBeUndefined();
  });
});

describe("two legs at once", () => {
  /** Prefill at 1 as attempt 1, decode at 2 as attempt 2; both taken, the first token told. */
  const both = (changes = {}) => {
    const rig = new LegRig(changes);
    const sent = rig.sent(1n, "prefill", 2n);
    rig.taken(1, 2);
    rig.taken(2, 0);
    rig.says(1, [7]);
    return { rig, sent };
  };

  it("meet in one room, and what came early is told when the prompt's leg has ended", () => {
    const { rig, sent } = both({ topLogprobs: 0 });
    const room = { attempt: 1, worker: 1n };
    expect(sent).toMatchObject([
      { kind: "submit", leg: "prefill", attempt: 1, target: { worker: 1n }, room },
      { kind: "submit", leg: "decode", attempt: 2, target: { worker: 2n }, room, session: undefined },
    ]);
    const logprobs = scores(-1, -2);
    expect(rig.says(2, [8, 9], logprobs)).toBeUndefined();
    logprobs.chosen[0] = 5;
    expect(rig.ends(2, { reason: "end", transfer: report() })).toEqual([]);
    const effects = rig.kept(1);
    expect(reasons(effects)).toEqual(["tell placed", "tokens", "end", "done"]);
    expect(effects[0]).toMatchObject({ placement: { worker: 2n, attempt: 2, leg: "decode", cachedTokens: 2 } });
    expect(effects[1]).toEqual({ kind: "tokens", choice: 0, tokens: Uint32Array.of(8, 9), logprobs: scores(-1, -2) });
    expect(effects[3]).toMatchObject({ record: { completionTokens: 3, migrations: 0, workers: [1n, 2n] } });
    expect(rig.life.droppedFrames).toBe(0);
    expect(rig.notes.filter(({ ahead }) => ahead)).toEqual([
      { ahead: true, kind: "accepted", choice: 0, cachedTokens: 0 },
      { ahead: true, kind: "first token", choice: 0 },
      { ahead: true, kind: "ended", choice: 0, tokens: 3 },
    ]);
    expect(rig.notes.filter(({ ahead }) => !ahead).map(({ kind }) => kind)).toEqual(["accepted", "ended"]);
  });

  it("are one when the prompt's leg has ended: the other's tokens are told as they come", () => {
    const { rig } = both();
    expect(reasons(rig.kept(1))).toEqual(["tell placed"]);
    expect(rig.says(2, [8])).toEqual([8]);
    expect(rig.says(1, [9])).toBeUndefined();
    expect(reasons(rig.ends(2, {}))).toEqual(["end", "done"]);
  });

  it("may be taken in any order", () => {
    const rig = new LegRig();
    rig.sent(1n, "prefill", 2n);
    rig.taken(1);
    rig.says(1, [7]);
    expect(rig.kept(1)).toEqual([]);
    expect(rig.says(2, [8])).toBeUndefined();
    expect(reasons(rig.taken(2, 1))).toEqual(["tell placed"]);
    expect(rig.says(2, [8])).toEqual([8]);
  });

  it("are both cancelled when the prompt's leg fails, and the answer starts again", () => {
    for (const fails of [
      (rig: LegRig) => rig.dies(1),
      (rig: LegRig) => rig.ends(1, { reason: "failed", error: draining }),
      (rig: LegRig) => rig.ends(1, { reason: "cancelled" }),
    ]) {
      const { rig } = both();
      expect(fails(rig)).toEqual([
        { kind: "cancel", choice: 0, attempt: 2, mode: "kill" },
        { kind: "place", delayMs: 0 },
      ]);
      expect(rig.notes.slice(-2)).toMatchObject([{ kind: "ended" }, { ahead: true, kind: "ended" }]);
      expect(routeAsk(rig.life).stage).toBeUndefined();
    }
  });

  it("are both cancelled by an end of any kind", () => {
    const ends: [(rig: LegRig) => void, string][] = [
      [(rig) => rig.ends(1, { reason: "stop_token", stopToken: 3 }), "stop"],
      [(rig) => rig.tell({ kind: "finish choice", choice: 0, tokens: 1 }), "stop"],
      [(rig) => rig.tell({ kind: "cancel" }), "kill"],
      [(rig) => rig.tell({ kind: "deadline" }), "kill"],
    ];
    for (const [ends_, mode] of ends) {
      const { rig } = both();
      const seen: unknown[] = [];
      const tell = rig.tell.bind(rig);
      rig.tell = (event) => {
        const effects = tell(event);
        seen.push(...effects);
        return effects;
      };
      ends_(rig);
      expect(seen).toContainEqual({ kind: "cancel", choice: 0, attempt: 2, mode });
      expect(rig.life.done).toBe(true);
    }
  });

  it("are one alone when the answer's leg fails before the prompt's has ended: what is kept is handed on", () => {
    const failures: ((rig: LegRig) => void)[] = [
      (rig) => rig.dies(2, { died: true }),
      (rig) => rig.ends(2, { reason: "failed", error: new StatorError("INVALID_ARGUMENT", { detail: "test" }) }),
      (rig) => rig.ends(2, { reason: "cancelled" }),
      (rig) => rig.tell({ kind: "refused", choice: 0, attempt: 2, error: draining }),
    ];
    for (const fails of failures) {
      const { rig } = both();
      rig.says(2, [8]);
      fails(rig);
      expect(rig.notes.at(-1)).toMatchObject({ ahead: true, kind: "ended" });
      expect(rig.kept(1)).toEqual([{ kind: "place", delayMs: 0 }]);
      expect(routeAsk(rig.life)).toMatchObject({ stage: "hand-off", prefilledBy: 1n });
      expect([...routeAsk(rig.life).avoid]).toEqual([2n]);
      expect(rig.sent(3n, "decode")).toMatchObject([{ generated: Uint32Array.of(7), session: { sessionId: "s1" } }]);
    }
  });

  it("fail as one leg does afterwards: handed on again while it is kept", () => {
    const { rig } = both();
    rig.kept(1);
    expect(rig.dies(2)).toEqual([{ kind: "place", delayMs: 0 }]);
    expect(rig.notes.at(-1)).toEqual({ ahead: true, kind: "ended", choice: 0, tokens: 1 });
    expect(routeAsk(rig.life).stage).toBe("hand-off");
    rig.sent(3n, "decode");
    rig.taken(3);
    expect(rig.life.migrations).toBe(1);
    expect(rig.notes.at(-1)).toEqual({ kind: "accepted", choice: 0, cachedTokens: 0 });
  });

  it("are each looked at when a worker is suspect; one that has ended said all", () => {
    const answer = both().rig;
    expect(answer.tell({ kind: "suspect", worker: 2n, error: lost })).toEqual([
      { kind: "abandon", choice: 0, attempt: 2 },
    ]);
    const prompt = both().rig;
    expect(reasons(prompt.tell({ kind: "suspect", worker: 1n, error: lost }))).toEqual(["abandon", "cancel", "place"]);
    const ended = both().rig;
    ended.ends(2, {});
    expect(ended.tell({ kind: "suspect", worker: 2n, error: lost })).toEqual([]);
    expect(reasons(ended.kept(1))).toEqual(["tell placed", "end", "done"]);
  });

  it("are placed for nothing when the choice ended meanwhile, and the router hears of both", () => {
    const rig = new LegRig({ choicesPerPrompt: 2 });
    const { choices } = routeAsk(rig.life);
    rig.tell({ kind: "finish choice", choice: 1, tokens: 0 });
    const effects = rig.tell({ kind: "placed", places: [{ choices, ...spot(1n), leg: "prefill", ahead: spot(2n) }] });
    expect(effects.map(({ kind }) => kind)).toEqual(["submit", "submit"]);
    expect(rig.notes).toEqual([
      { kind: "ended", choice: 1 },
      { ahead: true, kind: "ended", choice: 1 },
    ]);
  });

  it("have frames of their own: what neither sent is dropped", () => {
    const rig = new LegRig();
    rig.sent(1n, "prefill", 2n);
    expect(rig.says(2, [8]), "before it was taken").toBeUndefined();
    rig.taken(2);
    rig.ends(2, {});
    expect(rig.says(2, [8]), "after its end").toBeUndefined();
    rig.taken(2);
    rig.tell({ kind: "text", choice: 0, attempt: 2, text: "a" });
    expect(rig.life.droppedFrames).toBe(4);
  });
});

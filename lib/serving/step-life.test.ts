import { describe, expect, it, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import type { LinkFinish } from "#lib/link/link";
import { draining, LifeRig, lost, reasons } from "../../test/support/life-rig.ts";
import type { LifeEffect } from "./life-event.ts";
import { usageOf } from "./record.ts";
import { routeAsk } from "./route-ask.ts";
import { stepLife, takePromptLogprobs } from "./step-life.ts";

describe("when a choice is tried again", () => {
  test.each<[string, (rig: LifeRig) => LifeEffect[], number]>([
    ["at once elsewhere when its worker drains", (rig) => rig.refused(draining), 0],
    [
      "after a moment when it does not say to go elsewhere",
      (rig) => rig.refused(new StatorError("UNAVAILABLE", { what: "It", detail: "test" })),
      50,
    ],
    ["after a moment when its worker died before it accepted", (rig) => rig.lost({ accepted: false, died: true }), 50],
    ["at once when the link ended before it was accepted", (rig) => rig.lost({ accepted: false }), 0],
  ])("%s", (_when, fails, delayMs) => {
    const rig = new LifeRig();
    rig.placed(1n);
    expect(fails(rig)).toMatchObject([{ kind: "place", delayMs }]);
  });

  it("at once when the worker died after it accepted, or gave it back", () => {
    for (const fails of [
      (rig: LifeRig) => rig.lost({ died: true }),
      (rig: LifeRig) => rig.finished({ reason: "cancelled" }),
      (rig: LifeRig) => rig.finished({ reason: "failed" }),
    ]) {
      const rig = new LifeRig();
      rig.run(1n);
      expect(fails(rig)).toMatchObject([{ kind: "place", delayMs: 0 }]);
      expect(rig.life.lastError?.reason).toBe("STREAM_LOST");
    }
  });

  it("what a worker gives back counts when it had accepted it, and not before", () => {
    const rig = new LifeRig({}, { fruitless: 2 });
    for (const worker of [1n, 2n, 3n]) {
      rig.placed(worker);
      expect(reasons(rig.finished({ reason: "cancelled" }))).toEqual(["place"]);
    }
    rig.run(4n);
    expect(reasons(rig.finished({ reason: "cancelled" }))).toEqual(["place"]);
    rig.run(5n);
    expect(reasons(rig.finished({ reason: "failed" }))).toEqual(["ATTEMPTS_EXHAUSTED", "done"]);
  });

  it("by a bound of 0 never elsewhere once it ran, and still elsewhere when nobody took it", () => {
    const rig = new LifeRig({}, { fruitless: 0 });
    rig.placed(1n);
    expect(reasons(rig.refused(draining))).toEqual(["place"]);
    rig.run(2n);
    expect(reasons(rig.lost())).toEqual(["ATTEMPTS_EXHAUSTED", "done"]);
  });

  it("of several, each counts for itself", () => {
    const rig = new LifeRig({ choicesPerPrompt: 2 }, { fruitless: 2 });
    rig.run(1n);
    rig.lost({ choice: 0 });
    rig.run(2n);
    // The other's first time.
    expect(
      reasons(rig.tell({ kind: "lost", choice: 1, attempt: 1, error: lost, accepted: true, died: false })),
    ).toEqual(["place"]);
    expect(rig.life.choices.map(({ fruitless }) => fruitless)).toEqual([1, 1]);
  });

  it("is poison when as many as the bound died in a row, and two at least", () => {
    const end = (fruitless: number, deaths: boolean[]) => {
      const rig = new LifeRig({}, { fruitless });
      for (const [at, died] of deaths.entries()) {
        rig.run(BigInt(at));
        const [effect] = rig.lost({ died });
        if (effect?.kind === "error") return effect.error.reason;
      }
      return "it goes on";
    };
    expect(end(2, [true])).toBe("it goes on");
    expect(end(2, [true, true])).toBe("POISONED");
    expect(end(2, [false, true])).toBe("ATTEMPTS_EXHAUSTED");
    expect(end(1, [true])).toBe("ATTEMPTS_EXHAUSTED");
    expect(end(3, [false, true, true])).toBe("ATTEMPTS_EXHAUSTED");
    expect(end(3, [true, true])).toBe("it goes on");
  });

  it("ends with its terminal frame alone missing: a whole answer, a whole embedding, and nothing else", () => {
    const answered = (count: number) => {
      const rig = new LifeRig({ maxTokens: 2 });
      rig.run(1n);
      rig.tokens(count);
      return reasons(rig.lost());
    };
    expect(answered(1)).toEqual(["place"]);
    expect(answered(2)).toEqual(["end", "done"]);
    expect(answered(3)).toEqual(["end", "done"]);
    const embed = new LifeRig({ kind: "embed", maxTokens: 0 });
    embed.run(1n);
    expect(reasons(embed.lost())).toEqual(["place"]);
    embed.run(2n);
    embed.tell({ kind: "embedding", choice: 0, attempt: 2, values: Float32Array.of(1) });
    expect(embed.lost()).toMatchObject([{ kind: "end", end: { reason: "done" } }, { kind: "done" }]);
  });

  it("delivers an embedding once, though a second attempt computes it again", () => {
    const rig = new LifeRig({ kind: "embed", maxTokens: 0 });
    rig.run(1n);
    const embedding = () => rig.tell({ kind: "embedding", choice: 0, attempt: 1, values: Float32Array.of(1) });
    expect([embedding().length, embedding().length]).toEqual([1, 0]);
  });
});

describe("the time that a worker is given", () => {
  test.each([
    [undefined, 40, undefined],
    [100, 40, 60],
    [100, 40.5, 60],
    [100, 99, 1],
    [100, 100, 1],
    [100, 500, 1],
  ])("of a deadline of %s ms, at %d ms, is %s", (deadlineMs, afterMs, expected) => {
    const rig = new LifeRig({ deadlineMs }, {}, 1_000);
    rig.nowMs += afterMs;
    expect(rig.placed(1n)).toMatchObject([{ kind: "submit", deadlineMs: expected }]);
  });
});

describe("the end of a request", () => {
  it("by its client, or by whoever runs it, kills what runs, and writes the record", () => {
    for (const [event, outcome, reason] of [
      [{ kind: "cancel" } as const, "cancelled", ""],
      [{ kind: "fail", error: draining } as const, "failed", "DRAINING"],
    ] as const) {
      const rig = new LifeRig({ choicesPerPrompt: 3 });
      rig.placed(1n);
      rig.accepted(1);
      rig.tell({ kind: "finish choice", choice: 2, tokens: 0 });
      rig.nowMs = 80;
      const effects = rig.tell(event);
      expect(effects.filter(({ kind }) => kind === "cancel")).toEqual([
        { kind: "cancel", choice: 0, attempt: 1, mode: "kill" },
        { kind: "cancel", choice: 1, attempt: 1, mode: "kill" },
      ]);
      expect(effects.some(({ kind }) => kind === "error")).toBe(outcome === "failed");
      expect(effects.at(-1)).toMatchObject({
        kind: "done",
        record: { outcome, reason, totalMs: 80, firstTokenMs: undefined, cachedTokens: 0 },
      });
      expect(rig.tell(event)).toEqual([]);
    }
  });

  it("of a choice by a stop string asks a worker only when one has it", () => {
    const rig = new LifeRig({ choicesPerPrompt: 2 });
    expect(reasons(rig.tell({ kind: "finish choice", choice: 0, tokens: 0 }))).toEqual(["end"]);
    expect(usageOf(rig.life)).toEqual({ promptTokens: 3, cachedTokens: 0, completionTokens: 0 });
    expect(reasons(rig.placed(1n))).toEqual(["submit"]);
    expect(reasons(rig.tell({ kind: "finish choice", choice: 1, tokens: 0 }))).toEqual(["cancel", "end", "done"]);
  });

  it("is not near when a worker is suspect: every choice that it has is taken from it, and looks for another", () => {
    const rig = new LifeRig({ choicesPerPrompt: 3 });
    rig.run(1n);
    rig.tell({ kind: "finish choice", choice: 1, tokens: 0 });
    expect(rig.tell({ kind: "suspect", worker: 1n, error: lost })).toMatchObject([
      { kind: "abandon", choice: 0, attempt: 1 },
      { kind: "place", delayMs: 0 },
      { kind: "abandon", choice: 2, attempt: 1 },
    ]);
  });

  it("by a suspect worker that was the last that might have had it stops at the first choice", () => {
    const rig = new LifeRig({ choicesPerPrompt: 2 }, { fruitless: 1 });
    rig.run(1n);
    expect(reasons(rig.tell({ kind: "suspect", worker: 1n, error: lost }))).toEqual([
      "abandon",
      "cancel",
      "ATTEMPTS_EXHAUSTED",
      "done",
    ]);
  });
});

describe("frames of the past", () => {
  it("are dropped and counted: of another attempt, of a choice that has ended, before Accepted", () => {
    const rig = new LifeRig({ choicesPerPrompt: 2 });
    expect(rig.tokens(1)).toBeUndefined();
    rig.placed(1n);
    expect(rig.tokens(1)).toBeUndefined();
    expect(takePromptLogprobs(rig.life, { choice: 0, attempt: 1 }, { position: 1, count: 1 })).toBeUndefined();
    rig.accepted(0);
    rig.accepted(1);
    expect(rig.tokens(1)).toBe(1);
    expect(rig.tokens(1, 0, 9)).toBeUndefined();
    expect(rig.life.droppedFrames).toBe(4);
    rig.tell({ kind: "finish choice", choice: 0, tokens: 0 });
    expect(rig.accepted(0)).toEqual([]);
    expect(takePromptLogprobs(rig.life, { choice: 0, attempt: 1 }, { position: 1, count: 1 })).toBeUndefined();
    expect(rig.life.droppedFrames).toBe(6);
  });

  it("of a prompt's log-probabilities are cut to what is new", () => {
    const rig = new LifeRig({ topLogprobs: 0, promptLogprobs: true });
    rig.run(1n);
    const take = (position: number, count: number) =>
      takePromptLogprobs(rig.life, { choice: 0, attempt: 1 }, { position, count });
    expect(take(2, 1), "one is missing").toBeUndefined();
    expect(take(1, 3)).toBe(0);
    expect(take(1, 3), "nothing is new").toBeUndefined();
    expect(take(3, 2)).toBe(1);
    expect(take(5, 1)).toBe(0);
  });
});

describe("what is told of a request", () => {
  it("is its place, once for each attempt, by the first choice that a worker took", () => {
    const rig = new LifeRig({ choicesPerPrompt: 2 });
    expect(reasons(rig.run(1n, 2))).toEqual(["submit", "submit", "tell placed"]);
    rig.lost({ choice: 1 });
    expect(rig.run(2n, 1)).toMatchObject([
      { kind: "submit" },
      { kind: "tell placed", placement: { attempt: 2, cachedTokens: 1 } },
    ]);
  });

  it("is no place of an earlier attempt after that of a later one", () => {
    const rig = new LifeRig({ choicesPerPrompt: 3 });
    rig.placed(1n);
    const first = (choice: number) => rig.tell({ kind: "accepted", choice, attempt: 1, cachedTokens: 0 });
    expect(reasons(first(0))).toEqual(["tell placed"]);
    rig.lost({ choice: 0 });
    expect(reasons(rig.placed(2n))).toEqual(["submit"]);
    expect(reasons(first(1))).toEqual([]);
    expect(rig.accepted(0)).toMatchObject([{ kind: "tell placed", placement: { attempt: 2 } }]);
    expect(reasons(first(2))).toEqual([]);
  });

  it("is in the record what its prompts and choices took, each prompt once, cached tokens by the first worker that took it", () => {
    const prompts = [Uint32Array.of(1, 2), Uint32Array.of(3, 4, 5)];
    const rig = new LifeRig({ prompts, choicesPerPrompt: 2 });
    rig.nowMs = 10;
    rig.run(1n, 2);
    rig.nowMs = 30;
    for (const choice of [0, 1, 2, 3]) rig.tokens(choice + 1, choice);
    rig.nowMs = 40;
    rig.tokens(1, 0);
    rig.lost({ choice: 0 });
    rig.run(2n, 1);
    const finish = {
      reason: "stop_token",
      stopToken: 9,
      promptTokens: 0,
      cachedTokens: 0,
      completionTokens: 0,
    } as const;
    const ends = [0, 1, 2, 3].map((choice) => {
      const attempt = choice === 0 ? 2 : 1;
      return rig.tell({ kind: "finished", choice, attempt, finish: { ...finish, error: undefined } });
    });
    expect(ends[0]).toEqual([{ kind: "end", choice: 0, end: { reason: "stop_token", stopToken: 9 } }]);
    expect(ends[3]?.at(-1)).toMatchObject({
      record: { promptTokens: 5, cachedTokens: 4, completionTokens: 11, firstTokenMs: 30, migrations: 1, reason: "" },
    });
  });
});

describe("an answer that its first token ends", () => {
  /** What the router is told at the end of a choice. */
  const notedBy = (rig: LifeRig, finish: Partial<LinkFinish>, choice = 0) => {
    const numbers = { stopToken: undefined, promptTokens: 3, cachedTokens: 0, completionTokens: 0, error: undefined };
    const event = { kind: "finished", choice, attempt: rig.life.attempt } as const;
    const effects = stepLife(rig.life, { ...event, finish: { reason: "end", ...numbers, ...finish } }, rig.nowMs);
    return effects.flatMap((effect) => (effect.kind === "note" ? [effect.note.kind] : []));
  };
  const running = (texts?: readonly string[]) => {
    const rig = new LifeRig(texts ? { texts } : {});
    rig.run(1n);
    return rig;
  };

  it("had a first token all the same, by the end of the model or a token to stop at, and nothing else", () => {
    expect(notedBy(running(), { reason: "end" })).toEqual(["first token", "ended"]);
    expect(notedBy(running(), { reason: "stop_token", stopToken: 9 })).toEqual(["first token", "ended"]);
    expect(notedBy(running(["Once"]), { reason: "end" })).toEqual(["first token", "ended"]);
    // Where no token was to be made none came.
    expect(notedBy(running(), { reason: "length" })).toEqual(["ended"]);
    expect(notedBy(running(), { reason: "done" })).toEqual(["ended"]);
  });

  it("had it once: not where one came before, and again where another worker made the end", () => {
    const rig = running();
    rig.tokens(1);
    expect(notedBy(rig, { reason: "end" })).toEqual(["ended"]);
    const moved = running();
    moved.tokens(1);
    moved.lost();
    moved.run(2n);
    expect(notedBy(moved, { reason: "end" })).toEqual(["first token", "ended"]);
    const text = running(["Once"]);
    text.tell({ kind: "text", choice: 0, attempt: 1, text: "a" });
    expect(notedBy(text, { reason: "end" })).toEqual(["ended"]);
  });
});

describe("a choice of text", () => {
  const textRig = () => {
    const rig = new LifeRig({ texts: ["Once", "upon"] });
    const text = (piece: string, choice = 0) =>
      rig.tell({ kind: "text", choice, attempt: rig.life.attempt, text: piece });
    return { rig, text };
  };

  it("is told as it comes once its worker took it, and counted by its worker", () => {
    const { rig, text } = textRig();
    const submits = rig.placed(1n).filter(({ kind }) => kind === "submit");
    expect(submits).toMatchObject([{ prompt: "Once" }, { prompt: "upon" }]);
    expect(text("early")).toEqual([]);
    rig.accepted(0);
    rig.accepted(1);
    rig.nowMs = 7;
    expect(text(" a")).toEqual([{ kind: "text", choice: 0, text: " a" }]);
    expect([rig.life.firstTokenMs, rig.life.droppedFrames]).toEqual([7, 1]);
    expect(usageOf(rig.life)).toEqual({ promptTokens: 0, cachedTokens: 0, completionTokens: 1 });
    rig.finished({ promptTokens: 5, completionTokens: 9, cachedTokens: 2 });
    rig.finished({ promptTokens: 4, completionTokens: 3 }, 1);
    expect(usageOf(rig.life)).toEqual({ promptTokens: 9, cachedTokens: 2, completionTokens: 12 });
  });

  it("is asked of a router without tokens, and told it once that it began", () => {
    const rig = new LifeRig({ texts: ["Once", Buffer.from("über")] });
    expect(routeAsk(rig.life)).toMatchObject({
      prompts: [{ length: 0 }, { length: 0 }],
      texts: ["Once", Buffer.from("über")],
      tokenizer: "",
      choices: [0, 1],
    });
    expect(rig.placed(1n)).toMatchObject([{ prompt: "Once" }, { prompt: "über" }]);
    rig.accepted(0, 2);
    const noted = () =>
      stepLife(rig.life, { kind: "text", choice: 0, attempt: 1, text: "a" }, 5).filter(({ kind }) => kind === "note");
    expect([noted(), noted()]).toEqual([[{ kind: "note", note: { kind: "first token", choice: 0 } }], []]);
    expect(usageOf(rig.life)).toEqual({ promptTokens: 0, cachedTokens: 2, completionTokens: 2 });
    const ofTokens = { prompts: [Uint32Array.of(7)], tokenizer: "t", adapter: "a" };
    expect(routeAsk(new LifeRig(ofTokens).life)).toMatchObject({
      ...{ ...ofTokens, texts: [] },
    });
  });

  it("begins anew elsewhere as long as nothing of it was told, and ends where something was", () => {
    const { rig, text } = textRig();
    rig.run(1n);
    expect(reasons(rig.lost({ choice: 1 }))).toEqual(["place"]);
    text("Once");
    expect(reasons(rig.lost({ choice: 0 }))).toEqual(["STREAM_LOST", "done"]);
  });

  it("counts its pieces to the one that completed a stop string", () => {
    const { rig, text } = textRig();
    rig.run(1n);
    for (const piece of ["a", "b", "c"]) text(piece);
    rig.tell({ kind: "finish choice", choice: 0, tokens: 2 });
    expect(usageOf(rig.life).completionTokens).toBe(2);
  });
});

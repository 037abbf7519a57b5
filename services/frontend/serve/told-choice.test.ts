import { expect, it } from "vitest";
import { plainAsk } from "#lib/serving/plain-ask";
import { compileStops } from "#lib/text/stop";
import { createByteText, encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import type { AnswerPlan } from "../doors/door.ts";
import { ToldChoice } from "./told-choice.ts";

function choiceOf(more: Partial<AnswerPlan> = {}, minTokens = 0): ToldChoice {
  return new ToldChoice(0, {
    ...{ ask: plainAsk({ minTokens }), text: createByteText(), createdUnixSeconds: 1, choices: 1 },
    ...{ stops: compileStops(["--"]), leads: undefined, scored: false, promptOnly: false, soFar: false },
    ...more,
  });
}

const end = (reason: "end" | "length" | "cancelled" | "stop_token") => ({ reason, stopToken: undefined });

it("is complete as soon as a stop text came, though nobody has taken its text", () => {
  const choice = choiceOf();
  expect([choice.hear(encodeBytes("a-"), undefined), choice.finish]).toEqual([false, undefined]);
  expect([choice.hear(encodeBytes("-bc"), undefined), choice.finish, choice.said.counted]).toEqual([true, "stop", 3]);
  expect(choice.hear(encodeBytes("d"), undefined), "it is told once").toBe(false);
  expect(choice.hearEnd(end("cancelled")), "by this side").toBe(true);
  expect([choice.said.take(9), choice.finish]).toEqual(["a", "stop"]);
});

it("minds its least number of tokens", () => {
  const choice = choiceOf({}, 4);
  expect(choice.hear(encodeBytes("a--b"), undefined)).toBe(false);
  expect(choice.hear(encodeBytes("--c"), undefined)).toBe(true);
  expect([choice.said.take(9), choice.said.counted]).toEqual(["a--b", 6]);
});

it("says why it ended, and whether that was somebody else's doing", () => {
  const ends = (["end", "stop_token", "length", "cancelled"] as const).map((reason) => {
    const choice = choiceOf();
    return [choice.hearEnd(end(reason)), choice.finish];
  });
  expect(ends).toEqual([
    [true, "stop"],
    [true, "stop"],
    [true, "length"],
    [false, undefined],
  ]);
});

it("of a prompt alone is complete with the first token, of which none counts", () => {
  const choice = choiceOf({ promptOnly: true, leads: ["hi"] });
  expect([choice.hear(encodeBytes("a"), undefined), choice.said.counted, choice.finish]).toEqual([true, 0, "length"]);
  expect([choice.takeLead() + choice.said.take(9), choice.takeLead()]).toEqual(["hi", ""]);
  const quiet = choiceOf({ promptOnly: true });
  expect([quiet.hearEnd(end("end")), quiet.finish]).toEqual([true, "length"]);
});

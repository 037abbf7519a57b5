import { expect, it } from "vitest";
import type { Placement } from "#lib/serving/answer";
import { setPlacement, setPrefill } from "./placement.ts";

function reply(answered = false) {
  const headers: Record<string, string> = {};
  const set = (name: string, value: string): void => void Object.assign(headers, { [name]: value });
  return { headers, answered, set };
}

function placement(more: Partial<Placement> = {}): Placement {
  return { worker: 10n, attempt: 1, cachedTokens: 3, decision: { rule: "pinned" }, waitedMs: undefined, ...more };
}

it("an answer says who ran it, and who computed its prompt where that was somebody else", () => {
  const split = reply();
  setPrefill(split, placement({ leg: "prefill" }));
  setPrefill(split, placement({ leg: "decode", worker: 11n }));
  setPlacement(split, placement({ leg: "decode", worker: 11n }));
  expect(split.headers).toMatchObject({
    "x-stator-prefill-worker": "000000000000000a",
    "x-stator-worker": "000000000000000b",
    "x-stator-cached-tokens": "3",
  });
  const whole = reply();
  setPrefill(whole, placement());
  setPlacement(whole, undefined);
  expect(whole.headers).toEqual({});
});

it("nothing is said beside an answer that has begun", () => {
  const begun = reply(true);
  setPrefill(begun, placement({ leg: "prefill" }));
  expect(begun.headers).toEqual({});
});

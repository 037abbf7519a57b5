import { expect, it } from "vitest";
import { createPieceTexts, Detokenizer } from "#lib/text/detokenizer";
import { compileStops } from "#lib/text/stop";
import { Choice } from "./choice.ts";

/** Ids are places in this list; the last but one begins a character and does not end it, the last is no text at all. */
const PIECES = ["a", "b", "op", " st", "\xe2\x82", ""].map((each) => Buffer.from(each, "latin1"));
const [A, B, OP, ST, PART, NOTHING] = [0, 1, 2, 3, 4, 5] as const;

const texts = createPieceTexts({
  bytes: Buffer.concat(PIECES),
  offsets: Uint32Array.from([0, ...PIECES.map((_, at) => Buffer.concat(PIECES.slice(0, at + 1)).length)]),
  attributes: new Uint8Array(PIECES.length),
});

function choiceOf({ stops = [], scored = false }: { stops?: string[]; scored?: boolean }): Choice {
  return new Choice({
    text: { createDecoder: () => new Detokenizer(texts), piece: texts.bytesOf },
    stops: stops.length > 0 ? compileStops(stops) : undefined,
    includeStop: false,
    minTokens: 0,
    scoredFrom: scored ? 0 : undefined,
  });
}

function push(choice: Choice, ...ids: number[]): void {
  const none = { topTokens: new Uint32Array(0), topValues: new Float32Array(0) };
  choice.push(Uint32Array.from(ids), { chosen: Float32Array.from(ids, () => -1), ...none });
}

/** Everything that may be told now, token by token. */
function scoredOf(choice: Choice): [number | undefined, string][] {
  const told: [number | undefined, string][] = [];
  for (let next = choice.takeScored(); next; next = choice.takeScored()) told.push([next.token?.id, next.text]);
  return told;
}

it("says how many tokens wait, in each way that it is told", () => {
  for (const plan of [{}, { stops: [" stop"] }, { scored: true }]) {
    const choice = choiceOf(plan);
    push(choice, A, B);
    expect([choice.waiting, choice.drained, choice.counted]).toEqual([2, false, 2]);
    if (plan.scored) scoredOf(choice);
    else choice.take(1);
    expect(choice.waiting).toBe(plan.scored ? 0 : 1);
  }
});

it("is drained when all that came was taken, and again when what was held back is", () => {
  const choice = choiceOf({ stops: [" stop"] });
  push(choice, A, ST);
  expect([choice.take(9), choice.drained]).toEqual(["a", true]);
  choice.close();
  expect(choice.drained).toBe(false);
  expect([choice.take(9), choice.drained]).toEqual([" st", true]);
  const nothingHeld = choiceOf({ stops: [" stop"] });
  push(nothingHeld, A);
  nothingHeld.take(9);
  nothingHeld.close();
  expect(nothingHeld.drained).toBe(true);
});

it("takes nothing any more once it is closed", () => {
  for (const plan of [{}, { stops: [" stop"] }, { scored: true }]) {
    const choice = choiceOf(plan);
    push(choice, A);
    choice.close();
    push(choice, B);
    choice.close();
    expect([choice.counted, plan.scored ? scoredOf(choice) : choice.take(9)]).toEqual([
      1,
      plan.scored ? [[A, "a"]] : "a",
    ]);
  }
});

it("tells a token when all its text may be shown, and not when a part of it may", () => {
  const choice = choiceOf({ stops: ["pa"], scored: true });
  push(choice, OP);
  expect(scoredOf(choice)).toEqual([]);
  push(choice, B);
  expect(scoredOf(choice)).toEqual([
    [OP, "op"],
    [B, "b"],
  ]);
});

it("tells tokens without text at the end, when nothing was cut", () => {
  const choice = choiceOf({ scored: true });
  push(choice, A, NOTHING);
  expect(scoredOf(choice)).toEqual([[A, "a"]]);
  choice.close();
  expect(scoredOf(choice)).toEqual([[NOTHING, ""]]);
  expect(choice.drained).toBe(true);
});

it("shows nothing of a stop string that the end completes", () => {
  const choice = choiceOf({ stops: ["a\uFFFD"], scored: true });
  push(choice, A, PART);
  choice.close();
  const shown = scoredOf(choice).map(([, text]) => text);
  expect([shown.join(""), choice.stopText]).toEqual(["", "a\uFFFD"]);
});

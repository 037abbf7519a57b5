import { describe, expect, it } from "vitest";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { createPieceTexts, Detokenizer } from "#lib/text/detokenizer";
import { compileStops } from "#lib/text/stop";
import { Choice, type ChoiceOptions } from "./choice.ts";

const scale = Number(process.env.TEST_SCALE ?? 1);
const PIECES = ["a", "b", "c", " stop", " st", "op", "\xe2\x82", "\xac", ".", ""].map((each) =>
  Buffer.from(each, "latin1"),
);

const texts = createPieceTexts({
  bytes: Buffer.concat(PIECES),
  offsets: Uint32Array.from([
    0,
    ...PIECES.map((_, at) => PIECES.slice(0, at + 1).reduce((sum, one) => sum + one.length, 0)),
  ]),
  attributes: new Uint8Array(PIECES.length),
});
const TEXT = { createDecoder: () => new Detokenizer(texts), piece: texts.bytesOf };

interface Plan {
  readonly stops?: readonly string[];
  readonly includeStop?: boolean;
  readonly minTokens?: number;
  readonly scored?: boolean;
}

function choiceOf({ stops = [], includeStop = false, minTokens = 0, scored = false }: Plan): Choice {
  const options: ChoiceOptions = {
    text: TEXT,
    stops: stops.length > 0 ? compileStops(stops) : undefined,
    includeStop,
    minTokens,
    scoredFrom: scored ? 0 : undefined,
  };
  return new Choice(options);
}

/** What was told of an answer. */
interface Told {
  readonly text: string;
  /** Ids of the tokens that were told with their log-probabilities, and the text of each. */
  readonly tokens: readonly (readonly [number | undefined, string])[];
  readonly counted: number;
  readonly stop: string | undefined;
}

/** Pushes each list, takes so many at a time whenever `takes` says so, and closes. */
function run(
  plan: Plan,
  lists: readonly (readonly number[])[],
  how: { most: number; takes: () => boolean; stopToken?: number },
): Told {
  const choice = choiceOf(plan);
  const tokens: [number | undefined, string][] = [];
  let text = "";
  const take = () => {
    if (!plan.scored) text += choice.take(how.most);
    for (let next = choice.takeScored(); next; next = choice.takeScored()) {
      tokens.push([next.token?.id, next.text]);
      text += next.text;
      if (next.token) expect(next.token.logprob).toBe(-next.token.id);
    }
  };
  for (const list of lists) {
    const scores = {
      chosen: Float32Array.from(list, (id) => -id),
      topTokens: new Uint32Array(0),
      topValues: new Float32Array(0),
    };
    choice.push(Uint32Array.from(list), plan.scored ? scores : undefined);
    if (how.takes()) take();
  }
  choice.close(how.stopToken);
  for (let round = 0; !choice.drained && round < 100; round++) take();
  expect([choice.drained, choice.waiting]).toEqual([true, 0]);
  take();
  return { text, tokens, counted: choice.counted, stop: choice.stopText };
}

/** The rule in its plainest form: the first token behind the least number whose text completes a stop string ends it. */
function naive(
  { stops = [], includeStop = false, minTokens = 0 }: Plan,
  tokens: readonly number[],
): Omit<Told, "tokens"> {
  const decoder = new Detokenizer(texts);
  let text = "";
  for (const [at, token] of tokens.entries()) {
    const before = text.length;
    text += decoder.pushToken(token);
    if (at + 1 <= minTokens) continue;
    for (let end = before + 1; end <= text.length; end++) {
      const found = stops
        .filter((stop) => text.slice(0, end).endsWith(stop))
        .toSorted((a, b) => b.length - a.length)[0];
      if (found === undefined) continue;
      return { text: text.slice(0, includeStop ? end : end - found.length), counted: at + 1, stop: found };
    }
  }
  return { text: text + decoder.end(), counted: tokens.length, stop: undefined };
}

function draw(chance: Chance): { tokens: number[]; plan: Plan } {
  const tokens = Array.from({ length: 1 + pick(chance, 12) }, () => pick(chance, PIECES.length));
  const stops = [[], ["b"], [" stop", "ab", "c."], ["aa", "€"], [". st", "opa"]][pick(chance, 5)]!;
  return {
    tokens,
    plan: { stops, includeStop: pick(chance, 2) === 1, minTokens: pick(chance, 4), scored: pick(chance, 2) === 1 },
  };
}

function cut(tokens: readonly number[], chance: Chance): number[][] {
  const lists: number[][] = [[]];
  for (const token of tokens) {
    if (pick(chance, 2) === 1) lists.push([]);
    lists.at(-1)!.push(token);
  }
  return lists.filter(({ length }) => length > 0);
}

describe("a choice", () => {
  it("is the same text, count and tokens whatever the frames and however it is taken", () => {
    const chance = new SeededChance(5n);
    for (let round = 0; round < 400 * scale; round++) {
      const { tokens, plan } = draw(chance);
      const whole = run(plan, [tokens], { most: 100, takes: () => true });
      const { tokens: told, ...rest } = whole;
      expect(rest, `round ${round}`).toEqual(naive(plan, tokens));
      expect(told.map(([, text]) => text).join("")).toBe(plan.scored ? whole.text : "");
      for (let cuts = 0; cuts < 4; cuts++) {
        const how = { most: 1 + pick(chance, 3), takes: () => pick(chance, 3) > 0 };
        expect(run(plan, cut(tokens, chance), how), `round ${round}`).toEqual(whole);
      }
    }
  });

  it("counts the tokens up to the one that completes a stop string, as soon as it came", () => {
    const choice = choiceOf({ stops: [" stop"] });
    choice.push(Uint32Array.of(0, 4));
    expect([choice.closed, choice.counted]).toEqual([false, 2]);
    choice.push(Uint32Array.of(5, 1, 1));
    expect([choice.closed, choice.counted, choice.stopText]).toEqual([true, 3, " stop"]);
    choice.push(Uint32Array.of(1));
    expect([choice.take(8), choice.counted, choice.drained]).toEqual(["a", 3, true]);
  });

  it("minds a stop string that begins within the least number of tokens and is complete behind it", () => {
    const take = { most: 9, takes: () => false };
    expect(run({ stops: [" stop"], minTokens: 2 }, [[0, 4, 5, 1]], take)).toMatchObject({ text: "a", counted: 3 });
    expect(run({ stops: [" stop"], minTokens: 3 }, [[0, 4, 5, 1]], take)).toMatchObject({
      text: "a stopb",
      counted: 4,
    });
    expect(run({ stops: [" stop"], minTokens: 3 }, [[0, 4, 5]], take)).toMatchObject({
      text: "a stop",
      stop: undefined,
    });
  });

  it("tells a token without text only when something behind it is shown, and none that a stop string took", () => {
    const choice = choiceOf({ stops: ["€"], scored: true });
    choice.push(Uint32Array.of(0, 6));
    expect(choice.takeScored()).toMatchObject({ text: "a", token: { id: 0, offset: 0, top: [] } });
    expect(choice.takeScored()).toBeUndefined();
    choice.push(Uint32Array.of(7, 1));
    expect([choice.takeScored(), choice.counted, choice.drained]).toEqual([undefined, 3, true]);
  });

  it("leaves the stop string or the stop token in when asked", () => {
    const how = { most: 9, takes: () => true, stopToken: 8 };
    expect(run({ includeStop: true }, [[0]], how).text).toBe("a.");
    expect(run({}, [[0]], how).text).toBe("a");
    expect(run({ includeStop: true, stops: ["x."] }, [[0]], how).text).toBe("a.");
    expect(run({ includeStop: true, scored: true }, [[0], [6]], how).tokens).toEqual([
      [0, "a"],
      [6, ""],
      [undefined, "\uFFFD."],
    ]);
    expect(run({ includeStop: true, stops: ["a."] }, [[0]], how)).toMatchObject({ text: "a.", stop: "a.", counted: 1 });
  });

  it("reads the log-probabilities of each token, its place and its alternatives", () => {
    const choice = new Choice({ text: TEXT, stops: undefined, includeStop: false, minTokens: 0, scoredFrom: 7 });
    const scores = {
      chosen: Float32Array.of(-0.5, -3),
      topTokens: Uint32Array.of(0, 1, 0, 2),
      topValues: Float32Array.of(-0.25, -0.5, -0.25, -3),
    };
    choice.push(Uint32Array.of(1, 2), scores);
    expect(choice.takeScored()?.token).toMatchObject({
      ...{ id: 1, text: "b", logprob: -0.5, offset: 7 },
      top: [
        { id: 0, text: "a", logprob: -0.25 },
        { id: 1, text: "b", logprob: -0.5 },
      ],
    });
    expect(choice.takeScored()).toMatchObject({ text: "c", token: { id: 2, logprob: -3, offset: 8 } });
  });
});

describe("a choice of text", () => {
  it("gives its pieces as they were taken, and counts them", () => {
    const choice = choiceOf({});
    for (const piece of ["Once ", "upon", " a time"]) choice.pushText(piece);
    expect([choice.waiting, choice.take(2), choice.waiting]).toEqual([3, "Once upon", 1]);
    choice.close();
    expect([choice.take(9), choice.drained, choice.counted]).toEqual([" a time", true, 3]);
    choice.pushText("behind it");
    expect([choice.take(9), choice.counted]).toEqual(["", 3]);
  });

  it("never shows a stop string, however it is cut, and counts to the piece that completed it", () => {
    const chance = new SeededChance(5n);
    const whole = "to the stop and on";
    for (let round = 0; round < 200; round++) {
      const choice = choiceOf({ stops: [" stop"] });
      let told = "";
      let pieces = 0;
      for (let at = 0; at < whole.length; ) {
        const to = at + 1 + pick(chance, 4);
        choice.pushText(whole.slice(at, to));
        if (at < 11) pieces++;
        at = to;
        if (pick(chance, 2) > 0) told += choice.take(9);
      }
      expect([choice.closed, choice.stopText, choice.counted]).toEqual([true, " stop", pieces]);
      expect(told + choice.take(99)).toBe("to the");
    }
  });

  it("is given with all that was held back when it ends without one", () => {
    const choice = choiceOf({ stops: [" stop"] });
    for (const piece of ["a st", "o"]) choice.pushText(piece);
    expect(choice.take(9)).toBe("a");
    choice.close();
    expect(choice.take(9)).toBe(" sto");
  });
});

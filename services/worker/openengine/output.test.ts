import { describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { createPieceTexts, Detokenizer } from "#lib/text/detokenizer";
import type { PieceTable } from "#lib/text/pieces";
import { compileStops } from "#lib/text/stop";
import { NO_TEXT, Output } from "./output.ts";

const PIECES = ["a", "b", "c", " stop", " st", "op", "\xe2\x82", "\xac", "."];

function tableOf(pieces: readonly string[]): PieceTable {
  const bytes = pieces.map((piece) => Buffer.from(piece, "latin1"));
  const offsets = new Uint32Array(bytes.length + 1);
  for (const [at, each] of bytes.entries()) offsets[at + 1] = offsets[at]! + each.length;
  return { bytes: Buffer.concat(bytes), offsets, attributes: new Uint8Array(bytes.length) };
}

const texts = createPieceTexts(tableOf(PIECES));
const TEXT = { createDecoder: () => new Detokenizer(texts), piece: texts.bytesOf };

function outputOf(plan: { stopStrings?: string[]; includeStop?: boolean; minTokens?: number } = {}): Output {
  const { stopStrings = [], includeStop = false, minTokens = 0 } = plan;
  return new Output({ stops: compileStops(stopStrings), includeStop, minTokens }, TEXT);
}

/** Pushes each list, taking what waits after it, and returns all tokens and all text. */
function run(output: Output, lists: readonly (readonly number[])[], stopToken?: number) {
  const tokens: number[] = [];
  let text = "";
  const take = () => {
    const delta = output.take(Number.POSITIVE_INFINITY, undefined);
    if (!delta) return;
    tokens.push(...delta.tokens.map(({ tokenId }) => tokenId!));
    text += delta.text;
  };
  for (const list of lists) {
    output.push(Uint32Array.from(list));
    take();
  }
  output.end(stopToken);
  take();
  return { tokens, text, stop: output.stopText, count: output.tokenCount };
}

describe("an output", () => {
  it("gives every token once and the text as far as it is whole", () => {
    const output = outputOf();
    output.push(Uint32Array.of(0, 6));
    expect(output.take(Number.POSITIVE_INFINITY, undefined)).toEqual({
      tokens: [expect.anything(), expect.anything()],
      text: "a",
    });
    expect(output.take(Number.POSITIVE_INFINITY, undefined)).toBeUndefined();
    output.push(Uint32Array.of(7));
    expect(output.take(Number.POSITIVE_INFINITY, undefined)?.text).toBe("€");
  });

  it("ends a character that never came whole", () => {
    expect(run(outputOf(), [[0, 6]])).toMatchObject({ text: "a\uFFFD", count: 2 });
  });

  it("never lets a stop string out, however it is cut", () => {
    const plan = { stopStrings: [" stop"] };
    expect(run(outputOf(plan), [[0], [4], [5], [1]])).toEqual({
      tokens: [0, 4, 5],
      text: "a",
      stop: " stop",
      count: 3,
    });
    expect(run(outputOf(plan), [[0, 3, 1]])).toEqual({ tokens: [0, 3], text: "a", stop: " stop", count: 2 });
    expect(run(outputOf(plan), [[0], [4], [1]])).toMatchObject({ text: "a stb", stop: undefined });
  });

  it("leaves the stop string or token in when asked", () => {
    expect(run(outputOf({ stopStrings: [" stop"], includeStop: true }), [[0], [4], [5]]).text).toBe("a stop");
    expect(run(outputOf({ includeStop: true }), [[0]], 8)).toEqual({
      tokens: [0, 8],
      text: "a.",
      stop: undefined,
      count: 2,
    });
    expect(run(outputOf(), [[0]], 8)).toMatchObject({ tokens: [0], text: "a", count: 1 });
  });

  it("minds no stop string before the least number of tokens", () => {
    const plan = { stopStrings: ["b"], minTokens: 2 };
    expect(run(outputOf(plan), [[1], [1], [0], [1], [0]])).toEqual({
      tokens: [1, 1, 0, 1],
      text: "bba",
      stop: "b",
      count: 4,
    });
  });

  it("finds a stop string in what was held back to the end", () => {
    expect(run(outputOf({ stopStrings: ["\uFFFD"] }), [[0, 6]])).toMatchObject({ text: "a", stop: "\uFFFD" });
  });

  it("describes tokens with their log-probabilities, ranks and alternatives", () => {
    const output = outputOf();
    output.push(Uint32Array.of(1, 2));
    const logprobs = {
      id: 1,
      chosen: Float32Array.of(-0.5, -3),
      topTokens: Uint32Array.of(0, 1, 0, 1),
      topValues: Float32Array.of(-0.25, -0.5, -0.25, -0.5),
    };
    const [first, second] = output.take(Number.POSITIVE_INFINITY, logprobs)!.tokens;
    expect(first).toMatchObject({ tokenId: 1, token: "b", logprob: -0.5, rank: 2 });
    expect(first!.candidates).toMatchObject([
      { tokenId: 0, token: "a", logprob: -0.25, rank: 1 },
      { tokenId: 1, token: "b", logprob: -0.5, rank: 2 },
    ]);
    expect(second).toMatchObject({ tokenId: 2, logprob: -3, rank: undefined });
  });

  it("gives tokens one by one when asked, each with its log-probability and the text that it set free", () => {
    const output = outputOf({ stopStrings: [" stop"] });
    output.push(Uint32Array.of(0, 4, 1));
    const logprobs = {
      id: 1,
      chosen: Float32Array.of(-1, -2, -3),
      topTokens: new Uint32Array(0),
      topValues: new Float32Array(0),
    };
    const deltas = [1, 2, 3, 4].map(() => output.take(1, logprobs));
    expect(deltas.map((delta) => delta && [delta.text, delta.tokens.map(({ logprob }) => logprob)])).toEqual([
      ["a", [-1]],
      ["", [-2]],
      [" stb", [-3]],
      undefined,
    ]);
  });

  it("keeps log-probabilities with their tokens when a stop string cuts a step short", () => {
    const output = outputOf({ stopStrings: ["b"] });
    output.push(Uint32Array.of(0, 1, 2));
    const logprobs = {
      id: 1,
      chosen: Float32Array.of(-1, -2, -3),
      topTokens: new Uint32Array(0),
      topValues: new Float32Array(0),
    };
    expect(output.take(Number.POSITIVE_INFINITY, logprobs)!.tokens.map(({ logprob }) => logprob)).toEqual([-1, -2]);
  });

  it("gives ids alone without a vocabulary", () => {
    const output = new Output({ stops: compileStops(["b"]), includeStop: false, minTokens: 0 }, NO_TEXT);
    output.push(Uint32Array.of(1));
    expect(output.take(Number.POSITIVE_INFINITY, undefined)).toEqual({ tokens: [{ tokenId: 1, token: "" }], text: "" });
  });

  it("is the same text whatever the steps", () => {
    const chance = new SeededChance(5n);
    for (let round = 0; round < 200; round++) {
      const tokens = Array.from({ length: 1 + pick(chance, 12) }, () => pick(chance, PIECES.length));
      const plan = {
        stopStrings: [" stop", "ab", "c."],
        includeStop: pick(chance, 2) === 1,
        minTokens: pick(chance, 3),
      };
      const whole = run(outputOf(plan), [tokens]);
      const lists: number[][] = [[]];
      for (const token of tokens) {
        if (pick(chance, 2) === 1) lists.push([]);
        lists.at(-1)!.push(token);
      }
      expect(run(outputOf(plan), lists), `round ${round}`).toEqual(whole);
    }
  });
});

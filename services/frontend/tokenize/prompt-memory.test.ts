import { expect, test } from "vitest";
import { type Chance, SeededChance } from "#lib/base/chance";
import { BEFORE, type NativeEncoding } from "#lib/native/addon";
import { createTally, type Known, PromptMemory, type Rest } from "./prompt-memory.ts";
import type { PromptText } from "./prompt-text.ts";

const scale = Number(process.env.TEST_SCALE ?? 1);
const LEAST = 100;

function below(chance: Chance, count: number): number {
  return Math.floor(chance.next() * count);
}

/** A token for each word, by its characters, by which of them are content, and by what it stands behind at the front. */
function encodeWords({ pieces, content, before }: Rest): NativeEncoding {
  const utf8 = pieces[0] instanceof Uint8Array;
  const text = utf8 ? Buffer.concat(pieces as Uint8Array[]).toString() : pieces.join("");
  const isContent = new Uint8Array(text.length);
  for (let at = 0; at < content.length; at += 2) isContent.fill(1, content[at], content[at + 1]);
  const ids: number[] = before === BEFORE.nothing ? [1] : [];
  const cuts: number[] = [];
  let last = 0;
  for (const { index, 0: word } of text.matchAll(/(^|(?<=[^ ]) )(?:(?![^ ] ).)*./gsu)) {
    if (index - last >= LEAST) {
      cuts.push(index, Buffer.byteLength(text.slice(0, index)), ids.length, 1, BEFORE.plain);
      last = index;
    }
    let hash = index === 0 && before === BEFORE.nothing ? 1 : 0;
    for (let at = 0; at < word.length; at++) {
      hash = (hash * 31 + word.charCodeAt(at) + isContent[index + at]!) % 1_000_003;
    }
    ids.push(hash);
  }
  return { ids: Uint32Array.from(ids), cuts: Uint32Array.from(cuts) };
}

/** A conversation: its text in parts, some of them content. */
interface Talk {
  readonly parts: string[];
  readonly content: number[];
}

function say({ parts, content }: Talk, chance: Chance): void {
  const isContent = below(chance, 2) === 0;
  const start = parts.join("").length;
  for (let count = 1 + below(chance, 3); count > 0; count--) {
    parts.push(
      Array.from({ length: below(chance, 80) }, () => ["a", "bc ", "é", "🙂 ", " x"][below(chance, 5)]).join(""),
    );
  }
  const end = parts.join("").length;
  if (isContent && end > start) content.push(start, end);
}

function textOf({ parts, content }: Talk, form: "parts" | "whole" | "bytes"): PromptText {
  const whole = parts.join("");
  const pieces = form === "parts" ? parts : form === "whole" ? [whole] : [Buffer.from(whole)];
  return { pieces: pieces.filter(({ length }) => length > 0), content: [...content] };
}

/** The same with something else in the middle, at the end, or other content. */
function changed({ parts, content }: Talk, chance: Chance): Talk {
  const other = parts.map((part) => part);
  const at = below(chance, 2) === 0 ? below(chance, other.length) : other.length - 1;
  const kind = below(chance, 3);
  if (kind === 0) other[at] = other[at]!.replace("a", "x");
  if (kind === 1) other[at] += " more";
  return {
    parts: other,
    content: kind === 2 ? content.slice(below(chance, 2) * 2) : content.filter((_, each) => each < 2),
  };
}

test.each([
  ["much memory", 1 << 24],
  ["little memory", 30_000],
  ["next to none", 4000],
  ["none", 0],
])("prompts are what they are without a memory: %s", (_, mostBytes) => {
  const chance = new SeededChance(BigInt(mostBytes) + 3n);
  const tally = createTally();
  const memory = new PromptMemory(mostBytes, tally);
  const talks: Talk[] = Array.from({ length: 6 }, () => ({ parts: ["the same beginning ".repeat(20)], content: [] }));
  const kept: [Uint32Array, string][] = [];
  let late: { text: PromptText; known: Known; made: NativeEncoding; expected: string } | undefined;
  for (let round = 0; round < 250 * scale; round++) {
    const talk = talks[below(chance, talks.length)]!;
    say(talk, chance);
    if (talk.parts.length > 40) talks[talks.indexOf(talk)] = { parts: ["the same beginning ".repeat(20)], content: [] };
    const form = (["parts", "whole", "bytes"] as const)[below(chance, 3)]!;
    const text = textOf(below(chance, 4) === 0 ? changed(talk, chance) : talk, form);
    const expected = encodeWords({ ...text, before: BEFORE.nothing }).ids.join();
    const known = memory.find(text, true);
    const made = encodeWords(memory.rest(text, known));
    // Long texts are encoded while others come and go.
    if (below(chance, 8) === 0 && !late) {
      late = { text, known, made, expected };
      continue;
    }
    const ids = memory.add(text, known, made);
    expect(ids.join()).toBe(expected);
    expect(memory.bytes).toBeLessThanOrEqual(mostBytes);
    kept.push([ids, expected]);
    if (late && below(chance, 4) === 0) {
      expect(memory.add(late.text, late.known, late.made).join()).toBe(late.expected);
      late = undefined;
    }
  }
  // Nobody writes over what a prompt has.
  for (const [ids, expected] of kept) expect(ids.join()).toBe(expected);
  if (mostBytes > 1_000_000) expect(tally.knownTokens).toBeGreaterThan(tally.newTokens);
  if (mostBytes === 0) expect(tally.knownTokens).toBe(0);
  expect(tally.bytes).toBe(memory.bytes);
  memory.close();
  expect([memory.bytes, tally.bytes]).toEqual([0, 0]);
});

/** Encodes a text; how many of its tokens were known. */
function add(memory: PromptMemory, pieces: readonly string[], isChat = true): { ids: Uint32Array; known: number } {
  const text = { pieces, content: [] };
  const known = memory.find(text, isChat);
  return { ids: memory.add(text, known, encodeWords(memory.rest(text, known))), known: known.node.tokens };
}

/** A short text is remembered when it comes a second time. */
function keep(memory: PromptMemory, pieces: readonly string[]): void {
  for (let time = 0; time < 2; time++) add(memory, pieces);
}

const turn = (at: number) => `Turn ${at} says something of its own. `.repeat(6);

test("a turn costs its own tokens, and shares the memory of those before", () => {
  const memory = new PromptMemory(1 << 20);
  const empty = memory.bytes;
  const parts: string[] = [];
  let before: Uint32Array | undefined;
  for (let at = 0; at < 40; at++) {
    parts.push(turn(at));
    const { ids, known } = add(memory, parts);
    // The second turn brings the first again; from then on all is known but what is behind the last cut.
    if (before && at > 1) expect(before.length - known).toBeLessThan(LEAST / 4);
    before = ids;
  }
  // The ids of forty turns are not forty lists: with room they are two of the last one.
  expect(memory.bytes - empty).toBeLessThan(40 * (turn(0).length + 1000) + 2 * before!.byteLength);
});

test("what chats know is not what other texts know", () => {
  const memory = new PromptMemory(1 << 20);
  keep(memory, [turn(1)]);
  expect(add(memory, [turn(1)]).known).toBeGreaterThan(0);
  expect(add(memory, [turn(1)], false).known).toBe(0);
});

test("what was used last stays, and the start of a text longer than its end", () => {
  const memory = new PromptMemory(14_000);
  const [old, used, start] = [turn(1), turn(2), "The beginning of all. ".repeat(10)];
  for (const each of [[start], [start, old], [used]]) keep(memory, each);
  for (let at = 10; at < 30; at++) {
    keep(memory, [turn(at)]);
    expect(add(memory, [used]).known).toBeGreaterThan(0);
    // It is used, what followed it once is not.
    add(memory, [start, "x"]);
  }
  const { known } = add(memory, [start, old]);
  expect(known).toBeGreaterThan(0);
  expect(known).toBeLessThanOrEqual(add(memory, [start, "y"]).ids.length);
});

test("a short text is remembered when it comes again, a long one at once", () => {
  const memory = new PromptMemory(1 << 20);
  const empty = memory.bytes;
  add(memory, [turn(1)]);
  expect(memory.bytes).toBe(empty);
  expect(add(memory, [turn(1)]).known).toBe(0);
  expect(memory.bytes).toBeGreaterThan(empty);
  const long = ["Something that is long. ".repeat(1500)];
  const { ids } = add(memory, long);
  expect(add(memory, long).known).toBeGreaterThan(ids.length - LEAST);
});

test("what comes once behind a beginning that many share is not remembered, what goes on from it is", () => {
  const memory = new PromptMemory(1 << 20);
  const start = "The beginning of all. ".repeat(10);
  for (let at = 0; at < 3; at++) add(memory, [start, turn(at)]);
  const { bytes } = memory;
  for (let at = 3; at < 9; at++) expect(add(memory, [start, turn(at)]).known).toBeGreaterThan(0);
  expect(memory.bytes - bytes).toBeLessThan(turn(0).length);
  const { known } = add(memory, [start, turn(3), turn(10)]);
  expect(add(memory, [start, turn(3), turn(10), turn(11)]).known).toBeGreaterThan(known + 40);
});

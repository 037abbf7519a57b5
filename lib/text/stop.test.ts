import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { compileStops, StopMatcher } from "./stop.ts";

const scale = Number(process.env.TEST_SCALE ?? 1);

/** The rule in its plainest form: for each end position, the longest stop that ends there. */
function naive(text: string, stops: readonly string[], include: boolean): { text: string; stop: string | undefined } {
  for (let end = 1; end <= text.length; end++) {
    const before = text.slice(0, end);
    const found = stops.filter((stop) => stop !== "" && before.endsWith(stop));
    if (found.length === 0) continue;
    const stop = found.reduce((longest, each) => (each.length > longest.length ? each : longest));
    return { text: include ? before : before.slice(0, end - stop.length), stop };
  }
  return { text, stop: undefined };
}

/** Pushes chunks until a stop; checks that nothing given out is ever more than the result. */
function run(chunks: readonly string[], stops: readonly string[], include: boolean) {
  const matcher = new StopMatcher(compileStops(stops), include);
  const expected = naive(chunks.join(""), stops, include);
  let out = "";
  for (const chunk of chunks) {
    out += matcher.push(chunk);
    expect(expected.text.startsWith(out)).toBe(true);
    if (matcher.matched !== undefined) break;
  }
  return { text: out + matcher.end(), stop: matcher.matched };
}

/** Every way to cut a text into chunks. */
function* cuts(text: string): Generator<string[]> {
  for (let mask = 0; mask < 2 ** Math.max(0, text.length - 1); mask++) {
    const chunks: string[] = [];
    let from = 0;
    for (let at = 1; at <= text.length; at++) {
      if (at < text.length && (mask & (1 << (at - 1))) === 0) continue;
      chunks.push(text.slice(from, at));
      from = at;
    }
    yield chunks;
  }
}

test.each([
  ["hello world", ["wor"], "hello ", "wor"],
  ["aabaabaac", ["aabaac"], "aab", "aabaac"],
  ["abcd", ["abcd", "bc"], "a", "bc"],
  ["xabc", ["bc", "abc", "c"], "x", "abc"],
  ["no stop", ["zz"], "no stop", undefined],
  ["almost sto", ["stop"], "almost sto", undefined],
  ["x\n\nUser:", ["\nUser", "\n\n"], "x", "\n\n"],
  ["😀😁", ["😁"], "😀", "😁"],
  ["stop", ["stop"], "", "stop"],
])("%j with %j", (text, stops, out, stop) => {
  for (const chunks of cuts(text)) expect(run(chunks, stops, false)).toEqual({ text: out, stop });
});

test("what is held back is the longest end of the text that begins a stop", () => {
  const matcher = new StopMatcher(compileStops(["abab!"]));
  expect(matcher.push("xaba")).toBe("x");
  expect(matcher.heldUnits).toBe(3);
  expect(matcher.push("ba")).toBe("ab");
  expect(matcher.push("z")).toBe("abaz");
  expect(matcher.end()).toBe("");
});

test("a stop that is complete before it is minded ends nothing, one that is complete behind does", () => {
  const run = (before: string, behind: string, stops: readonly string[]) => {
    const matcher = new StopMatcher(compileStops(stops));
    const text = matcher.push(before, false) + matcher.push(behind);
    return [matcher.matched === undefined ? text + matcher.end() : text, matcher.matched];
  };
  expect(run("xstop", "y", ["stop"])).toEqual(["xstopy", undefined]);
  expect(run("xstop", "", ["stop"])).toEqual(["xstop", undefined]);
  expect(run("xsto", "py", ["stop"])).toEqual(["x", "stop"]);
  expect(run("aa", "a", ["aa"])).toEqual(["a", "aa"]);
  expect(run("ab", "c", ["ab", "abc"])).toEqual(["", "abc"]);
});

test("is the plain search, on every chunking of random texts", () => {
  const chance = new SeededChance(5n);
  const word = (length: number) => Array.from({ length }, () => "abc"[pick(chance, 3)]).join("");
  for (let round = 0; round < 150 * scale; round++) {
    const stops = Array.from({ length: 1 + pick(chance, 4) }, () => word(pick(chance, 5)));
    const text = word(pick(chance, 9));
    const include = chance.next() < 0.5;
    const expected = naive(text, stops, include);
    for (const chunks of cuts(text)) expect(run(chunks, stops, include), `round ${round}`).toEqual(expected);
  }
});

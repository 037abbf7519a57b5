import { expect, test } from "vitest";
import { cutToWidth, displayWidth, oneLine, padToWidth, wrapWords } from "./display-width.ts";

test("wide letters and emoji take two columns, marks, joiners and colours none", () => {
  expect(displayWidth("worker-1")).toBe(8);
  expect(displayWidth("日本語")).toBe(6);
  expect(displayWidth("한글 ｆ")).toBe(7);
  expect(displayWidth("e\u0301a\u200b")).toBe(2);
  expect(displayWidth("👍🏽👩‍👩‍👧❤️")).toBe(6);
  expect(displayWidth("\x1b[31mred\x1b[39m")).toBe(3);
});

test("a cut line has room for its sign and never half a wide letter", () => {
  expect(cutToWidth("worker", 6)).toBe("worker");
  expect(cutToWidth("worker-1", 6)).toBe("worke…");
  expect(cutToWidth("日本語", 5)).toBe("日本…");
  expect(cutToWidth("日本語", 4)).toBe("日…");
  expect([cutToWidth("日", 1), cutToWidth("a", 0)]).toEqual(["…", ""]);
});

test("what could move the cursor is a space", () => {
  expect(oneLine("a\nb\x1b[2Jc\u2028")).toBe("a b [2Jc ");
});

test("text is padded by what is shown and broken at spaces", () => {
  expect(padToWidth("日", 4)).toBe("日  ");
  expect(wrapWords("  a model of 日本 words", 12, "    ")).toBe("  a model of\n    日本\n    words");
  expect(wrapWords("unbreakable-word x", 5, " ")).toBe("unbreakable-word\n x");
});

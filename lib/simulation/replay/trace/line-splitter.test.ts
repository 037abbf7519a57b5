import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { LineSplitter } from "./line-splitter.ts";

function linesOf(pieces: readonly Uint8Array[], mostBytes?: number): string[] {
  const splitter = new LineSplitter(mostBytes);
  const lines: string[] = [];
  for (const piece of pieces) {
    // A reader's piece is overwritten by the next.
    const lent = piece.slice();
    lines.push(...splitter.push(lent));
    lent.fill(0);
  }
  return [...lines, ...splitter.end()];
}

test("however the bytes are cut the lines are the same", () => {
  for (let seed = 0n; seed < 200n; seed++) {
    const chance = new SeededChance(seed);
    const lines = Array.from({ length: pick(chance, 20) }, () => "añ€😀x\r ".slice(0, pick(chance, 8)));
    const text = lines.join("\n") + (chance.next() < 0.5 ? "\n" : "");
    const bytes = new TextEncoder().encode(text);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + pick(chance, 6);
      pieces.push(bytes.subarray(at, at + size));
      at += size;
    }
    const expected = new TextDecoder()
      .decode(bytes)
      .split("\n")
      .filter((line) => line.trim() !== "");
    expect(linesOf(pieces), `seed ${seed}`).toEqual(expected);
  }
});

test("a line is not longer than it may be, and is UTF-8", () => {
  const bytes = new TextEncoder().encode("1234\n12345\n");
  expect(linesOf([bytes], 5)).toEqual(["1234", "12345"]);
  expect(() => linesOf([bytes], 4)).toThrow("Line 2 of the trace is longer than 4 bytes");
  expect(() => linesOf([Uint8Array.of(0x61, 0x0a, 0xff, 0x0a)])).toThrow("Line 2 of the trace is not UTF-8");
});

import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { createBytePairEncoder, wordRule } from "./byte-pair.ts";
import { parseGgufHeader } from "./gguf.ts";
import { readVocabulary } from "./vocabulary.ts";
import { createWordEncoder } from "./words.ts";

const file = path.join(import.meta.dirname, "../../models/stator-demo-q8_0.gguf");
const vocabulary = readVocabulary(parseGgufHeader(readFileSync(file), "the demo model"));
const plain = createBytePairEncoder(vocabulary);
const scale = Number(process.env.TEST_SCALE ?? 1);

describe("a word encoder", () => {
  it("says what the encoder inside says, seen or unseen", () => {
    const cached = createWordEncoder(plain, wordRule(vocabulary)!);
    const chance = new SeededChance(3n);
    const parts = [
      " ",
      "  ",
      "\n",
      "\r\n",
      "\t",
      "'s",
      "'LL",
      "12",
      "3456",
      "the",
      " capital",
      "of",
      "!?",
      "...",
      "x_y",
      "\u00e9",
      "\ud83d\ude00",
      "\0",
      "A",
    ];
    for (let round = 0; round < 300 * scale; round++) {
      let text = "";
      for (let at = Math.floor(chance.next() * 30); at >= 0; at--)
        text += parts[Math.floor(chance.next() * parts.length)];
      expect([text, [...cached.encode(text)]]).toEqual([text, [...plain.encode(text)]]);
    }
  });

  it("cuts words as every rule does", () => {
    const chance = new SeededChance(4n);
    const parts = [..." aZ09'\n\r\t.,!?()-_/\\\"#", "'s", "'ll", "'D", "  ", "word", "Two", "1234"];
    for (const pre of ["gpt-2", "llama-bpe", "dbrx", "qwen2"]) {
      const rule = wordRule({ ...vocabulary, pre })!;
      // The encoder inside says one token per word: its length and its first unit.
      const asked: string[] = [];
      const inner = {
        encode(word: string) {
          asked.push(word);
          return Uint32Array.of(word.length * 256 + word.charCodeAt(0));
        },
      };
      const cached = createWordEncoder(inner, rule);
      for (let round = 0; round < 500 * scale; round++) {
        let text = "";
        for (let at = Math.floor(chance.next() * 20); at >= 0; at--)
          text += parts[Math.floor(chance.next() * parts.length)];
        const words = text.match(rule) ?? [];
        expect([pre, text, [...cached.encode(text)]]).toEqual([
          pre,
          text,
          words.map((word) => word.length * 256 + word.charCodeAt(0)),
        ]);
      }
      expect(asked.length).toBeGreaterThan(100);
    }
  });

  it("asks for a word once, and forgets words for others", () => {
    let asked = 0;
    const inner = {
      encode(text: string) {
        asked++;
        return Uint32Array.of(text.length, 7);
      },
    };
    const cached = createWordEncoder(inner, wordRule(vocabulary)!);
    expect([...cached.encode("one two one two")]).toEqual([3, 7, 4, 7, 4, 7, 4, 7]);
    expect(asked).toBe(3);
    for (let word = 0; word < 100_000; word++) cached.encode(`${word}`);
    asked = 0;
    cached.encode("99999");
    expect(asked).toBe(0);
    cached.encode("1");
    expect(asked).toBe(1);
  });

  it("keeps to the encoder inside beyond ASCII, for empty text and for long words", () => {
    const seen: string[] = [];
    const inner = {
      encode: (text: string) => {
        seen.push(text);
        return Uint32Array.of(1);
      },
    };
    const cached = createWordEncoder(inner, wordRule(vocabulary)!);
    for (const text of ["", "caf\u00e9 au lait", "x".repeat(100), "x".repeat(100)]) cached.encode(text);
    expect(seen).toEqual(["", "caf\u00e9 au lait", "x".repeat(100), "x".repeat(100)]);
  });
});

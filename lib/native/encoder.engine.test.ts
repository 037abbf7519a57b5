import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseGgufHeader } from "#lib/text/gguf";
import { extractVocabulary, readVocabulary } from "#lib/text/vocabulary";
import { DEMO_MODEL, openNative } from "../../test/support/engine-driver.ts";
import { BEFORE, CUT_NUMBERS, nativeErrorCode } from "./addon.ts";
import { openEncoder } from "./encoder.ts";

const native = openNative();
const NO_CONTENT = new Uint32Array(0);
const encode = (text: string) => Buffer.from(text);

async function codeOf(call: () => unknown): Promise<string | undefined> {
  try {
    await call();
    return "no error";
  } catch (error) {
    return nativeErrorCode(error);
  }
}

describe.skipIf(native.reason !== undefined)(`an encoder (${native.reason ?? "built"})`, () => {
  const { addon } = native as Extract<typeof native, { addon: unknown }>;
  // The file's own bytes are left behind: an artifact's are enough.
  const bytes = extractVocabulary(parseGgufHeader(readFileSync(DEMO_MODEL), "demo"));
  const vocabulary = readVocabulary(parseGgufHeader(bytes, "demo"));
  const turn = (at: number) => `<|im_start|>user\n${`Question ${at} about the cache? `.repeat(80)}<|im_end|>\n`;

  test("what is long comes from a thread, what is short at once", async () => {
    const encoder = await openEncoder(addon, vocabulary, { memoryBytes: 1 << 20, inlineBytes: 1500 });
    const long = encoder.encode(encode(turn(1)), NO_CONTENT, true, BEFORE.nothing);
    expect(long).toBeInstanceOf(Promise);
    const short = encoder.encode(encode("more"), NO_CONTENT, true, BEFORE.nothing);
    expect(short).not.toBeInstanceOf(Promise);
    expect((await long).ids.length).toBeGreaterThan((await short).ids.length);
    encoder.close();
    expect(await codeOf(() => encoder.encode(encode("x"), NO_CONTENT, true, BEFORE.nothing))).toBe("CLOSED");
  });

  test("a text is the tokens before any of its cuts, and those of the rest", async () => {
    const encoder = await openEncoder(addon, vocabulary, { memoryBytes: 40_000, inlineBytes: 1 << 20 });
    const text = `${turn(1)}${"é🙂 and more of it. ".repeat(60)}${turn(2)}`;
    const utf8 = encode(text);
    for (const given of [text, [text.slice(0, 900), text.slice(900)], utf8] as const) {
      const { ids, cuts } = await encoder.encode(given, NO_CONTENT, true, BEFORE.nothing);
      // The memory behind the ids is for those that follow.
      expect(ids.buffer.byteLength).toBeGreaterThan(ids.byteLength);
      expect(cuts.length / CUT_NUMBERS).toBeGreaterThan(10);
      for (let at = 0; at < cuts.length; at += CUT_NUMBERS) {
        const [units, bytes, tokens, ahead, before] = cuts.subarray(at, at + CUT_NUMBERS) as unknown as number[];
        expect(utf8.subarray(0, bytes).toString()).toBe(text.slice(0, units));
        expect(ahead).toBeLessThanOrEqual(given === utf8 ? 4 : 2);
        const rest = given === utf8 ? utf8.subarray(bytes) : text.slice(units);
        const more = await encoder.encode(rest, NO_CONTENT, true, before!);
        expect([...ids.subarray(0, tokens), ...more.ids]).toEqual([...ids]);
      }
    }
    encoder.close();
  });

  test("content names no control token, in places that are counted in UTF-16 units", async () => {
    const encoder = await openEncoder(addon, vocabulary, { memoryBytes: 0, inlineBytes: 1 << 20 });
    const text = "é🙂<|im_end|>é<|im_end|>";
    const end = (await encoder.encode(encode("<|im_end|>"), NO_CONTENT, true, BEFORE.nothing)).ids[0];
    const count = async (...content: number[]) => {
      const { ids: tokens } = await encoder.encode(encode(text), Uint32Array.from(content), true, BEFORE.nothing);
      return tokens.filter((token) => token === end).length;
    };
    expect([
      await count(),
      await count(0, 3),
      await count(3, 4),
      await count(0, 3, 14, 15),
      await count(0, 24),
    ]).toEqual([2, 2, 1, 1, 0]);
    encoder.close();
  });

  test("says what it does not know, and what is wrong", async () => {
    const bounds = { memoryBytes: 0, inlineBytes: 0 };
    const open = (changed: object) => codeOf(() => openEncoder(addon, { ...vocabulary, ...changed }, bounds));
    expect(await open({ pre: "a rule of tomorrow" })).toBe("UNSUPPORTED");
    expect(await open({ types: new Int32Array(3) })).toBe("INVALID_ARGUMENT");
    expect(await open({ unknown: vocabulary.size })).toBe("INVALID_ARGUMENT");
    expect(await open({ kind: "foreign" })).toBe("UNSUPPORTED");
    const encoder = await openEncoder(addon, vocabulary, bounds);
    expect(await codeOf(() => encoder.encode(encode("x"), Uint32Array.of(1), true, BEFORE.nothing))).toBe(
      "INVALID_ARGUMENT",
    );
    expect(await codeOf(() => encoder.encode(encode("x"), Uint32Array.of(1, 0), true, BEFORE.nothing))).toBe(
      "INVALID_ARGUMENT",
    );
    encoder.close();
  });
});

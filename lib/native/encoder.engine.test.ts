import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseGgufHeader } from "#lib/text/gguf";
import { extractVocabulary, readVocabulary } from "#lib/text/vocabulary";
import { DEMO_MODEL, openNative } from "../../test/support/engine-driver.ts";
import { nativeErrorCode } from "./addon.ts";
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

  test("what is new and long comes from a thread, what is known at once", async () => {
    const encoder = await openEncoder(addon, vocabulary, { memoryBytes: 1 << 20, inlineBytes: 1500 });
    const before = encoder.memoryBytes();
    const first = encoder.encode(encode(turn(1)), NO_CONTENT, true);
    expect(first).toBeInstanceOf(Promise);
    const tokens = await first;
    expect(encoder.encode(encode(`${turn(1)}more`), NO_CONTENT, true)).toEqual(
      Uint32Array.of(...tokens, ...(await encoder.encode(encode("more"), NO_CONTENT, true))),
    );
    expect(encoder.memoryBytes()).toBeGreaterThan(before);
    encoder.close();
    expect(await codeOf(() => encoder.encode(encode("x"), NO_CONTENT, true))).toBe("CLOSED");
  });

  test("remembers no more than it may", async () => {
    const bounds = { memoryBytes: 40_000, inlineBytes: 1 << 20 };
    const encoder = await openEncoder(addon, vocabulary, bounds);
    const free = await openEncoder(addon, vocabulary, { ...bounds, memoryBytes: 0 });
    const before = encoder.memoryBytes();
    let text = "";
    for (let at = 0; at < 100; at++) {
      text += turn(at);
      expect(encoder.encode(encode(text), NO_CONTENT, true)).toEqual(free.encode(encode(text), NO_CONTENT, true));
      expect(encoder.memoryBytes() - before).toBeLessThanOrEqual(bounds.memoryBytes + (64 << 10));
    }
    for (const each of [encoder, free]) each.close();
  });

  test("content names no control token, in places that are counted in UTF-16 units", async () => {
    const encoder = await openEncoder(addon, vocabulary, { memoryBytes: 0, inlineBytes: 1 << 20 });
    const text = "é🙂<|im_end|>é<|im_end|>";
    const end = (await encoder.encode(encode("<|im_end|>"), NO_CONTENT, true))[0];
    const count = async (...content: number[]) => {
      const tokens = await encoder.encode(encode(text), Uint32Array.from(content), true);
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
    expect(await codeOf(() => encoder.encode(encode("x"), Uint32Array.of(1), true))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => encoder.encode(encode("x"), Uint32Array.of(1, 0), true))).toBe("INVALID_ARGUMENT");
    encoder.close();
  });
});

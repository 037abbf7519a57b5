import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import {
  GGUF_LIMITS,
  type GgufLimits,
  ggufBool,
  ggufI32s,
  ggufString,
  ggufStrings,
  ggufU32,
  parseGgufHeader,
  readGgufHeader,
} from "./gguf.ts";
import { checkGgufTensors } from "./gguf-tensors.ts";
import { boolField, f32Field, i32sField, stringField, stringsField, u32Field, writeGguf } from "./gguf-write.ts";
import { checkVocabulary, extractVocabulary, readVocabulary } from "./vocabulary.ts";

const MODEL = new URL("../../models/stator-demo-q8_0.gguf", import.meta.url);
const scale = Number(process.env.TEST_SCALE ?? 1);

function sample(): Uint8Array {
  return writeGguf(
    [
      stringField("general.architecture", "llama"),
      u32Field("llama.block_count", 4),
      f32Field("llama.rope.freq_base", 10_000),
      boolField("tokenizer.ggml.add_bos_token", true),
      stringsField("tokenizer.ggml.tokens", ["a", "é", ""]),
      i32sField("tokenizer.ggml.token_type", [1, -2, 3]),
    ],
    [{ name: "w", dimensions: [2, 2], elementType: 0, data: new Uint8Array(16).fill(7) }],
  );
}

function detailOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    if (error instanceof StatorError) return `${error.reason}: ${error.facts.detail}`;
    throw error;
  }
  return "nothing thrown";
}

describe("gguf header", () => {
  test("reads what the writer wrote", () => {
    const file = sample();
    const header = parseGgufHeader(file, "m.gguf");
    expect(header.tensors).toBe(1);
    expect(ggufString(header, "general.architecture")).toBe("llama");
    expect(ggufU32(header, "llama.block_count")).toBe(4);
    expect(ggufBool(header, "tokenizer.ggml.add_bos_token")).toBe(true);
    expect(ggufStrings(header, "tokenizer.ggml.tokens")).toEqual(["a", "é", ""]);
    expect([...(ggufI32s(header, "tokenizer.ggml.token_type") ?? [])]).toEqual([1, -2, 3]);
    expect(ggufString(header, "absent")).toBeUndefined();
    expect(file.subarray(-32)[0]).toBe(7);
  });

  test("asks for more until the header is complete, and never for more than it needs", () => {
    const file = sample();
    const { headerBytes } = parseGgufHeader(file, "m.gguf");
    let have = 0;
    for (let rounds = 0; rounds < 1000; rounds++) {
      const needed = readGgufHeader(file.subarray(0, have), "m.gguf").neededBytes ?? 0;
      if (needed === 0) break;
      expect(needed).toBeGreaterThan(have);
      expect(needed).toBeLessThanOrEqual(headerBytes);
      have = needed;
    }
    expect(have).toBe(headerBytes);
  });

  test("works on a view at an odd offset of a Buffer", () => {
    const file = sample();
    const shifted = Buffer.concat([Buffer.from("x"), file]).subarray(1);
    const header = parseGgufHeader(shifted, "m.gguf");
    expect([...(ggufI32s(header, "tokenizer.ggml.token_type") ?? [])]).toEqual([1, -2, 3]);
  });

  test("says what is wrong", () => {
    const file = sample();
    const edited = (at: number, ...bytes: number[]) => {
      const copy = file.slice();
      copy.set(bytes, at);
      return () => parseGgufHeader(copy, "m.gguf");
    };
    expect(detailOf(() => parseGgufHeader(new TextEncoder().encode("PK\u0003\u0004 not"), "m"))).toContain(
      "not a GGUF file",
    );
    expect(detailOf(edited(4, 0, 0, 0, 3))).toContain("big-endian");
    expect(detailOf(edited(4, 1, 0, 0, 0))).toContain("version is 1");
    expect(detailOf(edited(8, 0, 0, 0, 0, 1))).toContain("tensors");
    expect(detailOf(edited(16, 255, 255, 255, 255))).toContain("keys");
    expect(detailOf(edited(24, 255, 255, 255))).toContain("bytes for a key");
    expect(detailOf(() => parseGgufHeader(file.subarray(0, 100), "m"))).toContain("middle of its header");
    expect(detailOf(() => parseGgufHeader(file, "m", { ...GGUF_LIMITS, headerBytes: 64 }))).toContain("64 bytes");
    const twice = writeGguf([u32Field("a", 1), u32Field("a", 1)]);
    expect(detailOf(() => parseGgufHeader(twice, "m"))).toContain("a twice");
    const header = parseGgufHeader(file, "m");
    expect(detailOf(() => ggufU32(header, "general.architecture"))).toContain("not of type u32");
  });

  const small = (limits: Partial<GgufLimits>, file = sample()) =>
    detailOf(() => parseGgufHeader(file, "m", { ...GGUF_LIMITS, ...limits }));

  test.each<[string, Partial<GgufLimits>, Partial<GgufLimits>]>([
    ["5 keys", { keys: 5 }, { keys: 6 }],
    ["27 bytes for a key", { keyBytes: 27 }, { keyBytes: 28 }],
    ["4 bytes for a string", { stringBytes: 4 }, { stringBytes: 5 }],
    ["2 values for tokenizer.ggml.tokens", { arrayCount: 2 }, { arrayCount: 3 }],
    ["0 tensors", { tensors: 0 }, { tensors: 1 }],
  ])("may hold as much as the limits say and no more: it declares more than %s", (said, below, exact) => {
    expect(small(below)).toBe(`BAD_MODEL_FILE: it declares more than ${said}`);
    expect(small(exact)).toBe("nothing thrown");
  });

  test("may be as long as the limit and not a byte longer", () => {
    const { headerBytes } = parseGgufHeader(sample(), "m");
    expect(small({ headerBytes })).toBe("nothing thrown");
    expect(small({ headerBytes: headerBytes - 1 })).toContain(`longer than ${headerBytes - 1} bytes`);
  });

  test("finds every tensor within the file, or says which is not", () => {
    const file = sample();
    const header = parseGgufHeader(file, "m.gguf");
    expect(checkGgufTensors(header, file, file.length)).toBeUndefined();
    // The writer pads what the tensor does not need.
    const lastByte = file.length - 16;
    expect(checkGgufTensors(header, file, lastByte)).toBeUndefined();
    expect(detailOf(() => checkGgufTensors(header, file, lastByte - 1))).toContain("tensor w ends beyond the end");
    let have = header.headerBytes;
    for (let needed = have; needed > 0; have = Math.max(have, needed)) {
      needed = checkGgufTensors(header, file.subarray(0, have), file.length)?.neededBytes ?? 0;
      expect(needed).toBeLessThan(lastByte);
    }
    expect(checkGgufTensors(header, file.subarray(0, have - 1), file.length)?.neededBytes).toBe(have);
  });

  test("damaged headers give a typed error or a header, nothing else", () => {
    const model = readFileSync(MODEL);
    const whole = parseGgufHeader(model, "m").headerBytes;
    const chance = new SeededChance(20_260_301n);
    const sources = [sample(), model.subarray(0, whole), extractVocabulary(parseGgufHeader(model, "m"))];
    for (let round = 0; round < 400 * scale; round++) {
      const source = sources[pick(chance, sources.length)] ?? sample();
      // Early bytes decide most, so half of the edits hit the first 256.
      const copy = source.slice(0, chance.next() < 0.2 ? pick(chance, source.length) : source.length);
      for (let edit = 0; edit <= pick(chance, 4); edit++) {
        const within = chance.next() < 0.5 ? Math.min(256, copy.length) : copy.length;
        if (within > 0) copy[pick(chance, within)] = pick(chance, 256);
      }
      for (const use of [
        () => readVocabulary(parseGgufHeader(copy, "m")).merges(),
        () => checkVocabulary(copy),
        () => readGgufHeader(copy, "m"),
        () => checkGgufTensors(parseGgufHeader(copy, "m"), copy, copy.length),
      ]) {
        try {
          use();
        } catch (error) {
          expect(error, `round ${round}`).toBeInstanceOf(StatorError);
        }
      }
    }
  });
});

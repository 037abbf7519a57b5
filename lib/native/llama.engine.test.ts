import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { DEMO_MODEL, openNative } from "../../test/support/engine-driver.ts";
import { nativeErrorCode } from "./addon.ts";
import { TOKEN_ATTRIBUTE } from "./llama.ts";

const folder = mkdtempSync(join(tmpdir(), "stator-native-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work();
    return "no error";
  } catch (error) {
    return nativeErrorCode(error);
  }
}

const native = openNative();
describe.skipIf(native.reason !== undefined)(`models and vocabularies (${native.reason ?? "built"})`, () => {
  const { llama } = native as Extract<typeof native, { addon: unknown }>;

  it("refuses files that are no models", async () => {
    const bytes = readFileSync(DEMO_MODEL);
    const write = (name: string, content: Uint8Array) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const noVersion = Uint8Array.from(bytes.subarray(0, 4096));
    noVersion[4] = 77;
    const wild = Uint8Array.from(bytes);
    wild.fill(0xff, 16, 24);
    const cases: [string, string][] = [
      [join(folder, "absent.gguf"), "FILE_MISSING"],
      [write("empty.gguf", new Uint8Array(0)), "FILE_CORRUPT"],
      [write("text.gguf", Buffer.from("this is not a model at all, only text")), "FILE_CORRUPT"],
      [write("version.gguf", noVersion), "FILE_CORRUPT"],
      [write("values.gguf", wild), "FILE_CORRUPT"],
      [write("short.gguf", bytes.subarray(0, bytes.length / 2)), "FILE_CORRUPT"],
      [write("header.gguf", bytes.subarray(0, 4096)), "FILE_CORRUPT"],
      [write("tail.gguf", bytes.subarray(0, bytes.length - 100)), "FILE_CORRUPT"],
      [folder, "FILE_MISSING"],
    ];
    for (const [path, code] of cases) {
      expect([path, await codeOf(() => llama.loadModel(path))]).toEqual([path, code]);
      if (!path.endsWith("tail.gguf")) expect(await codeOf(() => llama.openVocab(path))).toMatch(/^FILE_/);
    }
    expect(llama.drainLog().join()).toContain("file bounds");
  });

  it("loads with progress, stops on a signal, and describes the model", async () => {
    const seen: number[] = [];
    const model = await llama.loadModel(DEMO_MODEL, { onProgress: (ratio) => seen.push(ratio) });
    expect(seen.at(-1)).toBe(1);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(model).toMatchObject({ layers: 4, embedding: 256, heads: 4, kvHeads: 2, headDimK: 64, headDimV: 64 });
    expect(model).toMatchObject({ vocabSize: 2048, recurrent: false, parameters: 3_279_104, windowTokens: 0 });
    expect(model.meta("general.architecture")).toBe("llama");
    expect(model.meta("no.such.key")).toBeUndefined();
    model.close();
    expect(await codeOf(() => model.vocab())).toBe("CLOSED");
    const load = llama.loadModel(DEMO_MODEL, { signal: AbortSignal.abort() });
    expect(await codeOf(() => load)).toBe("ABORTED");
  });

  it("tokenizes text and bytes the same way, special tokens only on request", async () => {
    copyFileSync(DEMO_MODEL, join(folder, "model.gguf"));
    const vocab = await llama.openVocab(join(folder, "model.gguf"));
    const text = "<|im_start|>user\nHow are you, naïve 😀 friend?<|im_end|>";
    const plain = vocab.tokenize(text);
    const special = vocab.tokenize(Buffer.from(text), { parseSpecial: true });
    expect(special.length).toBeLessThan(plain.length);
    expect(await vocab.tokenizeAsync(text)).toEqual(plain);
    expect(vocab.tokenize("")).toEqual(new Uint32Array(0));
    const { bytes, offsets, attributes } = vocab.pieceTable();
    const piece = (token: number) => bytes.subarray(offsets[token], offsets[token + 1]);
    for (const tokens of [plain, special]) {
      expect(Buffer.concat([...tokens].map(piece)).toString()).toBe(text);
    }
    expect(offsets.length).toBe(vocab.size + 1);
    expect(attributes[special[0]!]! & TOKEN_ATTRIBUTE.control).toBeTruthy();
    expect(attributes[vocab.eos]! & TOKEN_ATTRIBUTE.endOfGeneration).toBeTruthy();
    expect(vocab.chatTemplate).toContain("im_start");
    const many = await Promise.all(Array.from({ length: 50 }, (_, i) => vocab.tokenizeAsync(`${text} ${i}`)));
    expect(many.every((tokens) => tokens.length > plain.length)).toBe(true);
    vocab.close();
    expect(await codeOf(() => vocab.tokenize("x"))).toBe("CLOSED");
    expect(await codeOf(() => new (vocab.constructor as new () => unknown)())).toBe("INVALID_ARGUMENT");
  });
});

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_MODEL, EngineDriver, openNative, takeBlock } from "../../test/support/engine-driver.ts";
import { nativeErrorCode } from "./addon.ts";
import { type Context, type ContextOptions, type KvType, OP } from "./context.ts";
import type { Model, Vocab } from "./llama.ts";

const native = openNative();
const size: ContextOptions = { cellTokens: 2048, maxSequences: 8, maxBatchTokens: 256 };
const blockTokens = 16;

describe.skipIf(native.reason !== undefined)(`KV blocks (${native.reason ?? "built"})`, () => {
  const { addon, llama } = native as Extract<typeof native, { addon: unknown }>;
  let model: Model;
  let vocab: Vocab;
  let prompt: Uint32Array;
  beforeAll(async () => {
    model = await llama.loadModel(DEMO_MODEL);
    vocab = model.vocab();
    const text = "Tell me a long story about a duck who lives by the river and looks for bread. ".repeat(4);
    prompt = vocab.tokenize(`<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`, { parseSpecial: true });
  });
  afterAll(() => model?.close());

  /** Whole blocks of the prompt, at least one token left to compute. */
  const blocksOf = (tokens: Uint32Array) => Math.floor((tokens.length - 1) / blockTokens);

  async function exportAll(context: Context, slot: number, blocks: number): Promise<Uint8Array[]> {
    const all = Array.from({ length: blocks }, (_, i) =>
      takeBlock(context, slot, i * blockTokens, (i + 1) * blockTokens),
    );
    return Promise.all(all);
  }

  async function codeOf(work: () => unknown): Promise<string | undefined> {
    try {
      await work();
      return "no error";
    } catch (error) {
      return nativeErrorCode(error);
    }
  }

  const kinds: [KvType, KvType][] = [
    ["f16", "f16"],
    ["f32", "f32"],
    ["q8_0", "q8_0"],
    ["q4_0", "f16"],
  ];
  it.each(kinds)("continue in another context exactly as a local prefix does (%s, %s)", async (kvTypeK, kvTypeV) => {
    const sampling = { maxTokens: 48, ignoreEos: true, logprobs: 0 };
    const source = await EngineDriver.open(model, { ...size, kvTypeK, kvTypeV });
    await source.generate(0, prompt, { maxTokens: 1 });
    const blocks = blocksOf(prompt);
    const cached = blocks * blockTokens;
    const bytes = await exportAll(source.context, 0, blocks);
    expect(bytes.every((block) => block.length === blockTokens * source.context.kvLayout.tokenBytes)).toBe(true);
    await source.run([OP.copy, 0, 1, 0, cached]);
    const local = await source.generate(1, prompt, sampling, cached);
    const target = await EngineDriver.open(model, { ...size, kvTypeK, kvTypeV });
    await target.context.importBlocks(5, 0, bytes);
    const remote = await target.generate(5, prompt, sampling, cached);
    expect(remote.tokens).toEqual(local.tokens);
    expect(remote.logprobs).toEqual(local.logprobs);
    // What was imported is exported again byte for byte, at any cut.
    expect(Buffer.compare((await exportAll(target.context, 5, blocks))[1]!, bytes[1]!)).toBe(0);
    source.context.close();
    target.context.close();
  });

  it("hold rows by position, not by cell, and cut at any token", async () => {
    const driver = await EngineDriver.open(model, size);
    const { tokenBytes, layers } = driver.context.kvLayout;
    expect(layers).toHaveLength(4);
    expect(layers[0]).toEqual({ keyType: "f16", keyRowBytes: 256, valueType: "f16", valueRowBytes: 256 });
    expect(tokenBytes).toBe(4 * 512);
    await driver.generate(0, prompt, { maxTokens: 1 });
    const two = await takeBlock(driver.context, 0, 0, 32);
    const [first, second] = await exportAll(driver.context, 0, 2);
    const half = 16 * 256;
    for (let i = 0; i < layers.length * 2; i++) {
      const rows = two.subarray(i * 2 * half, (i + 1) * 2 * half);
      expect(Buffer.compare(rows.subarray(0, half), first!.subarray(i * half, (i + 1) * half))).toBe(0);
      expect(Buffer.compare(rows.subarray(half), second!.subarray(i * half, (i + 1) * half))).toBe(0);
    }
    // Cells become scattered: another sequence takes part of the room that a removed one left.
    await driver.run([OP.remove, 0, 0, -1, 0]);
    await driver.generate(1, prompt.subarray(0, 20), { maxTokens: 1 });
    await driver.context.importBlocks(2, 0, [two]);
    await driver.run([OP.remove, 1, 0, -1, 0]);
    await driver.context.importBlocks(3, 0, [first!]);
    await driver.context.importBlocks(3, 16, [second!]);
    expect(Buffer.compare(await takeBlock(driver.context, 3, 0, 32), two)).toBe(0);
    expect(Buffer.compare(await takeBlock(driver.context, 2, 7, 8), await takeBlock(driver.context, 3, 7, 8))).toBe(0);
    driver.context.close();
  });

  it("are refused when they do not fit", async () => {
    const driver = await EngineDriver.open(model, { ...size, cellTokens: 256 });
    const { context } = driver;
    await driver.generate(0, prompt.subarray(0, 40), { maxTokens: 1 });
    const block = await takeBlock(context, 0, 0, 16);
    expect(await codeOf(() => takeBlock(context, 0, 30, 60))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => takeBlock(context, 1, 0, 16))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => takeBlock(context, 0, 16, 16))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => takeBlock(context, 9, 0, 16))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => context.importBlocks(1, 0, [block.subarray(1)]))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => context.importBlocks(1, 0, [new Uint8Array(0)]))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => context.importBlocks(1, 250, [block]))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => context.importBlocks(0, 0, [block]))).toBe("INVALID_ARGUMENT");
    const rows = context.kvLayout.tokenBytes;
    expect(await codeOf(() => context.importBlocks(1, 0, [new Uint8Array(250 * rows)]))).toBe("NO_SPACE");
    const { checksums, durationUs } = await context.exportBlocks(0, 0, [block]);
    expect(durationUs).toBeGreaterThan(0);
    expect(checksums).toEqual(BigUint64Array.of(addon.xxh3(block, 0x564b5453n)));
    expect(await codeOf(() => context.exportBlocks(0, 0, [block.subarray(1)]))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => context.exportBlocks(0, 0, [block, block.subarray(0, rows)]))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => context.exportBlocks(0, 0, []))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => context.exportBlocks(0, 0, [7] as never))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => context.importBlocks(1, 0, [block, block], checksums))).toBe("INVALID_ARGUMENT");
    for (const at of [0, 77, block.length - 1]) {
      const damaged = block.with(at, block[at]! ^ 1);
      expect(await context.importBlocks(1, 0, [damaged], checksums)).toMatchObject({ count: 0 });
    }
    expect(await context.importBlocks(1, 0, [block], checksums)).toMatchObject({ count: 1 });
    expect(Buffer.compare(await takeBlock(context, 1, 0, 16), block)).toBe(0);
    context.close();
  });

  it("are not offered where values are kept by column", async () => {
    const driver = await EngineDriver.open(model, { ...size, flashAttention: false });
    expect(driver.context.kvLayout.exportable).toBe(false);
    expect(driver.context.kvLayout.reason).toContain("flash attention");
    await driver.generate(0, prompt, { maxTokens: 1 });
    expect(await codeOf(() => takeBlock(driver.context, 0, 0, 16))).toBe("UNSUPPORTED");
    expect(await codeOf(() => driver.context.importBlocks(1, 0, [new Uint8Array(2048)]))).toBe("UNSUPPORTED");
    driver.context.close();
  });
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { EngineDriver, openNative, takeBlock } from "../../test/support/engine-driver.ts";
import { encoderModel, recurrentModel, windowModel } from "../../test/support/tiny-models.ts";
import { nativeErrorCode } from "./addon.ts";
import { type ContextOptions, END, OP } from "./context.ts";

const native = openNative();
const folder = mkdtempSync(join(tmpdir(), "stator-kinds-"));
afterAll(() => rmSync(folder, { recursive: true }));
const size: ContextOptions = { cellTokens: 512, maxSequences: 4, maxBatchTokens: 128 };
const prompt = Uint32Array.from({ length: 90 }, (_, i) => (i * 37) % 290);
const sampling = { maxTokens: 24, ignoreEos: true, logprobs: 0 };

describe.skipIf(native.reason !== undefined)(`kinds of models (${native.reason ?? "built"})`, () => {
  const { llama } = native as Extract<typeof native, { addon: unknown }>;
  const load = (name: string, bytes: Buffer) => {
    writeFileSync(join(folder, name), bytes);
    return llama.loadModel(join(folder, name));
  };

  it("with a sliding window keep two caches, and blocks of both travel", async () => {
    const model = await load("window.gguf", windowModel());
    expect(model.windowTokens).toBe(32);
    const source = await EngineDriver.open(model, size);
    expect(source.context.kvLayout).toMatchObject({ exportable: true, tokenBytes: 6 * 256 });
    await source.generate(0, prompt, { maxTokens: 1 });
    const blocks = await Promise.all([0, 16, 32, 48, 64].map((p0) => takeBlock(source.context, 0, p0, p0 + 16)));
    await source.run([OP.copy, 0, 1, 0, 80]);
    const local = await source.generate(1, prompt, sampling, 80);
    const target = await EngineDriver.open(model, size);
    await target.context.importBlocks(2, 0, blocks);
    const remote = await target.generate(2, prompt, sampling, 80);
    expect(remote.tokens).toEqual(local.tokens);
    expect(remote.logprobs).toEqual(local.logprobs);
    source.context.close();
    target.context.close();
    model.close();
  });

  it("with a state per sequence generate, and refuse what takes tokens apart", async () => {
    const model = await load("recurrent.gguf", recurrentModel());
    expect(model.recurrent).toBe(true);
    const driver = await EngineDriver.open(model, size);
    const { context } = driver;
    expect(context.kvLayout).toMatchObject({ exportable: false });
    const [first, second] = await driver.generateAll([
      { prompt, sampling },
      { prompt: prompt.subarray(0, 80), sampling },
    ]);
    expect(first!.tokens).toHaveLength(24);
    expect(second!.tokens).not.toEqual(first!.tokens);
    await driver.run([OP.remove, 0, 0, -1, 0]);
    expect((await driver.generate(0, prompt, sampling)).tokens).toEqual(first!.tokens);
    await expect(driver.run([OP.copy, 0, 2, 0, 16])).rejects.toThrow("cannot be copied in parts");
    expect(await takeBlock(context, 0, 0, 16).catch(nativeErrorCode)).toBe("UNSUPPORTED");
    context.close();
    model.close();
  });

  it("that only encode give embeddings and end every entry with a sentence", async () => {
    const model = await load("encoder.gguf", encoderModel());
    const driver = await EngineDriver.open(model, size);
    const { context } = driver;
    expect(context.kvLayout.exportable).toBe(false);
    const [one, two, three] = await context.embed([
      Uint32Array.of(2, 4, 3),
      Uint32Array.of(2, 4, 3),
      Uint32Array.of(2, 7, 3),
    ]);
    expect(one).toHaveLength(64);
    expect(two).toEqual(one);
    expect(three).not.toEqual(one);
    const refused = await driver.generate(0, Uint32Array.of(2, 4, 3), {});
    expect([refused.end, refused.message]).toEqual([END.error, "This model keeps no cache."]);
    context.close();
    model.close();
  });
});

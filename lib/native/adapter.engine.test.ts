import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_MODEL, EngineDriver, openNative } from "../../test/support/engine-driver.ts";
import { buildGguf } from "../../test/support/gguf-builder.ts";
import { nativeErrorCode } from "./addon.ts";
import type { ContextOptions } from "./context.ts";
import type { Model, Vocab } from "./llama.ts";

const native = openNative();
const size: ContextOptions = { cellTokens: 1024, maxSequences: 4, maxBatchTokens: 256 };
const folder = mkdtempSync(join(tmpdir(), "stator-adapter-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A LoRA of rank 1 on every query matrix of the demo model (256 × 256). */
function loraFile(scale: number): Buffer {
  const values = {
    "general.type": "adapter",
    "general.architecture": "llama",
    "adapter.type": "lora",
    "adapter.lora.alpha": { f32: 1 },
  };
  const tensors = [0, 1, 2, 3].flatMap((layer) => {
    const fill = (index: number) => scale * Math.sin(index * 0.7 + layer);
    return [
      { name: `blk.${layer}.attn_q.weight.lora_a`, shape: [256, 1], fill },
      { name: `blk.${layer}.attn_q.weight.lora_b`, shape: [1, 256], fill },
    ];
  });
  return buildGguf(values, tensors);
}

describe.skipIf(native.reason !== undefined)(`adapters and embeddings (${native.reason ?? "built"})`, () => {
  const { llama } = native as Extract<typeof native, { addon: unknown }>;
  let model: Model;
  let vocab: Vocab;
  beforeAll(async () => {
    model = await llama.loadModel(DEMO_MODEL);
    vocab = model.vocab();
  });
  afterAll(() => model?.close());

  const chat = (question: string) =>
    vocab.tokenize(`<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`, { parseSpecial: true });

  it("apply to the steps that name them and leave the base model as it was", async () => {
    writeFileSync(join(folder, "lora.gguf"), loraFile(3));
    const adapter = await model.loadAdapter(join(folder, "lora.gguf"));
    const sampling = { logprobs: 0, maxTokens: 6 };
    const run = async (use: number) => {
      const driver = await EngineDriver.open(model, size, { adapter: use });
      const answer = await driver.generate(0, chat("What is the capital of Japan?"), sampling);
      driver.context.close();
      return answer;
    };
    const base = await run(-1);
    const adapted = await run(adapter);
    expect(adapted.logprobs).not.toEqual(base.logprobs);
    expect((await run(-1)).logprobs).toEqual(base.logprobs);
    expect((await run(adapter)).logprobs).toEqual(adapted.logprobs);
    const second = await model.loadAdapter(join(folder, "lora.gguf"));
    expect(second).not.toBe(adapter);
    model.unloadAdapter(adapter);
    expect(() => model.unloadAdapter(adapter)).toThrow("There is no adapter 0.");
    await expect(run(adapter)).rejects.toThrow("There is no adapter 0.");
    expect((await run(second)).logprobs).toEqual(adapted.logprobs);
    model.unloadAdapter(second);
  });

  it("are refused when they are no adapters", async () => {
    writeFileSync(join(folder, "cut.gguf"), loraFile(1).subarray(0, 600));
    const codeOf = (path: string) => model.loadAdapter(path).then(String, nativeErrorCode);
    expect(await codeOf(join(folder, "absent.gguf"))).toBe("FILE_MISSING");
    expect(await codeOf(join(folder, "cut.gguf"))).toBe("FILE_CORRUPT");
    expect(await codeOf(DEMO_MODEL)).toBe("FILE_CORRUPT");
  });

  it("embeds in batches, beside running requests", async () => {
    const driver = await EngineDriver.open(model, size);
    const { context } = driver;
    const sentences = [
      "The duck walks to the river.",
      "A duck goes to the river.",
      "Prefill computes key and value blocks.",
    ];
    const inputs = sentences.map((each) => vocab.tokenize(each));
    const running = driver.generate(0, chat("What is Stator?"), {});
    const [first, second, third] = await context.embed(inputs);
    expect((await running).tokens.length).toBeGreaterThan(5);
    const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    expect(first).toHaveLength(model.embedding);
    expect(dot(first!, first!)).toBeCloseTo(1, 4);
    expect(dot(first!, second!)).toBeGreaterThan(dot(first!, third!));
    const many = await context.embed(Array.from({ length: 100 }, (_, i) => inputs[i % 3]!));
    expect(many).toHaveLength(100);
    expect(dot(many[99]!, first!)).toBeCloseTo(1, 3);
    for (const pooling of ["last", "cls"] as const) {
      const [raw] = await context.embed([inputs[0]!], { pooling, normalize: false });
      expect(Math.sqrt(dot(raw!, raw!))).not.toBeCloseTo(1, 3);
    }
    const long = new Uint32Array(context.embedTokens).fill(400);
    expect(await context.embed([long, long])).toHaveLength(2);
    // A longer input opened the context anew; a short one after it, and one in its batch, is what it was.
    const [again, , between] = await context.embed([inputs[0]!, long, inputs[0]!]);
    expect([dot(again!, first!), dot(between!, first!)]).toEqual([expect.closeTo(1, 3), expect.closeTo(1, 3)]);
    for (const bad of [
      [],
      [new Uint32Array(0)],
      [Uint32Array.of(5000)],
      [new Uint32Array(context.embedTokens + 1)],
      [[1]],
    ]) {
      expect(() => context.embed(bad as never)).toThrow();
    }
    context.close();
  });
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_MODEL, EngineDriver, openNative } from "../../test/support/engine-driver.ts";
import { nativeErrorCode } from "./addon.ts";
import type { ContextOptions } from "./context.ts";
import type { Model, Vocab } from "./llama.ts";

const native = openNative();
const size: ContextOptions = { cellTokens: 1024, maxSequences: 4, maxBatchTokens: 256 };
const folder = mkdtempSync(join(tmpdir(), "stator-adapter-"));
afterAll(() => rmSync(folder, { recursive: true }));

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

/** A GGUF file with a LoRA of rank 1 on every query matrix of the demo model (256 × 256). */
function loraFile(scale: number): Buffer {
  const strings: [string, string][] = [
    ["general.type", "adapter"],
    ["general.architecture", "llama"],
    ["adapter.type", "lora"],
  ];
  const values = strings.map(([key, value]) => Buffer.concat([text(key), u32(8), text(value)]));
  values.push(Buffer.concat([text("adapter.lora.alpha"), u32(6), Buffer.from(Float32Array.of(1).buffer)]));
  const infos: Buffer[] = [];
  const data: Buffer[] = [];
  let offset = 0;
  for (let layer = 0; layer < 4; layer++) {
    for (const [half, shape] of [
      ["lora_a", [256, 1]],
      ["lora_b", [1, 256]],
    ] as const) {
      const name = `blk.${layer}.attn_q.weight.${half}`;
      infos.push(Buffer.concat([text(name), u32(2), u64(shape[0]), u64(shape[1]), u32(0), u64(offset)]));
      const numbers = Float32Array.from({ length: 256 }, (_, i) => scale * Math.sin(i * 0.7 + layer));
      data.push(Buffer.from(numbers.buffer));
      offset += 1024;
    }
  }
  const head = Buffer.concat([Buffer.from("GGUF"), u32(3), u64(infos.length), u64(values.length), ...values, ...infos]);
  return Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32), ...data]);
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

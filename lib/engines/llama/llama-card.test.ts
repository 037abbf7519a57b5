import { expect, test } from "vitest";
import type { Llama, LlamaDevice } from "#lib/native/llama";
import { parseGgufHeader } from "#lib/text/gguf";
import { u32Field, writeGguf } from "#lib/text/gguf-write";
import { isOnCuda, modelNameOf, quantizationOf } from "./llama-card.ts";

test("a model is named by its file, without ending and quantization", () => {
  expect(modelNameOf("/models/stator-demo-q8_0.gguf")).toBe("stator-demo");
  expect(modelNameOf("Llama-3.2-1B-Instruct-Q4_K_M.gguf")).toBe("Llama-3.2-1B-Instruct");
  expect(modelNameOf("tiny.F16.GGUF")).toBe("tiny");
  expect(modelNameOf("qwen2.gguf")).toBe("qwen2");
});

test("the quantization is what the name says, else what the content says", () => {
  const header = parseGgufHeader(writeGguf([u32Field("general.file_type", 15)]), "x");
  expect(quantizationOf("a-q8_0.gguf", header)).toBe("q8_0");
  expect(quantizationOf("a.gguf", header)).toBe("q4_k_m");
  expect(quantizationOf("a.gguf", parseGgufHeader(writeGguf([]), "x"))).toBe("unknown");
});

test("CUDA computes where one of its devices is there and layers are put on it", () => {
  const device = (name: string, kind: LlamaDevice["kind"]) => ({
    ...{ name, kind, description: "", memoryBytes: 0, freeBytes: 0 },
  });
  const llamaOf = (name: string): Llama => ({ devices: [device("CPU", "cpu"), device(name, "gpu")] }) as never;
  expect([isOnCuda(llamaOf("CUDA0"), -1), isOnCuda(llamaOf("CUDA1"), 4)]).toEqual([true, true]);
  expect([isOnCuda(llamaOf("CUDA0"), 0), isOnCuda(llamaOf("Vulkan0"), -1)]).toEqual([false, false]);
});

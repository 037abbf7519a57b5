import { expect, test } from "vitest";
import { parseGgufHeader } from "#lib/text/gguf";
import { u32Field, writeGguf } from "#lib/text/gguf-write";
import { modelNameOf, quantizationOf } from "./llama-card.ts";

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

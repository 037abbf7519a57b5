import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, it } from "vitest";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { DEMO_MODEL, openNative } from "../support/engine-driver.ts";
import { plainModel, quantizedModel, windowModel } from "../support/tiny-models.ts";
import { exactnessGate } from "./exactness.ts";

const native = openNative();
const folder = mkdtempSync(join(tmpdir(), "stator-exact-"));
const scale = Number(process.env.TEST_SCALE ?? 1);
/** Cells that the library makes of a sequence of 300 tokens. */
const SEQUENCE_CELLS = 512;

function gate(
  name: string,
  modelPath: string,
  sizes: { vocabularySize: number; prompts: number; threads?: number },
): void {
  const { vocabularySize, prompts, threads = 1 } = sizes;
  exactnessGate(name, {
    open: (sequences) => {
      const cacheTokens = sequences * SEQUENCE_CELLS;
      const shape = { contextTokens: 300, cacheTokens, threads, exact: true };
      return openLlama({ modelPath, clock: systemClock, log: silentLog, ...shape });
    },
    vocabularySize,
    prompts,
    promptTokens: 260,
  });
}

function write(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

if (native.reason === undefined) {
  afterAll(() => rmSync(folder, { recursive: true }));
  gate("the demo model", DEMO_MODEL, { vocabularySize: 2048, prompts: Math.min(500, 25 * scale) });
  // Random weights: no token is much likelier than the next, so that nothing hides a bit that differs.
  const random = { vocabularySize: 290, prompts: Math.min(200, 10 * scale) };
  gate("a plain model without margins", write("plain.gguf", plainModel()), random);
  gate("a model with sliding windows", write("window.gguf", windowModel()), random);
  gate("a model with K-quants", write("quantized.gguf", quantizedModel()), random);
} else {
  describe("exactness of llama", () => {
    it.skip(`is not built: ${native.reason}`, () => {});
  });
}

import { describe, it } from "vitest";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { openNative } from "../support/engine-driver.ts";
import { fetchRealModel, REAL_MODELS } from "../support/real-models.ts";
import { IS_LONG } from "../support/seeds.ts";
import { exactnessGate } from "./exactness.ts";

const native = openNative();
/** Cells that the library makes of a sequence of 300 tokens. */
const SEQUENCE_CELLS = 512;

if (IS_LONG && native.reason === undefined) {
  for (const model of REAL_MODELS) {
    const modelPath = fetchRealModel(model);
    exactnessGate(model.name, {
      open(sequences) {
        const shape = { contextTokens: 300, cacheTokens: sequences * SEQUENCE_CELLS, threads: 1, exact: true };
        return openLlama({ modelPath, clock: systemClock, log: silentLog, ...shape });
      },
      vocabularySize: 40_000,
      prompts: 10,
      promptTokens: 200,
    });
  }
} else {
  describe("exactness of real models", () => {
    it.skip(native.reason === undefined ? "npm run test:long tries it" : `is not built: ${native.reason}`, () => {});
  });
}

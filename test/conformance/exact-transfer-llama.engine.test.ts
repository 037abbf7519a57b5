import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, it } from "vitest";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { DEMO_MODEL, openNative } from "../support/engine-driver.ts";
import { gateAsks } from "../support/gate/asks.ts";
import { fetchRealModel, REAL_MODELS } from "../support/real-models.ts";
import { IS_LONG } from "../support/seeds.ts";
import { plainModel } from "../support/tiny-models.ts";
import { transferGate } from "./exact-transfer.ts";

const native = openNative();
const folder = mkdtempSync(join(tmpdir(), "stator-hand-over-"));
/** Cells that the library makes of a sequence of 300 tokens. */
const SEQUENCE_CELLS = 512;
const WIDTH = 8;

function gate(name: string, modelPath: string, mix: { vocabularySize: number; count: number }): void {
  const openWith = (sequences: number) => {
    const shape = { contextTokens: 300, cacheTokens: sequences * SEQUENCE_CELLS, threads: 1, exact: true };
    return openLlama({ modelPath, clock: systemClock, log: silentLog, ...shape });
  };
  transferGate(name, {
    open: () => openWith(2 * WIDTH),
    openSmall: () => openWith(WIDTH - 2),
    asks: gateAsks(5, { ...mix, promptTokens: 200, answerTokens: 8, adapters: [], topLogprobs: 20, grammars: true }),
    width: WIDTH,
    everyByteTells: false,
  });
}

if (native.reason === undefined) {
  afterAll(() => rmSync(folder, { recursive: true }));
  gate("the demo model", DEMO_MODEL, { vocabularySize: 2048, count: IS_LONG ? 2000 : 32 });
  // Random weights: no token is much likelier than the next, so that nothing hides a bit that differs.
  const plain = join(folder, "plain.gguf");
  writeFileSync(plain, plainModel());
  gate("a model without margins", plain, { vocabularySize: 290, count: IS_LONG ? 2000 : 24 });
  if (IS_LONG) {
    for (const model of REAL_MODELS) gate(model.name, fetchRealModel(model), { vocabularySize: 40_000, count: 24 });
  }
} else {
  describe("hand-overs of llama", () => {
    it.skip(`is not built: ${native.reason}`, () => {});
  });
}

import { describe, it } from "vitest";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { DEMO_MODEL, openNative } from "../support/engine-driver.ts";
import { engineConformance } from "./engine.ts";

const native = openNative();

function chat(text: string): string {
  return `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`;
}

if (native.reason === undefined) {
  engineConformance("llama", {
    open: (sizes = {}) => {
      // Sixteen sequences; of short ones four, so that memory is short.
      const cacheTokens = sizes.contextTokens === undefined ? 16 * 2304 : 4 * 512;
      return openLlama({ modelPath: DEMO_MODEL, clock: systemClock, log: silentLog, cacheTokens, ...sizes });
    },
    prompts: ["What is the capital of Japan?", "What is disaggregated serving?", "What is Stator?"].map(chat),
    longPrompt: chat("Tell me about the duck that walked to the river and looked for bread in the morning. ".repeat(6)),
  });
} else {
  describe("engine llama", () => {
    it.skip(`is not built: ${native.reason}`, () => {});
  });
}

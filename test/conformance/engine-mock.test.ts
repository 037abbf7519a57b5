import { fileURLToPath } from "node:url";
import { openMock } from "#lib/engines/mock/mock-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { engineConformance } from "./engine.ts";

const modelPath = fileURLToPath(new URL("../../models/stator-demo-q8_0.gguf", import.meta.url));

function chat(text: string): string {
  return `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`;
}

/** Steps that last, so that there is something to cancel. */
const timing = { kind: "linear", stepMs: 1, prefillTokenMs: 0, decodeSequenceMs: 0 } as const;

engineConformance("mock", {
  open: (sizes = {}) => {
    const blocks = sizes.contextTokens === undefined ? 1024 : sizes.contextTokens / 16;
    return openMock({ modelPath, clock: systemClock, log: silentLog, timing, blocks, ...sizes });
  },
  prompts: ["What is a fox?", "Who built this?", "Tell me about the sea."].map(chat),
  longPrompt: chat("The quick brown fox jumps over the lazy dog. ".repeat(12)),
});

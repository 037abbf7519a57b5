import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, it } from "vitest";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { DEMO_MODEL, openNative } from "../support/engine-driver.ts";
import { openEngineServer } from "../support/engine-server.ts";
import { loraFile } from "../support/lora-file.ts";
import { openEngineConformance } from "./openengine.ts";

const native = openNative();

function chat(text: string): string {
  return `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`;
}

if (native.reason === undefined) {
  const folder = mkdtempSync(join(tmpdir(), "stator-openengine-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const adapterPath = join(folder, "adapter.gguf");
  writeFileSync(adapterPath, loraFile(3));
  openEngineConformance("llama over gRPC", {
    prompt: chat("What is disaggregated serving?"),
    storyPrompt: chat("Tell me a story about a duck."),
    longPrompt: chat("Tell me about the duck that walked to the river and looked for bread in the morning. ".repeat(6)),
    adapterPath,
    async open() {
      const server = await openEngineServer(() =>
        openLlama({ modelPath: DEMO_MODEL, clock: systemClock, log: silentLog, cacheTokens: 16 * 2304 }),
      );
      const transport = new Channel(server.address, loopbackCredentials, systemClock);
      return {
        transport,
        close() {
          transport.close();
          return server.close();
        },
      };
    },
  });
} else {
  describe("openengine.v1 of llama", () => {
    it.skip(`is not built: ${native.reason}`, () => {});
  });
}

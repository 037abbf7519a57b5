import { fileURLToPath } from "node:url";
import { createMock, readMockModel } from "#lib/engines/mock/mock-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { gateAsks } from "../support/gate/asks.ts";
import { IS_LONG } from "../support/seeds.ts";
import { transferGate } from "./exact-transfer.ts";

const modelPath = fileURLToPath(new URL("../../models/stator-demo-q8_0.gguf", import.meta.url));
const model = await readMockModel(modelPath);
const timing = { kind: "linear", stepMs: 0, prefillTokenMs: 0, decodeSequenceMs: 0 } as const;

transferGate("the mock", {
  open: async () => createMock(model, { clock: systemClock, log: silentLog, timing }),
  openSmall: async () => createMock(model, { clock: systemClock, log: silentLog, timing, blocks: 256 }),
  asks: gateAsks(11, {
    count: IS_LONG ? 10_000 : 250,
    vocabularySize: 2048,
    promptTokens: 200,
    answerTokens: 16,
    adapters: ["one", "two"],
    topLogprobs: 3,
    grammars: true,
  }),
  width: 24,
  everyByteTells: true,
});

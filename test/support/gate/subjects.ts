import { fileURLToPath } from "node:url";
import { createMock, readMockModel } from "#lib/engines/mock/mock-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { loadNative } from "#lib/native/addon";
import { PLAIN_RUNGS } from "#lib/transfer/plain-mover";
import { RUNGS, type Rung } from "#lib/transfer/rung";
import { EngineClient } from "../../conformance/engine-rig.ts";
import { aggregated, askAll } from "./answers.ts";
import { gateAsks } from "./asks.ts";
import type { GateSubject } from "./gate.ts";

const DEMO_MODEL = fileURLToPath(new URL("../../../models/stator-demo-q8_0.gguf", import.meta.url));
const ADAPTERS = ["one", "two"];
const INSTANT = { kind: "linear", stepMs: 0, prefillTokenMs: 0, decodeSequenceMs: 0 } as const;

/** Ways that blocks can take here. */
export function hereRungs(): readonly Rung[] {
  return loadNative().addon ? RUNGS : PLAIN_RUNGS;
}

/** The mock, whose next token depends on every byte of its blocks. */
export async function mockSubject(count: number): Promise<Omit<GateSubject, "onProgress">> {
  const mix = { count, vocabularySize: 2048, promptTokens: 200, answerTokens: 16, adapters: ADAPTERS };
  const asks = gateAsks(14, { ...mix, topLogprobs: 3, grammars: true });
  const model = await readMockModel(DEMO_MODEL);
  const client = new EngineClient(createMock(model, { clock: systemClock, log: silentLog, timing: INSTANT }));
  for (const name of ADAPTERS) await client.engine.adapters!.load(name, `/${name}`);
  const wanted = await askAll(asks, 1, aggregated(client));
  await client.engine.close();
  const engines = { engine: { kind: "mock", blocks: 256 }, roomy: { kind: "mock", blocks: 16_384 } } as const;
  return { ...engines, adapters: ADAPTERS, asks, wanted, everyBitTells: true, width: 32, disturbances: 2 };
}

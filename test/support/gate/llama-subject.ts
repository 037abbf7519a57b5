import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { EngineClient } from "../../conformance/engine-rig.ts";
import { DEMO_MODEL } from "../engine-driver.ts";
import { loraFile } from "../lora-file.ts";
import { plainModel } from "../tiny-models.ts";
import { aggregated, askAll, differences, type Way } from "./answers.ts";
import { type GateAsk, gateAsks } from "./asks.ts";
import type { GateSubject } from "./gate.ts";
import { handedOver, newTally } from "./hand-over.ts";
import { forcedAsks } from "./noise.ts";
import type { EngineSpec } from "./worker-spec.ts";

/** A model whose bits depend on nothing but the request. */
export interface LlamaModel {
  readonly name: string;
  readonly path: string;
  /** Token ids are below it. */
  readonly vocabularySize: number;
  /** Folder with the adapters that it has. */
  readonly adapterFolder?: string;
}

const ADAPTERS = ["one", "two"];
const CONTEXT_TOKENS = 300;
/** Cells that the library makes of a sequence of so many tokens. */
const SEQUENCE_CELLS = 512;
const WIDTH = 8;

/** The demo model with two adapters, and one of random weights: no token is much likelier than the next there, so that nothing hides a bit that differs. */
export function smallModels(folder: string): [LlamaModel, LlamaModel] {
  mkdirSync(folder, { recursive: true });
  for (const [at, name] of ADAPTERS.entries()) writeFileSync(join(folder, `${name}.gguf`), loraFile(0.1 * (at + 1)));
  const path = join(folder, "plain.gguf");
  writeFileSync(path, plainModel());
  return [
    { name: "the demo model", path: DEMO_MODEL, vocabularySize: 2048, adapterFolder: folder },
    { name: "a model without margins", path, vocabularySize: 290 },
  ];
}

/** The same without exact mode: bits depend on the shapes of steps. Greedy, of what all can do. */
export async function inexactSubject(model: LlamaModel, count: number): Promise<Omit<GateSubject, "onProgress">> {
  const { path: modelPath, vocabularySize } = model;
  const mix = { count, vocabularySize, promptTokens: 200, answerTokens: 12, adapters: [] };
  const asks = forcedAsks(gateAsks(16, { ...mix, topLogprobs: 20, grammars: false }));
  const client = await openInexact(model);
  const wanted = await askAll(asks, 1, aggregated(client));
  await client.engine.close();
  const sized = { kind: "llama", modelPath, contextTokens: CONTEXT_TOKENS, exact: false } as const;
  const engine = { ...sized, cacheTokens: WIDTH * CONTEXT_TOKENS };
  return { engine, roomy: engine, adapters: [], asks, wanted, everyBitTells: false, width: WIDTH, disturbances: 0 };
}

/**
 * One after the other, of a model without exact mode: places of the answers that are others, to the bit, when their second
 * part goes on from blocks of another engine in place of the engine's own.
 */
export async function serialDifferences(model: LlamaModel, asks: readonly GateAsk[]): Promise<number[]> {
  const [from, to, local] = [await openInexact(model), await openInexact(model), await openInexact(model)];
  const tally = newTally();
  const cleared = (way: Way): Way => {
    return (ask, at) => {
      for (const { engine } of [from, to, local]) engine.cache!.clear();
      return way(ask, at);
    };
  };
  const found = await askAll(asks, 1, cleared(handedOver({ from, to }, tally)));
  const own = await askAll(asks, 1, cleared(handedOver({ from: local, to: local }, newTally())));
  for (const { engine } of [from, to, local]) await engine.close();
  if (tally.blocks === 0) throw new Error("no block was handed over");
  return differences(found, own);
}

async function openInexact({ path: modelPath }: LlamaModel): Promise<EngineClient> {
  const shape = { contextTokens: CONTEXT_TOKENS, cacheTokens: 4 * CONTEXT_TOKENS, threads: 1, exact: false };
  return new EngineClient(await openLlama({ modelPath, ...shape, clock: systemClock, log: silentLog }));
}

/** A model of the embedded engine in exact mode, with the log-probabilities of the twenty likeliest tokens. */
export async function llamaSubject(model: LlamaModel, count: number): Promise<Omit<GateSubject, "onProgress">> {
  const { path: modelPath, vocabularySize, adapterFolder } = model;
  const adapters = adapterFolder === undefined ? [] : ADAPTERS;
  const mix = { count, vocabularySize, promptTokens: 200, answerTokens: 12, adapters };
  const asks = gateAsks(15, { ...mix, topLogprobs: 20, grammars: true });
  const specOf = (sequences: number): EngineSpec => ({
    ...{ kind: "llama", modelPath, contextTokens: CONTEXT_TOKENS, exact: true },
    cacheTokens: sequences * SEQUENCE_CELLS,
    ...(adapterFolder !== undefined && { adapterFolder }),
  });
  const alone = { modelPath, contextTokens: CONTEXT_TOKENS, cacheTokens: 4 * SEQUENCE_CELLS, threads: 1, exact: true };
  const client = new EngineClient(await openLlama({ ...alone, clock: systemClock, log: silentLog }));
  for (const name of adapters) await client.engine.adapters!.load(name, join(adapterFolder!, `${name}.gguf`));
  const wanted = await askAll(asks, 1, aggregated(client));
  await client.engine.close();
  return {
    engine: specOf(WIDTH - 2),
    roomy: specOf(2 * WIDTH),
    adapters,
    asks,
    wanted,
    everyBitTells: false,
    width: WIDTH,
    disturbances: 1,
  };
}

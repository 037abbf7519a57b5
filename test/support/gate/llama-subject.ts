import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { loadNative } from "#lib/native/addon";
import { openNativeMover } from "#lib/native/transfer";
import { PinnedStaging } from "#lib/transfer/pinned-staging";
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

/** The same without exact mode: bits depend on the shapes of steps. Greedy, of what all can do; a GPU computes where there is one. */
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

/** What serial answers were, and what computed them. */
export interface SerialRun {
  /** Places of the answers that are others, to the bit. */
  readonly differing: readonly number[];
  /** As the engine tells it, such as CPU (no back end for one is installed). */
  readonly device: string;
  /** Whether all blocks passed through memory that the CUDA driver has pinned. */
  readonly isPinned: boolean;
}

/**
 * One after the other, of a model without exact mode, on the GPU where there is one: the second part of each answer goes on
 * from blocks of another engine, and once more from the engine's own.
 */
export async function serialRun(model: LlamaModel, asks: readonly GateAsk[]): Promise<SerialRun> {
  const [from, to, local] = [await openInexact(model), await openInexact(model), await openInexact(model)];
  const memory = await pinned([from, to, local]);
  const tally = newTally();
  const cleared = (way: Way): Way => {
    return (ask, at) => {
      for (const { engine } of [from, to, local]) engine.cache!.clear();
      return way(ask, at);
    };
  };
  const found = await askAll(asks, 1, cleared(handedOver({ from, to }, tally)));
  const own = await askAll(asks, 1, cleared(handedOver({ from: local, to: local }, newTally())));
  await memory.close();
  const device = deviceOf(from);
  for (const { engine } of [from, to, local]) await engine.close();
  if (tally.blocks === 0) throw new Error("no block was handed over");
  return { differing: differences(found, own), device, isPinned: memory.isPinned };
}

function deviceOf({ engine: { card } }: EngineClient): string {
  const { value, by } = card.facts.find(({ what }) => what === "device")!;
  return by === undefined ? value : `${value} (${by})`;
}

/** Blocks pass through pinned memory where CUDA computes, as they do in a worker. */
async function pinned(clients: readonly EngineClient[]): Promise<{ isPinned: boolean; close(): Promise<void> }> {
  const mover = openNativeMover(loadNative().addon!);
  const pinner = { pin: (region: object) => mover.pin(region, "libcuda.so.1") };
  const deps = { mover, pinner, log: silentLog, metrics: noMetrics };
  const stagings = clients.map(({ engine }) => PinnedStaging.open("auto", engine.blocks!.staging, deps));
  const opened = await Promise.all(stagings.map(async (each) => each?.opened ?? false));
  return {
    isPinned: opened.every((each) => each),
    async close() {
      for (const each of stagings) await each?.close();
      mover.close();
    },
  };
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
  const client = new EngineClient(await openLlama({ ...alone, gpuLayers: 0, clock: systemClock, log: silentLog }));
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

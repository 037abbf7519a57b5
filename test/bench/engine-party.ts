import type { EngineFinish, EngineStep, SizedEngine, StepMetrics } from "#lib/engines/engine";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { loadNative } from "#lib/native/addon";
import { GREEDY } from "#lib/tokens/sampling";
import type { TransferAgent } from "#lib/transfer/agent";
import type { BlockStore } from "#lib/transfer/block-store";
import { DEMO_MODEL } from "../support/engine-driver.ts";
import { openParty } from "./transfer-party.ts";

/** What came of a request. */
export interface Drawn {
  readonly tokens: number[];
  readonly finish: EngineFinish;
}

/** A step as it was heard of. */
export interface HeardStep extends StepMetrics {
  readonly atMs: number;
}

/** Asks an engine for greedy answers of a length, and keeps what its steps tell. */
export class EngineUser {
  readonly steps: HeardStep[] = [];
  readonly #engine: SizedEngine;
  readonly #open = new Map<number, { readonly tokens: number[]; readonly done: (drawn: Drawn) => void }>();
  #ids = 0;

  constructor(engine: SizedEngine) {
    this.#engine = engine;
    const onFailure = (error: Error) => {
      throw error;
    };
    engine.listen({ onStep: (step) => this.#take(step), onKv() {}, onFailure });
  }

  /** Exactly so many tokens behind a prompt. */
  ask(promptTokens: Uint32Array, maxTokens: number): Promise<Drawn> {
    const id = ++this.#ids;
    const stopping = { maxTokens, minTokens: 0, ignoreEos: true, stopTokens: new Uint32Array() };
    this.#engine.submit({
      ...{ kind: "generate", id, promptTokens, stopping, sampling: GREEDY, generatedTokens: new Uint32Array() },
      ...{ choice: 0, guidance: undefined, topLogprobs: undefined, promptLogprobs: false, adapter: undefined },
      ...{ cacheSalt: "", priority: 0 },
    });
    return new Promise((done) => {
      this.#open.set(id, { tokens: [], done });
    });
  }

  #take(step: EngineStep): void {
    this.steps.push({ ...step.metrics, atMs: performance.now() });
    let offset = 0;
    for (const [at, id] of step.ids.entries()) {
      const count = step.counts?.[at] ?? 1;
      this.#open.get(id)?.tokens.push(...step.tokens.subarray(offset, offset + count));
      offset += count;
    }
    for (const finish of step.finishes) {
      const { tokens, done } = this.#open.get(finish.id)!;
      this.#open.delete(finish.id);
      done({ tokens, finish: { ...finish } });
    }
  }
}

/** The demo model in this process, and an agent before its blocks. */
export interface EngineParty {
  readonly user: EngineUser;
  readonly agent: TransferAgent;
}

/** Opens the engine as one of two workers does, with room for long prompts. `wrap` may put something before its blocks. */
export async function openEngineParty(
  number: bigint,
  wrap: (store: BlockStore) => BlockStore = (store) => store,
): Promise<EngineParty> {
  const shape = { workers: 2, contextTokens: 2048, maxRunning: 16 };
  const engine = await openLlama({ modelPath: DEMO_MODEL, clock: systemClock, log: silentLog, ...shape });
  const { layout } = engine.card;
  if (!engine.blocks || !layout) throw new Error("Blocks of the demo model cannot be moved");
  const blocks = { store: wrap(engine.blocks), total: engine.card.totalBlocks, layout };
  const agent = await openParty(loadNative().addon!, blocks, { number });
  return { user: new EngineUser(engine), agent };
}

/** What a part of the numbers is below; 0.99 of few is their largest. */
export function quantile(numbers: readonly number[], part: number): number {
  const sorted = numbers.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** What exports and imports add to steps that compute at p99, as a share. All by the engine thread's clock. */
export function addedAtP99(steps: readonly StepMetrics[]): number {
  const computing = steps.filter(({ prefillTokens, decodeSequences }) => prefillTokens + decodeSequences > 0);
  const alone = computing.map(({ durationUs }) => durationUs);
  const all = computing.map(({ durationUs, exportUs, importUs }) => durationUs + exportUs + importUs);
  return quantile(all, 0.99) / quantile(alone, 0.99) - 1;
}

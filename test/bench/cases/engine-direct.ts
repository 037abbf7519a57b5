// The addon driven directly: what an engine with a scheduler, a link and a front door is compared with.
//   node test/bench/cases/engine-direct.ts [STREAMS] [PROMPT_TOKENS] [OUTPUT_TOKENS] [ROUNDS]
import { fileURLToPath } from "node:url";
import type { Sampling } from "#lib/native/context";
import { DEMO_MODEL, EngineDriver, openNative } from "../../support/engine-driver.ts";

/** The load of one measurement. */
export interface DirectLoad {
  /** Requests at once. Default 16. */
  readonly streams?: number;
  /** Default 128. */
  readonly promptTokens?: number;
  /** Every request draws exactly this many. Default 64. */
  readonly outputTokens?: number;
  /** Requests of each stream that are measured, after one that is not. Default 8. */
  readonly rounds?: number;
  /** Default greedy. */
  readonly sampling?: Sampling;
  /** The prompts; default prompts of `promptTokens` that share nothing. */
  readonly promptOf?: (stream: number, round: number) => Uint32Array;
  /** Tokens that a request draws, at most `outputTokens`; default all of them. */
  readonly outputTokensOf?: (stream: number, round: number) => number;
  /** A GGUF file; default the demo model. */
  readonly model?: string;
}

/** Totals of one measurement; prompts are not counted as tokens, but their work is in the time. */
export interface DirectFigure {
  readonly tokens: number;
  readonly cpuSeconds: number;
  readonly tokensPerCpuSecond: number;
  readonly steps: number;
  /** Median of the engine thread's time per step. */
  readonly stepUs: number;
}

/** Prompts without a common prefix, so that nothing could be cached. */
function promptOf(stream: number, round: number, length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, i) => 300 + ((i * 31 + stream * 7919 + round * 104_729) % 1700));
}

/**
 * Tokens per second of CPU time of this process. Every stream sends its next request as soon as it has an answer.
 * Throws the reason when there is no addon.
 */
export async function measureEngineDirect(load: DirectLoad = {}): Promise<DirectFigure> {
  const { streams = 16, promptTokens = 128, outputTokens = 64, rounds = 8 } = load;
  const native = openNative();
  if (native.reason !== undefined) throw new Error(native.reason);
  const model = await native.llama.loadModel(load.model ?? DEMO_MODEL);
  const cellTokens = Math.max(4096, streams * (promptTokens + outputTokens));
  const driver = await EngineDriver.open(model, { cellTokens, maxSequences: streams, maxBatchTokens: 512 });
  const samplingOf = (slot: number, round: number): Sampling => ({
    ...load.sampling,
    maxTokens: load.outputTokensOf?.(slot, round) ?? outputTokens,
    ignoreEos: true,
  });
  let tokens = 0;
  const stream = async (slot: number, first: number, last: number) => {
    for (let round = first; round <= last; round++) {
      driver.clear(slot);
      const prompt = load.promptOf?.(slot, round) ?? promptOf(slot, round, promptTokens);
      const answer = await driver.generate(slot, prompt, samplingOf(slot, round));
      tokens += answer.tokens.length;
    }
  };
  const all = (first: number, last: number) =>
    Promise.all(Array.from({ length: streams }, (_, slot) => stream(slot, first, last)));
  await all(0, 0);
  tokens = 0;
  driver.results.length = 0;
  const before = process.cpuUsage();
  await all(1, rounds);
  const used = process.cpuUsage(before);
  const cpuSeconds = (used.user + used.system) / 1e6;
  const times = driver.results.map((result) => result.durationUs).sort((a, b) => a - b);
  driver.context.close();
  model.close();
  const stepUs = times[times.length >> 1] ?? Number.NaN;
  return { tokens, cpuSeconds, tokensPerCpuSecond: tokens / cpuSeconds, steps: times.length, stepUs };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [streams, promptTokens, outputTokens, rounds] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await measureEngineDirect({ streams, promptTokens, outputTokens, rounds })));
}

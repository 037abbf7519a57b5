// The llama engine in a process of its own, exact or not.
//   node exact-engine.ts MODEL exact|plain; then an ExactQuestion by IPC; answers with an ExactAnswer

import type { EngineStep, GenerateRequest, SizedEngine } from "#lib/engines/engine";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { GREEDY } from "#lib/tokens/sampling";
import { residentMbOf } from "../cluster.ts";
import { cpuUs } from "../harness.ts";

/** What the engine is to run. */
export interface ExactQuestion {
  /** Requests at once. */
  readonly streams: number;
  readonly promptTokens: number;
  /** Of each request. */
  readonly outputTokens: number;
}

/** What it took. */
export interface ExactAnswer {
  /** Microseconds of CPU time from the first step of all requests to the first end of one, per token said meanwhile. */
  readonly decodeUs: number;
  /** Microseconds of CPU time until every request had its first token, per token of the prompts. */
  readonly prefillUs: number;
  readonly residentMb: number;
  readonly contextTokens: number;
}

/** Room for the longest prompt of the case and its answer, in either mode. */
const CONTEXT_TOKENS = 4_352;
const STREAMS = 16;
/** Cells that the library makes of a context. */
const SEQUENCE_CELLS = 4_608;

const [modelPath = "", mode] = process.argv.slice(2);
/** Every request has its longest context in either mode, so that none waits for another. */
const cacheTokens = STREAMS * SEQUENCE_CELLS;
const sizes = { contextTokens: CONTEXT_TOKENS, cacheTokens, maxRunning: STREAMS };
const options = { modelPath, clock: systemClock, log: silentLog, ...sizes };
/** A commit from before the option does not look at it. */
const engine: SizedEngine = await openLlama({ ...options, ...{ exact: mode === "exact" } });
let lastId = 0;
let onStep: (step: EngineStep) => void = () => {};
engine.listen({
  onStep: (step) => onStep(step),
  onKv() {},
  onFailure(error) {
    throw error;
  },
});

/** A request for tokens that nobody has seen: no cache helps, and every prompt is another. */
function requestOf({ promptTokens, outputTokens }: ExactQuestion): GenerateRequest {
  const id = ++lastId;
  return {
    kind: "generate",
    id,
    promptTokens: Uint32Array.from({ length: promptTokens }, (_, at) => 300 + ((at * 31 + id * 7_919) % 1_500)),
    generatedTokens: new Uint32Array(),
    choice: 0,
    sampling: GREEDY,
    stopping: { maxTokens: outputTokens, minTokens: 0, ignoreEos: true, stopTokens: new Uint32Array() },
    guidance: undefined,
    topLogprobs: undefined,
    promptLogprobs: false,
    adapter: undefined,
    cacheSalt: String(id),
    priority: 0,
  };
}

function run(question: ExactQuestion): Promise<ExactAnswer> {
  const { streams, promptTokens } = question;
  const { promise, resolve, reject } = Promise.withResolvers<ExactAnswer>();
  const started = new Set<number>();
  const startUs = cpuUs();
  let allStarted: { readonly us: number; tokens: number } | undefined;
  let decodeUs = Number.NaN;
  let prefillUs = Number.NaN;
  let ended = 0;
  onStep = ({ ids, tokens, finishes }) => {
    if (allStarted) allStarted.tokens += tokens.length;
    for (const id of ids) started.add(id);
    if (!allStarted && started.size === streams) {
      allStarted = { us: cpuUs(), tokens: 0 };
      prefillUs = (allStarted.us - startUs) / (streams * promptTokens);
    }
    for (const { error } of finishes) if (error) reject(error);
    if (ended === 0 && finishes.length > 0 && allStarted) decodeUs = (cpuUs() - allStarted.us) / allStarted.tokens;
    ended += finishes.length;
    if (ended < streams) return;
    const { contextTokens } = engine.card;
    resolve({ decodeUs, prefillUs, residentMb: residentMbOf(process.pid).now, contextTokens });
  };
  for (let stream = 0; stream < streams; stream++) engine.submit(requestOf(question));
  return promise;
}

process.on("message", (question: ExactQuestion) => {
  run(question).then(
    (answer) => process.send?.(answer),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit());
process.send?.({});

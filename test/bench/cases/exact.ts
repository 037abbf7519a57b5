// What exactness costs: the llama engine with it and without it, in turn, in processes of their own. A commit that does not
// know the option runs plainly on both sides.
//   [BENCH_MODEL=FILE] node test/bench/cases/exact.ts [NAME_PART]
import { existsSync } from "node:fs";
import { openNative } from "../../support/engine-driver.ts";
import { randomModelFile } from "../cache.ts";
import { median, medianFigures, Program, runCases, startsOf, volume } from "../harness.ts";
import type { ExactAnswer, ExactQuestion } from "./exact-engine.ts";

const DECODE: ExactQuestion = { streams: 16, promptTokens: 32, outputTokens: volume(64, 12) };
const SHORT: ExactQuestion = { streams: 1, promptTokens: volume(1_000, 100), outputTokens: 1 };
const LONG: ExactQuestion = { streams: 1, promptTokens: volume(4_000, 200), outputTokens: 1 };
const ROUNDS = volume(2, 1);

const MODES = ["exact", "plain"] as const;
type Sides<Value> = Record<(typeof MODES)[number], Value>;

/** One question to both sides in turn: the middle answers of each. */
async function askBoth(programs: Sides<Program>, question: ExactQuestion, pick: (answer: ExactAnswer) => number) {
  const answers: Sides<number[]> = { exact: [], plain: [] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const mode of round % 2 === 0 ? MODES : MODES.toReversed()) {
      answers[mode].push(pick(await programs[mode].ask<ExactAnswer>(question)));
    }
  }
  // Tokens per second of CPU time.
  return { exact: 1e6 / median(answers.exact), plain: 1e6 / median(answers.plain) };
}

async function once(model: string): Promise<Record<string, number>> {
  const [exact, plain] = MODES.map((mode) => new Program("exact-engine.ts", model, mode)) as [Program, Program];
  const programs = { exact, plain };
  try {
    for (const mode of MODES) await programs[mode].heard();
    for (const mode of MODES) await programs[mode].ask({ ...DECODE, outputTokens: 4 });
    const decode = await askBoth(programs, DECODE, ({ decodeUs }) => decodeUs);
    const short = await askBoth(programs, SHORT, ({ prefillUs }) => prefillUs);
    const long = await askBoth(programs, LONG, ({ prefillUs }) => prefillUs);
    const sizes = { exact: await exact.ask<ExactAnswer>(SHORT), plain: await plain.ask<ExactAnswer>(SHORT) };
    return {
      ...{ decode: decode.exact / decode.plain, exactDecode: decode.exact, plainDecode: decode.plain },
      ...{ prefill1000: short.exact / short.plain, exactPrefill1000: short.exact, plainPrefill1000: short.plain },
      ...{ prefill4000: long.exact / long.plain, exactPrefill4000: long.exact, plainPrefill4000: long.plain },
      ...{ exactMb: sizes.exact.residentMb, plainMb: sizes.plain.residentMb },
      ...{ exactContext: sizes.exact.contextTokens, plainContext: sizes.plain.contextTokens },
    };
  } finally {
    for (const mode of MODES) programs[mode].end();
  }
}

async function compare(model: string): Promise<object> {
  const native = openNative();
  if (native.reason !== undefined) return { skipped: native.reason };
  const starts = [];
  for (let start = 0; start < startsOf(2); start++) starts.push(await once(model));
  return medianFigures(starts);
}

async function givenModel(): Promise<object> {
  const model = process.env.BENCH_MODEL;
  if (!model) return { skipped: "BENCH_MODEL names no file" };
  if (!existsSync(model)) throw new Error(`There is no file ${model}`);
  return compare(model);
}

await runCases({
  "exact/random-q8_0": () => compare(randomModelFile("q8_0")),
  "exact/random-q4_k": () => compare(randomModelFile("q4_k")),
  "exact/given-model": givenModel,
});

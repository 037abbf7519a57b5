// Long prompts beside answers that are being written: the whole program with two workers of the demo model that do both,
// beside one that computes prompts and one that goes on from them. Requests come at times of their own, the same for both.
//   node test/bench/cases/handoff-cluster.ts [NAME_PART]
import { openNative } from "../../support/engine-driver.ts";
import { type Cluster, HttpCaller, metricOf, startCluster } from "../cluster.ts";
import { quantile } from "../engine-party.ts";
import { median, runCases, sleep, volume } from "../harness.ts";
import { TextWriter } from "../text.ts";

/** A request: words of its prompt, tokens of its answer. */
interface Shape {
  readonly words: number;
  readonly tokens: number;
}

/** Some 1,300 tokens of prompt. */
const LONG: Shape = { words: 110, tokens: 4 };
const SHORT: Shape = { words: 8, tokens: 300 };
/** Short answers that are being written at once, about, and the part of one worker's time that long prompts take. */
const RUNNING = 3;
const LONG_SHARE = 0.5;
const SECONDS = volume(12, 2);
const TURNS = volume(5, 1);

let seeds = 0;

/** Sends one. Returns the milliseconds between the pieces of its answer. */
async function ask(caller: HttpCaller, { words, tokens }: Shape): Promise<number[]> {
  const gaps: number[] = [];
  let lastMs = 0;
  const content = new TextWriter(++seeds).words(words);
  const fields = { model: "stator-demo", max_tokens: tokens, temperature: 0, ignore_eos: true, stream: true };
  await caller.post("/v1/chat/completions", { ...fields, messages: [{ role: "user", content }] }, () => {
    const ms = performance.now();
    if (lastMs > 0) gaps.push(ms - lastMs);
    lastMs = ms;
  });
  return gaps;
}

/** Milliseconds from one request to the next of a kind. */
interface Load {
  readonly longMs: number;
  readonly shortMs: number;
}

/** What this machine has to give just now, by one cluster alone. */
async function measureLoad(caller: HttpCaller): Promise<Load> {
  const took = async (shape: Shape): Promise<number> => {
    const all: number[] = [];
    for (let at = 0; at < volume(5, 1); at++) {
      const startMs = performance.now();
      await ask(caller, shape);
      all.push(performance.now() - startMs);
    }
    return median(all);
  };
  return { longMs: (await took(LONG)) / LONG_SHARE, shortMs: (await took(SHORT)) / RUNNING };
}

/** All gaps of the short answers of one turn. */
async function turn(caller: HttpCaller, { longMs, shortMs }: Load): Promise<number[]> {
  const endMs = performance.now() + SECONDS * 1000;
  const arrivals = async (shape: Shape, everyMs: number): Promise<number[]> => {
    const answers: Promise<number[]>[] = [];
    for (let at = performance.now(); at < endMs; at += everyMs) {
      await sleep(Math.max(0, at - performance.now()));
      answers.push(ask(caller, shape));
    }
    return (await Promise.all(answers)).flat();
  };
  const [gaps] = await Promise.all([arrivals(SHORT, shortMs), arrivals(LONG, longMs)]);
  return gaps!;
}

async function longPrompts(): Promise<object> {
  const native = openNative();
  if (native.reason !== undefined) return { skipped: native.reason };
  const clusters: Cluster[] = [];
  try {
    clusters.push(await startCluster(["--engine", "llama", "--workers", "2"]));
    clusters.push(await startCluster(["--engine", "llama", "--prefill", "1", "--decode", "1"]));
    const callers = clusters.map(({ port }) => new HttpCaller(port, 256));
    for (const caller of callers) await measureLoad(caller);
    const ratios = { p50: [] as number[], p99: [] as number[] };
    const together: number[] = [];
    const apart: number[] = [];
    for (let at = 0; at < TURNS; at++) {
      const load = await measureLoad(callers[0]!);
      const one = await turn(callers[0]!, load);
      const two = await turn(callers[1]!, load);
      ratios.p50.push(quantile(two, 0.5) / quantile(one, 0.5));
      ratios.p99.push(quantile(two, 0.99) / quantile(one, 0.99));
      together.push(...one);
      apart.push(...two);
    }
    return {
      itlP99Ratio: median(ratios.p99),
      itlP50Ratio: median(ratios.p50),
      togetherP99Ms: quantile(together, 0.99),
      apartP99Ms: quantile(apart, 0.99),
      handOffs: await metricOf(clusters[1]!.port, 'stator_routing_legs_total\\{leg="decode"\\}'),
    };
  } finally {
    for (const cluster of clusters) await cluster.close();
  }
}

await runCases({ "handoff/long-prompts": longPrompts });
process.exit(0);

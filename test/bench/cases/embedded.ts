// Tokens per CPU second of worker plus frontend, against the addon driven directly: the same prompts, the same lengths,
// in one run and in turn. The client's own time is not counted.
//   node test/bench/cases/embedded.ts [NAME_PART] [TURNS]
import { readFileSync } from "node:fs";
import { systemClock } from "#lib/host/system-clock";
import { parseGgufHeader } from "#lib/text/gguf";
import { compileTemplate } from "#lib/text/template";
import { chatTemplateOf } from "#lib/text/vocabulary";
import { DEMO_MODEL, openNative } from "../../support/engine-driver.ts";
import { type Cluster, cpuSecondsOf, HttpCaller, startCluster, threadSecondsOf } from "../cluster.ts";
import { median, Program, runCases, volume } from "../harness.ts";
import { TextWriter } from "../text.ts";
import type { DirectFigure } from "./engine-direct.ts";

const STREAMS = 16;
/**
 * Answers have from 64 to 128 tokens. With one length for all, the direct run goes in lockstep, which no service does: rows
 * of the KV cache then lie so regularly that the same attention costs less.
 */
const OUTPUT_TOKENS = { least: 64, most: 128 };
/** Requests of each stream in one turn, after one that is not measured: short turns see the same machine. */
const ROUNDS = volume(4, 1);
/** Turns that are not counted: V8 compiles a function well only after it ran some thousand times, once per step. */
const WARM_TURNS = volume(6, 1);
const turnCount = Number(process.argv[3] ?? volume(15, 1));

/** How long an answer is, the same on both sides. */
function outputTokens(stream: number, round: number): number {
  return OUTPUT_TOKENS.least + ((stream * 37 + round * 53) % (OUTPUT_TOKENS.most - OUTPUT_TOKENS.least + 1));
}

/** A chat of one message of words that nobody has seen; `run` keeps the runs of a cluster apart. */
function question(stream: number, round: number, run: number): string {
  return new TextWriter((run * (ROUNDS + 1) + round) * STREAMS + stream).words(8);
}

/** The same prompts as token ids, as the worker's engine gets them. */
async function promptIds(run: number): Promise<number[][][]> {
  const native = openNative();
  if (native.reason !== undefined) throw new Error(native.reason);
  const template = compileTemplate(
    chatTemplateOf(parseGgufHeader(readFileSync(DEMO_MODEL), "the demo model")) ?? "",
    systemClock,
  );
  const model = await native.llama.loadModel(DEMO_MODEL);
  const vocab = model.vocab();
  const ids = Array.from({ length: STREAMS }, (_, stream) =>
    Array.from({ length: ROUNDS + 1 }, (_, round) => {
      const prompt = template.render([{ role: "user", content: question(stream, round, run) }]).text;
      return [...vocab.tokenize(prompt, { parseSpecial: true })];
    }),
  );
  model.close();
  return ids;
}

/** The addon alone, in a process of its own. */
async function direct(program: Program, run: number): Promise<DirectFigure> {
  const prompts = await promptIds(run);
  return program.ask<DirectFigure>({
    prompts,
    outputTokens: prompts.map((rounds, stream) => rounds.map((_, round) => outputTokens(stream, round))),
  });
}

async function ask(caller: HttpCaller, content: string, maxTokens: number): Promise<number> {
  const answer = await caller.post("/v1/chat/completions", {
    model: "stator-demo",
    messages: [{ role: "user", content }],
    max_tokens: maxTokens,
    temperature: 0,
    ignore_eos: true,
    stream: true,
    stream_options: { include_usage: true },
  });
  return Number(answer.match(/"completion_tokens":(\d+)/)?.[1]);
}

/** The whole program under the same load. */
async function served(cluster: Cluster, run: number) {
  const caller = new HttpCaller(cluster.port, STREAMS);
  const pids = [...cluster.workerPids, cluster.frontendPid];
  const stream = async (at: number, first: number, last: number): Promise<number> => {
    let tokens = 0;
    for (let round = first; round <= last; round++) {
      tokens += await ask(caller, question(at, round, run), outputTokens(at, round));
    }
    return tokens;
  };
  const all = async (first: number, last: number): Promise<number> => {
    const counts = await Promise.all(Array.from({ length: STREAMS }, (_, at) => stream(at, first, last)));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  await all(0, 0);
  const before = pids.map(cpuSecondsOf);
  const tokens = await all(1, ROUNDS);
  const used = pids.map((pid, at) => cpuSecondsOf(pid) - (before[at] ?? 0));
  caller.close();
  const frontendSeconds = used.pop() ?? Number.NaN;
  const workerSeconds = used.reduce((sum, seconds) => sum + seconds, 0);
  return {
    tokens,
    workerUs: (workerSeconds / tokens) * 1e6,
    frontendUs: (frontendSeconds / tokens) * 1e6,
    tokensPerCpuSecond: tokens / (workerSeconds + frontendSeconds),
  };
}

async function sixteenStreams(): Promise<object> {
  const program = new Program("embedded-direct.ts");
  await program.heard();
  const cluster = await startCluster(["--engine", "llama", "--workers", "1"]);
  try {
    const turns = [];
    for (let run = 0; run < WARM_TURNS; run++) await served(cluster, run);
    await direct(program, 0);
    for (let run = WARM_TURNS; run < WARM_TURNS + turnCount; run++) {
      const ours = await served(cluster, run);
      const theirs = await direct(program, run);
      turns.push({ ours, theirs, ratio: ours.tokensPerCpuSecond / theirs.tokensPerCpuSecond });
    }
    const ratios = turns.map((turn) => turn.ratio).sort((left, right) => left - right);
    const quartile = (part: number) => ratios[Math.floor(ratios.length * part)];
    return {
      ratio: median(ratios),
      quartiles: [quartile(0.25), quartile(0.75)],
      workerUs: median(turns.map((turn) => turn.ours.workerUs)),
      frontendUs: median(turns.map((turn) => turn.ours.frontendUs)),
      directUs: median(turns.map((turn) => 1e6 / turn.theirs.tokensPerCpuSecond)),
      threads: { worker: threadSecondsOf(cluster.workerPids[0] ?? 0), frontend: threadSecondsOf(cluster.frontendPid) },
    };
  } finally {
    program.end();
    await cluster.close();
  }
}

await runCases({ "embedded/16-streams": sixteenStreams });

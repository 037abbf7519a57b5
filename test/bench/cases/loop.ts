// Whether one request can hold everybody up: 64 streams in a process of their own, alone and beside each of the worst
// inputs, and the longest time between two pieces of one answer.
//   node test/bench/cases/loop.ts [NAME_PART] [INPUT_PART]
import { request } from "node:http";
import { vocabularyFile } from "../cache.ts";
import { startCluster } from "../cluster.ts";
import { median, Program, runCases, sleep, startsOf, volume } from "../harness.ts";
import { type WorstInput, worstInputs } from "../worst-inputs.ts";
import type { HttpCount, HttpLoad } from "./http-client.ts";

const MODEL = "bench";
const STREAMS = 64;
/** Sent one after the other; the longest gap over all of them counts. */
const TIMES = volume(3, 1);
const ALONE_MS = volume(10_000, 1_000);
const ANSWER_TIMEOUT_MS = volume(60_000, 20_000);

const named = worstInputs(MODEL).filter(({ name }) => name.includes(process.argv[3] ?? ""));
const wanted = named.filter((_, at) => at % volume(1, 8) === 0);

/** Sends an input. Resolves with the status, or with what became of the connection. */
function send(port: number, { path, headers }: WorstInput, body: string): Promise<string> {
  const about = { "content-type": "application/json", "content-length": Buffer.byteLength(body), ...headers };
  return new Promise((resolve) => {
    const sent = request(
      { host: "127.0.0.1", port, path, method: "POST", headers: about, agent: false },
      (response) => {
        response.resume();
        response.on("close", () => resolve(String(response.statusCode)));
      },
    );
    sent.setTimeout(ANSWER_TIMEOUT_MS, () => sent.destroy(new Error("no answer in time")));
    sent.on("error", (error) => resolve(error.message));
    sent.end(body);
  });
}

/** Longest gap and refusals since the last time that they were asked for, once the frontend answers again. */
async function look(client: Program, port: number): Promise<HttpCount> {
  const answer = await fetch(`http://127.0.0.1:${port}/live`).catch(() => undefined);
  await answer?.arrayBuffer();
  // A gap is known when it has ended.
  await sleep(300);
  return client.ask<HttpCount>({});
}

interface Beside {
  readonly name: string;
  /** The longest gap. */
  readonly ms: number;
  /** New streams that were refused meanwhile. */
  readonly refusals: number;
  /** What became of the input. */
  readonly status: string;
}

interface Start {
  readonly aloneMs: number;
  readonly beside: readonly Beside[];
}

async function once(start: number): Promise<Start> {
  const model = ["--model", vocabularyFile("32k"), "--model-name", MODEL, "--engine", "mock", "--workers", "4"];
  const cluster = await startCluster([...model, "--mock-total-blocks", "262144"]);
  const client = new Program("http-client.ts", start);
  try {
    await client.heard();
    const fields = { model: MODEL, stream: true, max_tokens: 3_000, ignore_eos: true };
    const load = { path: "/v1/chat/completions", words: 30, ending: "data: [DONE]\n\n\r\n0\r\n\r\n", everyMs: 0 };
    await client.ask({ load: { ...load, port: cluster.port, sockets: STREAMS, fields } satisfies HttpLoad });
    await sleep(volume(5_000, 1_500));
    await look(client, cluster.port);
    await sleep(ALONE_MS);
    const { longestGapMs: aloneMs } = await look(client, cluster.port);
    const beside: Beside[] = [];
    for (const input of wanted) {
      // Made before: this process may take a second for it.
      const body = input.body();
      const before = await look(client, cluster.port);
      let status = "";
      for (let time = 0; time < TIMES; time++) status = await send(cluster.port, input, body);
      const after = await look(client, cluster.port);
      const refusals = after.refusals - before.refusals;
      beside.push({ name: input.name, ms: after.longestGapMs, refusals, status });
    }
    return { aloneMs, beside };
  } finally {
    client.end();
    await cluster.close();
  }
}

async function worst(): Promise<object> {
  const starts: Start[] = [];
  for (let start = 0; start < startsOf(2); start++) starts.push(await once(start));
  const aloneMs = median(starts.map((start) => start.aloneMs));
  const inputs = wanted.map(({ name }, at) => {
    const ms = median(starts.map(({ beside }) => beside[at]!.ms));
    const { status, refusals } = starts[0]!.beside[at]!;
    return { name, ms, ratio: ms / aloneMs, refusals, status };
  });
  inputs.sort((one, other) => other.ms - one.ms);
  const worstMs = inputs[0]?.ms ?? Number.NaN;
  const refusals = inputs.reduce((sum, input) => sum + input.refusals, 0);
  return { gapRatio: worstMs / aloneMs, refusals, aloneMs, worstMs, inputs };
}

await runCases({ "loop/worst-inputs": worst });

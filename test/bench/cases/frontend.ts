// Cost of the frontend of `stator up` against bare node:http, as ratios of CPU time in one run. Cluster, baseline and
// client are processes of their own, placed by the scheduler; both servers get the same load in turn.
//   node test/bench/cases/frontend.ts [NAME_PART]
import { vocabularyFile } from "../cache.ts";
import { type Cluster, cpuSecondsOf, metricOf, startCluster } from "../cluster.ts";
import { median, medianFigures, Program, pinTo, runCases, sleep, startsOf, volume } from "../harness.ts";
import { realVocabularyFile } from "../models.ts";
import { PEER_PYTHON, type Peer, startPeer } from "../peer.ts";
import { TextWriter } from "../text.ts";
import type { VocabularyName } from "../vocabulary.ts";
import type { HttpCount, HttpLoad } from "./http-client.ts";

/** A server under load. */
interface Server {
  readonly port: number;
  /** CPU seconds that it has used. */
  cpuSeconds(): number | Promise<number>;
  /** The last bytes of its answers, where they are not those of the load. */
  readonly ending?: string;
  /** Tokens that it has said. */
  tokens(): Promise<number>;
}

type Load = Omit<HttpLoad, "port">;

/** How long a server is measured, and how often in one start. */
interface Time {
  readonly warmMs: number;
  readonly ms: number;
  readonly rounds: number;
}

const MODEL = "bench";
const CHUNKED_END = "\r\n0\r\n\r\n";
const STREAM_END = `data: [DONE]\n\n${CHUNKED_END}`;
/** Blocks for every token of every stream: a mock with a full pool is a slow one. */
const MOCK_BLOCKS = 262_144;

/** What a bare server answers. */
interface BareStat {
  readonly cpuUs: number;
  readonly tokens: number;
}

interface Bare extends Server {
  readonly program: Program;
}

async function openBare(...args: readonly (string | number)[]): Promise<Bare> {
  const program = new Program("http-bare.ts", ...args);
  const { port } = await program.heard<{ port: number }>();
  return {
    port,
    program,
    cpuSeconds: async () => (await program.ask<BareStat>({})).cpuUs / 1e6,
    tokens: async () => (await program.ask<BareStat>({})).tokens,
  };
}

/** The cluster as users have it: by `up`, with everything on that is on without a flag. */
function openProduct(workers: number, vocabulary: VocabularyName, mock: readonly (string | number)[]) {
  const model = ["--model", vocabularyFile(vocabulary), "--model-name", MODEL, "--engine", "mock"];
  const sizes = ["--workers", workers, "--mock-total-blocks", MOCK_BLOCKS, "--mock-max-running", 4_096];
  return startCluster([...model, ...sizes, ...mock].map(String));
}

function serverOf({ port, frontendPid }: Pick<Cluster, "port" | "frontendPid">): Server {
  const tokens = () => metricOf(port, "stator_dispatch_tokens_total");
  return { port, cpuSeconds: () => cpuSecondsOf(frontendPid), tokens };
}

async function openClient(seed: number): Promise<Program> {
  const client = new Program("http-client.ts", seed);
  await client.heard();
  return client;
}

/** What a server did under load. */
interface Cost {
  /** CPU microseconds per request, or per token of a stream. */
  readonly us: number;
  readonly perSecond: number;
  /** Requests or tokens per piece in which the client read them. */
  readonly perRead: number;
  /** CPU seconds per second. */
  readonly cores: number;
}

async function measure(server: Server, client: Program, load: Load, time: Time): Promise<Cost> {
  const isStream = load.ending === STREAM_END;
  const look = async () => {
    const seconds = await server.cpuSeconds();
    const { requests, reads, refused } = await client.ask<HttpCount>({});
    if (refused) throw new Error(`A request was refused: ${refused}`);
    return { atMs: performance.now(), seconds, reads, things: isStream ? await server.tokens() : requests };
  };
  await client.ask({ load: { ...load, port: server.port, ending: server.ending ?? load.ending } });
  await sleep(time.warmMs);
  const before = await look();
  await sleep(time.ms);
  const after = await look();
  await client.ask({ stop: true });
  await sleep(200);
  const [things, seconds] = [after.things - before.things, (after.atMs - before.atMs) / 1_000];
  if (things <= 0) throw new Error("Nothing was answered while the load was measured");
  return {
    us: ((after.seconds - before.seconds) * 1e6) / things,
    perSecond: things / seconds,
    perRead: things / (after.reads - before.reads),
    cores: (after.seconds - before.seconds) / seconds,
  };
}

/** The same load on both in turn, medians of several rounds. */
async function compare(base: Server, ours: Server, client: Program, load: Load, time: Time) {
  const rounds: { readonly floor: Cost; readonly cost: Cost }[] = [];
  for (let round = 0; round < time.rounds; round++) {
    // Who comes first finds the machine as the other left it: they take turns in that too.
    const early = round % 2 === 1 ? await measure(ours, client, load, time) : undefined;
    const floor = await measure(base, client, load, time);
    const cost = early ?? (await measure(ours, client, load, time));
    rounds.push({ floor, cost });
  }
  const middle = (figure: (round: { floor: Cost; cost: Cost }) => number) => median(rounds.map(figure));
  return {
    ratio: middle(({ floor, cost }) => cost.us / floor.us),
    baseUs: middle(({ floor }) => floor.us),
    oursUs: middle(({ cost }) => cost.us),
    basePerSecond: middle(({ floor }) => floor.perSecond),
    oursPerSecond: middle(({ cost }) => cost.perSecond),
    baseCores: middle(({ floor }) => floor.cores),
    oursCores: middle(({ cost }) => cost.cores),
  };
}

/**
 * Streams on both in turn. What our side joins depends on how full the machine is, so the writer is told to join as many
 * tokens into one write as the client found in one piece of ours; beside it, a writer that joins by the same rule.
 */
async function compareStreams(base: Bare, ours: Server, client: Program, load: Load, time: Time) {
  const rounds: { readonly asMuch: Cost; readonly byRule: Cost; readonly cost: Cost }[] = [];
  let cost = await measure(ours, client, load, { ...time, ms: time.ms / 2 });
  const join = async (joined: number | null): Promise<Cost> => {
    await base.program.ask({ joined });
    return measure(base, client, load, time);
  };
  for (let round = 0; round < time.rounds; round++) {
    if (round % 2 === 0) cost = await measure(ours, client, load, time);
    const asMuch = await join(Math.max(1, cost.perRead));
    const byRule = await join(null);
    if (round % 2 === 1) cost = await measure(ours, client, load, time);
    rounds.push({ asMuch, byRule, cost });
  }
  const middle = (figure: (round: (typeof rounds)[number]) => number) => median(rounds.map(figure));
  return {
    ratio: middle(({ asMuch, cost: { us } }) => us / asMuch.us),
    byRuleRatio: middle(({ byRule, cost: { us } }) => us / byRule.us),
    oursUs: middle((each) => each.cost.us),
    baseUs: middle(({ asMuch }) => asMuch.us),
    byRuleUs: middle(({ byRule }) => byRule.us),
    oursPerRead: middle((each) => each.cost.perRead),
    basePerRead: middle(({ asMuch }) => asMuch.perRead),
    byRulePerRead: middle(({ byRule }) => byRule.perRead),
    oursPerSecond: middle((each) => each.cost.perSecond),
    basePerSecond: middle(({ asMuch }) => asMuch.perSecond),
    oursCores: middle((each) => each.cost.cores),
  };
}

/** Starts everything anew, several times, and takes the medians. */
async function overStarts<Figures extends object>(run: (start: number) => Promise<Figures>): Promise<Figures> {
  const starts: Figures[] = [];
  for (let start = 0; start < startsOf(3); start++) starts.push(await run(start));
  return medianFigures(starts);
}

interface Streams {
  /** Tokens of each stream in a second. */
  readonly rate: number;
  readonly streams: number;
  readonly workers: number;
  readonly vocabulary: VocabularyName;
}

/** Milliseconds of a mock's decode step at speed 1 and nearly empty memory, and the least step that it makes. */
const MOCK_STEP_MS = { usual: 5.74, least: 1 } as const;

function mockRate(rate: number): (string | number)[] {
  const perStep = Math.ceil((rate * MOCK_STEP_MS.least) / 1_000);
  const speed = (MOCK_STEP_MS.usual * rate) / (1_000 * perStep);
  return ["--mock-speed", speed.toFixed(4), "--mock-step-tokens", perStep];
}

/** Answers so long that what a request costs at its start and end is not what this looks at. */
const LONGEST_SECONDS = 20;

/** Streams of an engine of real speed. The bare writer has the same groups, rate and kind of text. */
function streams({ rate, streams: count, workers, vocabulary }: Streams): Promise<object> {
  const tokens = Math.min(4_000, rate * LONGEST_SECONDS);
  const fields = { model: MODEL, stream: true, max_tokens: tokens, ignore_eos: true };
  const sockets = volume(count, Math.max(8, count >> 4));
  const load = { path: "/v1/chat/completions", sockets, fields, words: 30, ending: STREAM_END, everyMs: 0 };
  const time = { warmMs: volume(4_000, 1_500), ms: volume(4_000, 800), rounds: volume(2, 1) };
  return overStarts(async (start) => {
    const base = await openBare("sse", rate, tokens, workers, start);
    const cluster = await openProduct(workers, vocabulary, mockRate(rate));
    const client = await openClient(start);
    try {
      return await compareStreams(base, serverOf(cluster), client, load, time);
    } finally {
      client.end();
      base.program.end();
      await cluster.close();
    }
  });
}

const UNARY_PROMPT_TOKENS = 200;

/** Words of about 200 tokens in this vocabulary. */
async function wordsOfPrompt(port: number): Promise<number> {
  const words = 400;
  const messages = [{ role: "user", content: new TextWriter(999_983).words(words) }];
  const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: MODEL, messages, max_tokens: 1 }),
  });
  const { usage } = (await answer.json()) as { usage: { prompt_tokens: number } };
  return Math.max(1, Math.round((words * UNARY_PROMPT_TOKENS) / usage.prompt_tokens));
}

/** Requests that a server answers before it is measured: what the compiler does in the first seconds is not its cost. */
const WARM_REQUESTS = volume(10_000, 200);

async function warm(server: Server, client: Program, load: Load): Promise<void> {
  const start = (await client.ask<HttpCount>({})).requests;
  await client.ask({ load: { ...load, port: server.port } });
  for (;;) {
    const { requests, refused } = await client.ask<HttpCount>({});
    if (refused) throw new Error(`A request was refused: ${refused}`);
    if (requests >= start + WARM_REQUESTS) break;
    await sleep(50);
  }
  await client.ask({ stop: true });
  await sleep(200);
}

/**
 * New prompts of about 200 tokens, 16 tokens in one step, 16 connections that send again as soon as they have their
 * answer, processes where the scheduler puts them. Beside it, by arrangement: the server on a core of its own at 400
 * requests a second, and a bare proxy in front of the bare responder.
 */
function unary(workers: number, vocabulary: VocabularyName): Promise<object> {
  const time = { warmMs: volume(500, 100), ms: volume(3_000, 500), rounds: volume(3, 1) };
  return overStarts(async (start) => {
    const base = await openBare("json");
    const through = await openBare("proxy", base.port);
    const cluster = await openProduct(workers, vocabulary, ["--mock-speed", 0, "--mock-step-tokens", 16]);
    const client = await openClient(start);
    try {
      const ours = serverOf(cluster);
      const fields = { model: MODEL, max_tokens: 16, ignore_eos: true };
      const words = await wordsOfPrompt(cluster.port);
      const load = { path: "/v1/chat/completions", sockets: 16, fields, words, ending: "}}", everyMs: 0 };
      for (const server of [base, through, ours]) await warm(server, client, load);
      const figures = await compare(base, ours, client, load, time);
      const proxied = await compare(base, through, client, load, { ...time, rounds: 1 });
      for (const pid of [base.program.pid, cluster.frontendPid]) pinTo(pid, 0);
      for (const pid of [client.pid, ...cluster.workerPids]) pinTo(pid, 1);
      const pinned = await compare(base, ours, client, { ...load, everyMs: 40 }, { ...time, rounds: 1 });
      return { ...figures, proxyRatio: proxied.ratio, pinnedPacedRatio: pinned.ratio };
    } finally {
      client.end();
      through.program.end();
      base.program.end();
      await cluster.close();
    }
  });
}

/** UTF-16 units of a token of natural prose, about, in the vocabulary of a real model. */
const UNITS_PER_TOKEN = 4.3;

/**
 * New prompts of natural prose, against a server that parses each body and hashes it once: what anybody has to do who looks
 * at it at all. One token is asked for, four connections send again as soon as they have their answer. With a peer, the
 * same load on it and us in turn.
 */
async function newPrompts(tokens: number): Promise<object> {
  const file = realVocabularyFile("152k");
  if (file.path === undefined) return { skipped: file.reason };
  const model = ["--model", file.path, "--model-name", MODEL, "--engine", "mock", "--mock-speed", "0"];
  const contextTokens = 65_536;
  const sizes = ["--workers", 2, "--mock-context-tokens", contextTokens, "--mock-total-blocks", MOCK_BLOCKS].map(
    String,
  );
  const time = { warmMs: volume(4_000, 500), ms: volume(4_000, 1_000), rounds: volume(3, 1) };
  return overStarts(async (start) => {
    const base = await openBare("look");
    const cluster = await startCluster([...model, ...sizes]);
    const client = await openClient(start);
    let peer: Peer | undefined;
    try {
      const fields = { model: MODEL, max_tokens: 1, ignore_eos: true };
      const proseUnits = Math.round(tokens * UNITS_PER_TOKEN);
      const load = { path: "/v1/chat/completions", sockets: 4, fields, words: 0, proseUnits, ending: "}}", everyMs: 0 };
      const ours = serverOf(cluster);
      const figures = await compare(base, ours, client, load, time);
      if (PEER_PYTHON === undefined) return figures;
      peer = await startPeer(PEER_PYTHON, { file: file.path, name: MODEL, contextTokens });
      const chunked = { ...serverOf(peer), ending: CHUNKED_END };
      const { ratio, baseUs } = await compare(chunked, ours, client, load, time);
      return { ...figures, peerRatio: ratio, peerUs: baseUs };
    } finally {
      client.end();
      base.program.end();
      await Promise.all([cluster.close(), peer?.close()]);
    }
  });
}

/** Modes of the router that are compared: what prefixes cost where none is shared, against two draws. */
const MODES = ["power-of-two", "kv"] as const;

/** The same load on two whole products in turn, one for each mode. */
async function routing(
  workers: number,
  mock: readonly (string | number)[],
  load: (port: number) => Load | Promise<Load>,
) {
  // Thousands of streams that begin together have their prompts computed first, for some seconds.
  const time = { warmMs: volume(8_000, 500), ms: volume(4_000, 500), rounds: volume(4, 1) };
  return overStarts(async (start) => {
    const clusters: Cluster[] = [];
    const client = await openClient(start);
    try {
      for (const mode of MODES) clusters.push(await openProduct(workers, "32k", [...mock, "--router-mode", mode]));
      const [blind, kv] = clusters.map(serverOf) as [Server, Server];
      const asked = await load(blind.port);
      if (asked.ending !== STREAM_END) for (const server of [blind, kv]) await warm(server, client, asked);
      return await compare(blind, kv, client, asked, time);
    } finally {
      client.end();
      for (const cluster of clusters) await cluster.close();
    }
  });
}

/** As `unary`, mode against mode. */
function unaryRouting(workers: number): Promise<object> {
  const fields = { model: MODEL, max_tokens: 16, ignore_eos: true };
  return routing(workers, ["--mock-speed", 0, "--mock-step-tokens", 16], async (port) => {
    const words = await wordsOfPrompt(port);
    return { path: "/v1/chat/completions", sockets: 16, fields, words, ending: "}}", everyMs: 0 };
  });
}

/** As `streams`, mode against mode. */
function streamRouting({ rate, streams: count, workers }: Streams): Promise<object> {
  const tokens = Math.min(4_000, rate * LONGEST_SECONDS);
  const fields = { model: MODEL, stream: true, max_tokens: tokens, ignore_eos: true };
  const sockets = volume(count, Math.max(8, count >> 4));
  const load = { path: "/v1/chat/completions", sockets, fields, words: 30, ending: STREAM_END, everyMs: 0 };
  return routing(workers, mockRate(rate), () => load);
}

const USUAL = { workers: 4, vocabulary: "32k" } as const;

await runCases({
  "frontend/stream/20-a-second": () => streams({ ...USUAL, rate: 20, streams: 1_024 }),
  "frontend/stream/50-a-second": () => streams({ ...USUAL, rate: 50, streams: 512 }),
  "frontend/stream/200-a-second": () => streams({ ...USUAL, rate: 200, streams: 256 }),
  "frontend/stream/800-a-second": () => streams({ ...USUAL, rate: 800, streams: 64 }),
  "frontend/stream/1500-a-second": () => streams({ ...USUAL, rate: 1_500, streams: 64 }),
  "frontend/stream/saturated": () => streams({ ...USUAL, rate: 50, streams: 2_048 }),
  "frontend/stream/1-worker": () => streams({ rate: 50, streams: 512, workers: 1, vocabulary: "32k" }),
  "frontend/stream/16-workers": () => streams({ rate: 50, streams: 512, workers: 16, vocabulary: "32k" }),
  "frontend/stream/2k-vocabulary": () => streams({ rate: 50, streams: 512, workers: 4, vocabulary: "2k" }),
  "frontend/stream/128k-vocabulary": () => streams({ rate: 50, streams: 512, workers: 4, vocabulary: "128k" }),
  "frontend/routing/unary": () => unaryRouting(16),
  "frontend/routing/stream": () => streamRouting({ ...USUAL, rate: 50, streams: 512 }),
  "frontend/routing/saturated": () => streamRouting({ ...USUAL, rate: 50, streams: 2_048 }),
  "frontend/new/6500-tokens": () => newPrompts(6_500),
  "frontend/new/49000-tokens": () => newPrompts(49_000),
  "frontend/unary/1-worker": () => unary(1, "32k"),
  "frontend/unary/4-workers": () => unary(4, "32k"),
  "frontend/unary/16-workers": () => unary(16, "32k"),
  "frontend/unary/2k-vocabulary": () => unary(4, "2k"),
  "frontend/unary/128k-vocabulary": () => unary(4, "128k"),
});

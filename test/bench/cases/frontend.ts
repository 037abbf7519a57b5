// Cost of the frontend of `stator up` against bare node:http, as ratios of CPU time in one run. Cluster, baseline and
// client are processes of their own, placed by the scheduler; both servers get the same load in turn.
//   node test/bench/cases/frontend.ts [NAME_PART]
import { type Cluster, startCluster } from "../cluster.ts";
import { pinTo, runCases, volume } from "../harness.ts";
import { realVocabularyFile } from "../models.ts";
import { PEER_PYTHON, type Peer, startPeer } from "../peer.ts";
import {
  compare,
  compareStreams,
  LONGEST_SECONDS,
  MOCK_BLOCKS,
  MODEL,
  mockRate,
  openBare,
  openClient,
  openProduct,
  overStarts,
  type Server,
  type Side,
  serverOf,
  warm,
  wordsOfPrompt,
} from "../sides.ts";
import type { VocabularyName } from "../vocabulary.ts";
import type { HttpLoad } from "./http-client.ts";

type Load = Omit<HttpLoad, "port">;

const BARE = "http-bare.ts";
const CLIENT = "http-client.ts";
const CHUNKED_END = "\r\n0\r\n\r\n";
const STREAM_END = `data: [DONE]\n\n${CHUNKED_END}`;

interface Streams {
  /** Tokens of each stream in a second. */
  readonly rate: number;
  readonly streams: number;
  readonly workers: number;
  readonly vocabulary: VocabularyName;
}

/** Streams of an engine of real speed. The bare writer has the same groups, rate and kind of text. */
function streams({ rate, streams: count, workers, vocabulary }: Streams): Promise<object> {
  const tokens = Math.min(4_000, rate * LONGEST_SECONDS);
  const fields = { model: MODEL, stream: true, max_tokens: tokens, ignore_eos: true };
  const sockets = volume(count, Math.max(8, count >> 4));
  const load = { path: "/v1/chat/completions", sockets, fields, words: 30, ending: STREAM_END, everyMs: 0 };
  const time = { warmMs: volume(4_000, 1_500), ms: volume(4_000, 800), rounds: volume(2, 1) };
  return overStarts(async (start) => {
    const base = await openBare(BARE, "sse", rate, tokens, workers, start);
    const cluster = await openProduct(workers, vocabulary, mockRate(rate));
    const client = await openClient(CLIENT, start);
    try {
      const side = { client, load, counts: "tokens" } as const;
      return await compareStreams({ ...side, server: base }, { ...side, server: serverOf(cluster) }, time);
    } finally {
      client.end();
      base.program.end();
      await cluster.close();
    }
  });
}

/**
 * New prompts of about 200 tokens, 16 tokens in one step, 16 connections that send again as soon as they have their
 * answer, processes where the scheduler puts them. Beside it, by arrangement: the server on a core of its own at 400
 * requests a second, and a bare proxy in front of the bare responder.
 */
function unary(workers: number, vocabulary: VocabularyName): Promise<object> {
  const time = { warmMs: volume(500, 100), ms: volume(3_000, 500), rounds: volume(3, 1) };
  return overStarts(async (start) => {
    const base = await openBare(BARE, "json");
    const through = await openBare(BARE, "proxy", base.port);
    const cluster = await openProduct(workers, vocabulary, ["--mock-speed", 0, "--mock-step-tokens", 16]);
    const client = await openClient(CLIENT, start);
    try {
      const fields = { model: MODEL, max_tokens: 16, ignore_eos: true };
      const words = await wordsOfPrompt(cluster.port);
      const load: Load = { path: "/v1/chat/completions", sockets: 16, fields, words, ending: "}}", everyMs: 0 };
      const side = (server: Server, more: Partial<Load> = {}): Side => {
        return { server, client, load: { ...load, ...more }, counts: "requests" };
      };
      const ours = serverOf(cluster);
      for (const server of [base, through, ours]) await warm(side(server));
      const figures = await compare(side(base), side(ours), time);
      const proxied = await compare(side(base), side(through), { ...time, rounds: 1 });
      for (const pid of [base.program.pid, cluster.frontendPid]) pinTo(pid, 0);
      for (const pid of [client.pid, ...cluster.workerPids]) pinTo(pid, 1);
      const paced = { everyMs: 40 };
      const pinned = await compare(side(base, paced), side(ours, paced), { ...time, rounds: 1 });
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
    const base = await openBare(BARE, "look");
    const cluster = await startCluster([...model, ...sizes]);
    const client = await openClient(CLIENT, start);
    let peer: Peer | undefined;
    try {
      const fields = { model: MODEL, max_tokens: 1, ignore_eos: true };
      const proseUnits = Math.round(tokens * UNITS_PER_TOKEN);
      const load = { path: "/v1/chat/completions", sockets: 4, fields, words: 0, proseUnits, ending: "}}", everyMs: 0 };
      const side = { client, load, counts: "requests" } as const;
      const ours: Side = { ...side, server: serverOf(cluster) };
      const figures = await compare({ ...side, server: base }, ours, time);
      if (PEER_PYTHON === undefined) return figures;
      peer = await startPeer(PEER_PYTHON, { file: file.path, name: MODEL, contextTokens });
      const chunked = { ...side, server: serverOf(peer), load: { ...load, ending: CHUNKED_END } };
      const { ratio, baseUs } = await compare(chunked, ours, time);
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
    const client = await openClient(CLIENT, start);
    try {
      for (const mode of MODES) clusters.push(await openProduct(workers, "32k", [...mock, "--router-mode", mode]));
      const servers = clusters.map(serverOf) as [Server, Server];
      const asked = await load(servers[0].port);
      const counts = asked.ending === STREAM_END ? "tokens" : "requests";
      const [blind, kv] = servers.map((server): Side => ({ server, client, load: asked, counts })) as [Side, Side];
      if (counts === "requests") for (const side of [blind, kv]) await warm(side);
      return await compare(blind, kv, time);
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

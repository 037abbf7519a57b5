// Cost of the frontend against bare node:http, as ratios of CPU time in one run. Frontend, worker and client are
// processes of their own; baseline and frontend get the same load in turn.
//   node test/bench/cases/frontend.ts [NAME_PART]
import { median, Program, printFigures, sleep } from "../harness.ts";
import type { HttpCount, HttpLoad } from "./http-client.ts";

/** A server under load. */
interface Server {
  readonly port: number;
  readonly program: Program;
  /** The worker behind it. */
  readonly behind?: Program;
  /** Tokens that were made for it so far. */
  tokens(): Promise<number>;
  end(): void;
}

interface ServerStat {
  readonly cpuUs: number;
}

async function openBare(...args: readonly (string | number)[]): Promise<Server> {
  const program = new Program("http-bare.ts", ...args);
  const { port } = await program.heard<{ port: number }>();
  const tokens = async () => (await program.ask<{ tokens: number }>({})).tokens;
  return { port, program, tokens, end: () => program.end() };
}

async function openFrontend(worker: readonly [stepMs: number, perStep: number], join: string): Promise<Server> {
  const behind = new Program("frontend-worker.ts", ...worker);
  const { port: workerPort } = await behind.heard<{ port: number }>();
  const program = new Program("frontend-server.ts", workerPort, join);
  const { port } = await program.heard<{ port: number }>();
  return {
    port,
    program,
    behind,
    tokens: async () => (await behind.ask<{ tokens: number }>({})).tokens,
    end() {
      program.end();
      behind.end();
    },
  };
}

async function openClient(): Promise<Program> {
  const client = new Program("http-client.ts");
  await client.heard();
  return client;
}

type Load = Omit<HttpLoad, "port">;

interface Time {
  readonly warmMs: number;
  readonly ms: number;
  readonly rounds: number;
  /** Gives the server a core of its own, where that is possible. */
  readonly pinned?: boolean;
}

/** CPU microseconds of a server per request, or per token of a stream, and how many there were in a second. */
async function measure(server: Server, client: Program, load: Load, time: Time) {
  const stream = load.ending === STREAM_END;
  const count = async () => (stream ? server.tokens() : (await client.ask<HttpCount>({})).requests);
  await client.ask({ load: { ...load, port: server.port } });
  await sleep(time.warmMs);
  const [before, countBefore] = [await server.program.ask<ServerStat>({}), await count()];
  await sleep(time.ms);
  const [after, countAfter] = [await server.program.ask<ServerStat>({}), await count()];
  await client.ask({ stop: true });
  await sleep(200);
  const things = countAfter - countBefore;
  return { us: (after.cpuUs - before.cpuUs) / things, perSecond: (things / time.ms) * 1000 };
}

/** Requests that a server answers before it is measured: what the compiler does in the first seconds is not its cost. */
const WARM_REQUESTS = 30_000;

async function warm(server: Server, client: Program, load: Load): Promise<void> {
  const start = (await client.ask<HttpCount>({})).requests;
  await client.ask({ load: { ...load, everyMs: 0, port: server.port } });
  while ((await client.ask<HttpCount>({})).requests < start + WARM_REQUESTS) await sleep(50);
  await client.ask({ stop: true });
  await sleep(200);
}

/** The same load on both in turn; the middle ratio counts. */
async function compare(base: Server, ours: Server, load: Load, time: Time) {
  const client = await openClient();
  if (time.pinned) {
    for (const { program } of [base, ours]) program.pin(0);
    for (const program of [client, ours.behind]) program?.pin(1);
  }
  const rounds = [];
  for (let round = 0; round < time.rounds; round++) {
    // Who comes first finds the machine as the other left it: they take turns in that too.
    const early = round % 2 === 1 ? await measure(ours, client, load, time) : undefined;
    const floor = await measure(base, client, load, time);
    const cost = early ?? (await measure(ours, client, load, time));
    rounds.push({ floor, cost, ratio: cost.us / floor.us });
  }
  client.end();
  const ratio = median(rounds.map((round) => round.ratio));
  const middle = rounds.find((round) => round.ratio === ratio)!;
  return {
    ratio,
    baseUs: middle.floor.us,
    oursUs: middle.cost.us,
    perSecond: [middle.floor.perSecond, middle.cost.perSecond],
  };
}

const WORDS =
  "the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were we when your can said there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more write go see number no way could people my than first water been call who oil its now find long down day did get come made may part".split(
    " ",
  );

/** Bodies whose prompts were never seen: numbered, and of other words each. */
function bodies(fields: object, words: number, count: number): string[] {
  let state = 7;
  const word = (): string => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return WORDS[state % WORDS.length]!;
  };
  return Array.from({ length: count }, () => {
    const content = `Request #NUMBER#: ${Array.from({ length: words }, word).join(" ")}`;
    return JSON.stringify({
      model: "rehearsal",
      messages: [{ role: "user", content }],
      stop: ["\n\nUser:", "</s>"],
      ...fields,
    });
  });
}

const CHAT = { path: "/v1/chat/completions", numbered: "#NUMBER#" };
const STREAM_END = "data: [DONE]\n\n\r\n0\r\n\r\n";

function streams(sockets: number, tokens: number): Load {
  const fields = { stream: true, max_tokens: tokens, ignore_eos: true };
  return { ...CHAT, sockets, bodies: bodies(fields, 30, 50), ending: STREAM_END, everyMs: 0 };
}

/** 512 streams at 50 tokens a second: one write per token on both, then four tokens per write on both. */
async function paced(): Promise<object> {
  // Long answers: what a request costs at its start and end is not what this looks at.
  const tokens = 2000;
  const time = { warmMs: 5000, ms: 4000, rounds: 3 };
  const figures = [];
  for (const join of [1, 4]) {
    const base = await openBare("sse", 20, tokens, join);
    const ours = await openFrontend([20, 1], join === 1 ? "auto" : String(join));
    figures.push(await compare(base, ours, streams(512, tokens), time));
    base.end();
    ours.end();
  }
  const [single, joined] = figures;
  return { ...single, joined: joined?.ratio, joinedBaseUs: joined?.baseUs, joinedOursUs: joined?.oursUs };
}

async function unthrottled(): Promise<object> {
  const tokens = 500;
  const base = await openBare("sse", 0, tokens, 1);
  const ours = await openFrontend([0, 1], "auto");
  const figures = await compare(base, ours, streams(64, tokens), { warmMs: 1500, ms: 2500, rounds: 3 });
  base.end();
  ours.end();
  return figures;
}

/** About 200 new prompt tokens, 16 tokens in one step, 16 connections. */
function unaryLoad(everyMs: number): Load {
  const fields = { max_tokens: 16, ignore_eos: true };
  return { ...CHAT, sockets: 16, bodies: bodies(fields, 130, 400), ending: "}}", everyMs };
}

/** Starts of all servers whose middle ratio counts: what the compiler makes of a program differs by a fifth from one to the next. */
const UNARY_STARTS = 3;

/**
 * At an equal rate that both can hold, because what a request costs depends on how idle the process is between two: a
 * bare responder takes three times as much CPU per request at 400 a second as it takes when it is saturated. The server has
 * a core of its own and everybody else another. Printed beside it: the same where the scheduler places everybody,
 * saturated servers, and a bare proxy.
 */
async function unary(): Promise<object> {
  const starts = [];
  for (let start = 0; start < UNARY_STARTS; start++) starts.push(await unaryStart());
  const ratio = median(starts.map((start) => start.ratio));
  return { ...starts.find((start) => start.ratio === ratio), ratios: starts.map((start) => start.ratio) };
}

async function unaryStart() {
  const base = await openBare("json");
  const through = await openBare("proxy", base.port);
  const ours = await openFrontend([0, 16], "auto");
  const time = { warmMs: 500, ms: 2000, rounds: 5 };
  const client = await openClient();
  for (const server of [base, through, ours]) await warm(server, client, unaryLoad(0));
  client.end();
  const saturated = await compare(base, ours, unaryLoad(0), { ...time, rounds: 1 });
  const free = await compare(base, ours, unaryLoad(40), { ...time, rounds: 3 });
  const proxied = await compare(base, through, unaryLoad(40), { ...time, rounds: 1 });
  const figures = await compare(base, ours, unaryLoad(40), { ...time, pinned: true });
  for (const server of [base, through, ours]) server.end();
  return { ...figures, freeRatio: free.ratio, saturatedRatio: saturated.ratio, proxyRatio: proxied.ratio };
}

const CASES: Readonly<Record<string, () => Promise<object>>> = {
  "frontend/stream/512-paced": paced,
  "frontend/stream/64-unthrottled": unthrottled,
  "frontend/unary/16": unary,
};

for (const [name, run] of Object.entries(CASES)) {
  if (!process.argv[2] || name.includes(process.argv[2])) printFigures(name, await run());
}

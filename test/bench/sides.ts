// What cases share that compare servers under load: the cluster of `up`, bare servers, and what each costs.
import { vocabularyFile } from "./cache.ts";
import { type Cluster, cpuSecondsOf, metricOf, startCluster } from "./cluster.ts";
import { median, medianFigures, Program, sleep, startsOf, volume } from "./harness.ts";
import { TextWriter } from "./text.ts";
import type { VocabularyName } from "./vocabulary.ts";

/** A server that is measured. */
export interface Server {
  readonly port: number;
  /** CPU seconds that it has used. */
  cpuSeconds(): number | Promise<number>;
  /** Tokens that it has said. */
  tokens(): Promise<number>;
}

/** A bare server, in a process of its own. */
export interface Bare extends Server {
  readonly program: Program;
}

/** A server, who asks it, and for what. */
export interface Side<Asked extends Server = Server> {
  readonly server: Asked;
  readonly client: Program;
  /** What the client is told, but for the port. */
  readonly load: object;
  /** What its cost is divided by. */
  readonly counts: "tokens" | "requests";
}

/** What a client has counted. */
export interface ClientCount {
  readonly requests: number;
  /** Pieces in which answers arrived. */
  readonly reads: number;
  /** The first answer that was none. */
  readonly refused: string;
}

/** How long a server is measured, and how often in one start. */
export interface Time {
  readonly warmMs: number;
  readonly ms: number;
  readonly rounds: number;
}

/** Name of the model that clusters of `openProduct` serve. */
export const MODEL = "bench";
/** Blocks for every token of every stream: a mock with a full pool is a slow one. */
export const MOCK_BLOCKS = 262_144;
/** Answers so long that what a request costs at its start and end is not what is looked at. */
export const LONGEST_SECONDS = 20;

/** What a bare server answers. */
interface BareStat {
  readonly cpuUs: number;
  readonly tokens: number;
}

/** Starts a bare server: a file beside the cases, and its arguments. */
export async function openBare(file: string, ...args: readonly (string | number)[]): Promise<Bare> {
  const program = new Program(file, ...args);
  const { port } = await program.heard<{ port: number }>();
  return {
    port,
    program,
    cpuSeconds: async () => (await program.ask<BareStat>({})).cpuUs / 1e6,
    tokens: async () => (await program.ask<BareStat>({})).tokens,
  };
}

/** The cluster as users have it: by `up`, with everything on that is on without a flag. */
export function openProduct(
  workers: number,
  vocabulary: VocabularyName,
  mock: readonly (string | number)[],
): Promise<Cluster> {
  const model = ["--model", vocabularyFile(vocabulary), "--model-name", MODEL, "--engine", "mock"];
  const sizes = ["--workers", workers, "--mock-total-blocks", MOCK_BLOCKS, "--mock-max-running", 4_096];
  return startCluster([...model, ...sizes, ...mock].map(String));
}

/** The frontend of a cluster, at its HTTP port. */
export function serverOf({ port, frontendPid }: Pick<Cluster, "port" | "frontendPid">): Server {
  const tokens = () => metricOf(port, "stator_dispatch_tokens_total");
  return { port, cpuSeconds: () => cpuSecondsOf(frontendPid), tokens };
}

/** Starts a client: a file beside the cases. */
export async function openClient(file: string, seed: number): Promise<Program> {
  const client = new Program(file, seed);
  await client.heard();
  return client;
}

/** What a server did under load. */
export interface Cost {
  /** CPU microseconds per request, or per token of a stream. */
  readonly us: number;
  readonly perSecond: number;
  /** Requests or tokens per piece in which the client read them. */
  readonly perRead: number;
  /** CPU seconds per second. */
  readonly cores: number;
}

/** Loads a side for some time. Throws when anything was refused. */
export async function measure({ server, client, load, counts }: Side, time: Time): Promise<Cost> {
  const look = async () => {
    const seconds = await server.cpuSeconds();
    const { requests, reads, refused } = await client.ask<ClientCount>({});
    if (refused) throw new Error(`A request was refused: ${refused}`);
    return { atMs: performance.now(), seconds, reads, things: counts === "tokens" ? await server.tokens() : requests };
  };
  await client.ask({ load: { ...load, port: server.port } });
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

/** Both in turn, medians of several rounds. */
export async function compare(base: Side, ours: Side, time: Time) {
  const rounds: Round[] = [];
  for (let round = 0; round < time.rounds; round++) {
    // Who comes first finds the machine as the other left it: they take turns in that too.
    const early = round % 2 === 1 ? await measure(ours, time) : undefined;
    const floor = await measure(base, time);
    const cost = early ?? (await measure(ours, time));
    rounds.push({ floor, cost });
  }
  return middleOf(rounds);
}

interface Round {
  readonly floor: Cost;
  readonly cost: Cost;
}

function middleOf(rounds: readonly Round[]) {
  const middle = (figure: (round: Round) => number) => median(rounds.map(figure));
  return {
    ratio: middle(({ floor, cost }) => cost.us / floor.us),
    baseUs: middle(({ floor }) => floor.us),
    oursUs: middle(({ cost }) => cost.us),
    basePerSecond: middle(({ floor }) => floor.perSecond),
    oursPerSecond: middle(({ cost }) => cost.perSecond),
    baseCores: middle(({ floor }) => floor.cores),
    oursCores: middle(({ cost }) => cost.cores),
    basePerRead: middle(({ floor }) => floor.perRead),
    oursPerRead: middle(({ cost }) => cost.perRead),
  };
}

/**
 * Streams on both in turn. What our side joins depends on how full the machine is, so the writer is told to join as many
 * tokens into one write as the client found in one piece of ours; beside it, a writer that joins by the same rule.
 */
export async function compareStreams(base: Side<Bare>, ours: Side, time: Time) {
  const rounds: { readonly asMuch: Cost; readonly byRule: Cost; readonly cost: Cost }[] = [];
  let cost = await measure(ours, { ...time, ms: time.ms / 2 });
  const join = async (joined: number | null): Promise<Cost> => {
    await base.server.program.ask({ joined });
    return measure(base, time);
  };
  for (let round = 0; round < time.rounds; round++) {
    if (round % 2 === 0) cost = await measure(ours, time);
    const asMuch = await join(Math.max(1, cost.perRead));
    const byRule = await join(null);
    if (round % 2 === 1) cost = await measure(ours, time);
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

/** As `compareStreams`, with a writer that is full all the time and has no rule of its own. */
export async function compareJoined(base: Side<Bare>, ours: Side, time: Time) {
  const rounds: Round[] = [];
  let cost = await measure(ours, { ...time, ms: time.ms / 2 });
  for (let round = 0; round < time.rounds; round++) {
    if (round % 2 === 0) cost = await measure(ours, time);
    await base.server.program.ask({ joined: Math.max(1, cost.perRead) });
    const floor = await measure(base, time);
    if (round % 2 === 1) cost = await measure(ours, time);
    rounds.push({ floor, cost });
  }
  return middleOf(rounds);
}

/** Starts everything anew, several times, and takes the medians. */
export async function overStarts<Figures extends object>(run: (start: number) => Promise<Figures>): Promise<Figures> {
  const starts: Figures[] = [];
  for (let start = 0; start < startsOf(3); start++) starts.push(await run(start));
  return medianFigures(starts);
}

/** Milliseconds of a mock's decode step at speed 1 and nearly empty memory, and the least step that it makes. */
const MOCK_STEP_MS = { usual: 5.74, least: 1 } as const;

/** Options of a mock that says so many tokens a second in each stream. */
export function mockRate(rate: number): (string | number)[] {
  const perStep = Math.ceil((rate * MOCK_STEP_MS.least) / 1_000);
  const speed = (MOCK_STEP_MS.usual * rate) / (1_000 * perStep);
  return ["--mock-speed", speed.toFixed(4), "--mock-step-tokens", perStep];
}

/** Requests that a server answers before it is measured: what the compiler does in the first seconds is not its cost. */
const WARM_REQUESTS = volume(10_000, 200);

/** Loads a side until that many requests are answered. */
export async function warm({ server, client, load }: Side): Promise<void> {
  const start = (await client.ask<ClientCount>({})).requests;
  await client.ask({ load: { ...load, port: server.port } });
  for (;;) {
    const { requests, refused } = await client.ask<ClientCount>({});
    if (refused) throw new Error(`A request was refused: ${refused}`);
    if (requests >= start + WARM_REQUESTS) break;
    await sleep(50);
  }
  await client.ask({ stop: true });
  await sleep(200);
}

const UNARY_PROMPT_TOKENS = 200;

/** Words of about 200 tokens in the vocabulary of the cluster with this HTTP port. */
export async function wordsOfPrompt(port: number): Promise<number> {
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

// What the rule `ttft` is worth against the rules of others, each with its own constants: a trace of an hour of conversations
// is replayed on virtual time with the router and the scheduler of the product. Ratios of means over requests; below 1 is
// better. Nothing here is measured but `cpuSeconds` and `residentMb`.
//   node test/bench/cases/replay.ts [NAME_PART]
import path from "node:path";
import type { RuleConstants } from "#lib/routing/rules/constants";
import { RULE_NAMES, type RuleName } from "#lib/routing/rules/table";
import { PROFILES, type ProfileName } from "#lib/simulation/replay/profile";
import { type ReplayOptions, replay } from "#lib/simulation/replay/replay";
import { figuresOf } from "#lib/simulation/replay/report/figures";
import { OutcomeBook } from "#lib/simulation/replay/report/outcome-columns";
import { openTrace } from "#lib/simulation/replay/trace/open-trace";
import { GROUPED_TRAFFIC, syntheticTraffic } from "#lib/simulation/replay/trace/synthetic-traffic";
import type { TraceRow } from "#lib/simulation/replay/trace-row";
import { cpuUs, median, runCases, startsOf, volume } from "../harness.ts";

const BLOCK_TOKENS = 512;
const WORKERS = 8;
const FILE = path.join(import.meta.dirname, "../../fixtures/traces/mooncake-conversation.jsonl.gz");
const ROWS = volume(Number.POSITIVE_INFINITY, 500);
/** Draws decide between equals: each replay is made with so many seeds, and the middle one counts. */
const SEEDS = startsOf(5);
/** Every rule of others that chooses by itself. */
const PEERS = RULE_NAMES.filter((rule) => rule !== "ttft" && rule !== "direct");
/** What the reference's rule is tuned to: a block of prefill beside a block in use. */
const WEIGHTS = [4, 16];
/** Hits of one cache without end for all workers, and of one that forgets what was used least recently, of 24,000 blocks. */
const CEILING = { 10000: 0.3734, 3000: 0.3169 } as const;

type Blocks = keyof typeof CEILING;
type Cell = Pick<ReplayOptions, "blocks" | "profile" | "speed"> & Partial<ReplayOptions>;

interface Result {
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly hits: number;
}

const conversations = [...openTrace(FILE, { format: "mooncake", blockTokens: BLOCK_TOKENS })].slice(0, ROWS);
const lastMs = conversations.at(-1)!.atMs!;

function live(
  cell: Cell,
  rule: RuleName,
  more: { constants?: Partial<RuleConstants>; isWrong?: boolean } = {},
): Result {
  const { constants, isWrong = false } = more;
  const errors = { prediction: 0.3, prior: 0.4 };
  const routing = { rule, ...(constants && { constants }), ...(isWrong && { errors }) };
  const results = Array.from({ length: SEEDS }, (_, seed) => {
    const usual = { rows: conversations, traceBlockTokens: BLOCK_TOKENS, blockTokens: BLOCK_TOKENS, workers: WORKERS };
    const waits: number[] = [];
    let [cached, tokens] = [0, 0];
    for (const outcome of replay({ ...usual, ...cell, routing, seed: BigInt(seed + 1) })) {
      if (outcome.firstMs === undefined) throw new Error(`Row ${outcome.row} got no answer: ${outcome.refusal}`);
      waits.push(outcome.firstMs - outcome.arrivedMs);
      cached += outcome.cachedTokens;
      tokens += outcome.promptTokens;
    }
    waits.sort((left, right) => left - right);
    const meanMs = waits.reduce((sum, ms) => sum + ms, 0) / waits.length;
    return { meanMs, p99Ms: waits[Math.ceil(0.99 * waits.length) - 1]!, hits: cached / tokens };
  });
  const middle = (of: (result: Result) => number) => median(results.map(of));
  return {
    meanMs: middle(({ meanMs }) => meanMs),
    p99Ms: middle(({ p99Ms }) => p99Ms),
    hits: middle(({ hits }) => hits),
  };
}

/** The least of what the peers reach, each figure by itself. */
function bestPeer(cell: Cell): { readonly meanMs: number; readonly p99Ms: number; readonly name: string } {
  const results = PEERS.map((rule) => ({ rule, ...live(cell, rule) }));
  const best = results.reduce((left, right) => (right.meanMs < left.meanMs ? right : left));
  return { meanMs: best.meanMs, p99Ms: Math.min(...results.map(({ p99Ms }) => p99Ms)), name: best.rule };
}

function geometricMean(ratios: readonly number[]): number {
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
}

const SPEEDS = { reference: [1, 1.5, 6], "bench-8k": [1, 1.5, 2] } as const satisfies Record<ProfileName, unknown>;

function cellsOf(name: ProfileName): (Cell & { readonly blocks: Blocks })[] {
  const profile = PROFILES[name];
  return SPEEDS[name].flatMap((speed) => ([10_000, 3_000] as const).map((blocks) => ({ blocks, profile, speed })));
}

/** Against the best of all others in six cells: speeds, and large and small caches. */
function matrix(name: ProfileName): object {
  const cells = cellsOf(name).map((cell) => {
    const [own, wrong, best] = [live(cell, "ttft"), live(cell, "ttft", { isWrong: true }), bestPeer(cell)];
    const tuned = Math.min(
      ...WEIGHTS.map((prefillLoadScale) => live(cell, "dynamo", { constants: { prefillLoadScale } }).meanMs),
    );
    return {
      best: best.name,
      blocks: cell.blocks,
      isSlow: cell.speed <= 1.5,
      ratio: own.meanMs / best.meanMs,
      p99Ratio: own.p99Ms / best.p99Ms,
      tunedRatio: own.meanMs / tuned,
      wrongRatio: wrong.meanMs / best.meanMs,
      hits: own.hits / CEILING[cell.blocks],
    };
  });
  const hits = (blocks: Blocks) =>
    cells.filter((cell) => cell.blocks === blocks && cell.isSlow).map((cell) => cell.hits);
  return {
    ratio: geometricMean(cells.map(({ ratio }) => ratio)),
    worstRatio: Math.max(...cells.map(({ ratio }) => ratio)),
    worstP99Ratio: Math.max(...cells.map(({ p99Ratio }) => p99Ratio)),
    worstTunedRatio: Math.max(...cells.map(({ tunedRatio }) => tunedRatio)),
    wrongRatio: geometricMean(cells.map(({ wrongRatio }) => wrongRatio)),
    worstWrongRatio: Math.max(...cells.map(({ wrongRatio }) => wrongRatio)),
    hitsOfCeiling: Math.min(...hits(10_000)),
    hitsOfOneCache: Math.min(...hits(3_000)),
    cells: cells.map(({ ratio, best }) => `${ratio.toFixed(3)} ${best}`).join(", "),
  };
}

function against(cells: readonly Cell[]): object {
  const results = cells.map((cell) => {
    const [own, best] = [live(cell, "ttft"), bestPeer(cell)];
    return { ratio: own.meanMs / best.meanMs, p99Ratio: own.p99Ms / best.p99Ms, best: best.name };
  });
  return {
    worstRatio: Math.max(...results.map(({ ratio }) => ratio)),
    worstP99Ratio: Math.max(...results.map(({ p99Ratio }) => p99Ratio)),
    cells: results.map(({ ratio, best }) => `${ratio.toFixed(3)} ${best}`).join(", "),
  };
}

/** Both profiles as the trace comes. */
function both(more: Partial<ReplayOptions>): readonly Cell[] {
  return Object.values(PROFILES).map((profile) => ({ profile, blocks: 10_000, speed: 1, ...more }));
}

/** Two of eight die at half time, and are back with nothing at three quarters. */
function outage(): readonly Cell[] {
  const changes = [0, 1].flatMap((worker) => [
    { atMs: lastMs / 2, worker, what: "fail" as const },
    { atMs: (3 * lastMs) / 4, worker, what: "join" as const },
  ]);
  return both({ changes });
}

function groups(): readonly Cell[] {
  const rows: readonly TraceRow[] = [
    ...syntheticTraffic({ ...GROUPED_TRAFFIC, blockTokens: BLOCK_TOKENS, seed: 1n }),
  ].slice(0, ROWS);
  return both({ rows, workers: 4 });
}

/** Prompts here and answers there, of as many workers as do both: as a share of what those need; and the default bypass beside the better of both ways. */
function split(counts: { readonly prefill: number; readonly decode: number }): object {
  const { prefill, decode } = counts;
  const some = (count: number, role: "prefill" | "decode") => Array.from({ length: count }, () => role);
  const roles = [...some(prefill, "prefill"), ...some(decode, "decode")];
  const profile = PROFILES["bench-8k"];
  const cells = SPEEDS["bench-8k"].map((speed) => {
    const cell = { blocks: 10_000, profile, speed } as const;
    const whole = liveLegs(cell, "none");
    const [apart, priced] = [liveLegs({ ...cell, roles }, "none"), liveLegs({ ...cell, roles }, "priced")];
    return {
      ratio: apart.meanMs / whole.meanMs,
      itlP99Ratio: apart.itlP99Ms / whole.itlP99Ms,
      laterItlP99Ratio: apart.laterItlP99Ms / whole.laterItlP99Ms,
      bypassRatio: priced.meanMs / Math.min(whole.meanMs, apart.meanMs),
    };
  });
  return {
    ...cells[0],
    bypassRatio: geometricMean(cells.map(({ bypassRatio }) => bypassRatio)),
    worstBypassRatio: Math.max(...cells.map(({ bypassRatio }) => bypassRatio)),
  };
}

function liveLegs(cell: Cell, bypass: "none" | "priced") {
  const usual = { rows: conversations, traceBlockTokens: BLOCK_TOKENS, blockTokens: BLOCK_TOKENS, workers: WORKERS };
  const book = new OutcomeBook();
  const routing = { rule: "ttft", split: { bypass } } as const;
  for (const outcome of replay({ ...usual, ...cell, routing, seed: 1n })) book.add(outcome);
  const { ttftMs, itlMs, laterItlMs } = figuresOf(book.columns, { rows: conversations.length, places: WORKERS });
  return { meanMs: ttftMs.mean, itlP99Ms: itlMs.p99, laterItlP99Ms: laterItlMs.p99 };
}

/** One replay of the whole trace. */
function cost(): object {
  const before = cpuUs();
  live({ profile: PROFILES.reference, blocks: 10_000, speed: 1 }, "ttft");
  return { cpuSeconds: (cpuUs() - before) / 1e6 / SEEDS, residentMb: process.memoryUsage().rss / 1e6 };
}

await runCases({
  "replay/conversations/bench-8k": () => matrix("bench-8k"),
  "replay/conversations/reference": () => matrix("reference"),
  "replay/sessions": () => against(both({ load: { kind: "sessions" }, sessions: "second-block" })),
  "replay/unequal-workers": () => against(both({ speeds: new Map([0, 1].map((worker) => [worker, 0.5])) })),
  "replay/outage": () => against(outage()),
  "replay/prefix-groups": () => against(groups()),
  "replay/split/7+1": () => split({ prefill: 7, decode: 1 }),
  "replay/split/6+2": () => split({ prefill: 6, decode: 2 }),
  "replay/cost": cost,
});

// What it costs a worker that others follow its cache: tokens per CPU second of the worker of `up` with two subscribers of
// its events, against none, in turn. Prompts are new and long, so that blocks come and go with every request.
//   node test/bench/cases/events.ts [NAME_PART] [TURNS]
import { createRpcFeed } from "#lib/events/rpc-feed";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { readBoard } from "../../support/program.ts";
import { type Cluster, cpuSecondsOf, HttpCaller, startCluster } from "../cluster.ts";
import { median, runCases, volume } from "../harness.ts";
import { TextWriter } from "../text.ts";

const STREAMS = 16;
/** Requests of each stream in one half of a turn, after one that is not measured. */
const ROUNDS = volume(4, 1);
/** Turns that are not counted: V8 compiles a function well only after it ran some thousand times. */
const WARM_TURNS = volume(4, 1);
const PROMPT_WORDS = 48;
const OUTPUT_TOKENS = { least: 64, most: 128 };
const SUBSCRIBERS = 2;
const turnCount = Number(process.argv[3] ?? volume(15, 1));

/** Follows the cache of a worker, each time over a session of its own. */
function subscribe(address: string, onBlocks: (blocks: number) => void): () => void {
  const feeds = Array.from({ length: SUBSCRIBERS }, () => {
    const feed = createRpcFeed(new Channel(address, loopbackCredentials, systemClock));
    feed.subscribe(
      { rank: 0, incarnation: 0n, fromId: 0n },
      {
        onMessage(message) {
          if (message.kind !== "events") return;
          onBlocks(message.changes.reduce((sum, each) => sum + (each.kind === "stored" ? each.hashes.length : 0), 0));
        },
        onEnd(error) {
          throw error ?? new Error("The events of the worker ended");
        },
      },
    );
    return feed;
  });
  return () => {
    for (const feed of feeds) feed.close();
  };
}

/** One half of a turn: tokens of prompts and answers per CPU second of the worker. */
async function run(cluster: Cluster, seed: number): Promise<number> {
  const caller = new HttpCaller(cluster.port, STREAMS);
  const ask = async (stream: number, round: number): Promise<number> => {
    const content = new TextWriter((seed * (ROUNDS + 1) + round) * STREAMS + stream).words(PROMPT_WORDS);
    const span = OUTPUT_TOKENS.most - OUTPUT_TOKENS.least + 1;
    const answer = await caller.post("/v1/chat/completions", {
      model: "stator-demo",
      messages: [{ role: "user", content }],
      max_tokens: OUTPUT_TOKENS.least + ((stream * 37 + round * 53) % span),
      temperature: 0,
      ignore_eos: true,
    });
    return Number(answer.match(/"total_tokens":(\d+)/)?.[1]);
  };
  const all = async (first: number, last: number): Promise<number> => {
    const stream = async (at: number): Promise<number> => {
      let tokens = 0;
      for (let round = first; round <= last; round++) tokens += await ask(at, round);
      return tokens;
    };
    const counts = await Promise.all(Array.from({ length: STREAMS }, (_, at) => stream(at)));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  await all(0, 0);
  const used = () => cluster.workerPids.map(cpuSecondsOf).reduce((sum, seconds) => sum + seconds, 0);
  const before = used();
  const tokens = await all(1, ROUNDS);
  caller.close();
  return tokens / (used() - before);
}

async function twoSubscribers(): Promise<object> {
  // A frontend that follows caches by itself would be a third one in both halves.
  const cluster = await startCluster(["--engine", "llama", "--workers", "1", "--router-mode", "random"]);
  const { address } = readBoard(cluster.program).get("worker-1")!;
  let blocks = 0;
  const turns: { followed: number; alone: number }[] = [];
  const followed = async (seed: number): Promise<number> => {
    const end = subscribe(address, (count) => {
      blocks += count;
    });
    const figure = await run(cluster, seed);
    end();
    return figure;
  };
  try {
    for (let turn = 0; turn < WARM_TURNS + turnCount; turn++) {
      const order = turn % 2 === 0;
      const first = order ? await followed(2 * turn) : await run(cluster, 2 * turn);
      const second = order ? await run(cluster, 2 * turn + 1) : await followed(2 * turn + 1);
      if (turn >= WARM_TURNS)
        turns.push(order ? { followed: first, alone: second } : { followed: second, alone: first });
    }
  } finally {
    await cluster.close();
  }
  if (blocks === 0) throw new Error("No block was told");
  return {
    ratio: median(turns.map((turn) => turn.followed / turn.alone)),
    followedPerCpuSecond: median(turns.map((turn) => turn.followed)),
    alonePerCpuSecond: median(turns.map((turn) => turn.alone)),
    blocksPerTurn: blocks / SUBSCRIBERS / (WARM_TURNS + turnCount),
  };
}

await runCases({ "events/two-subscribers": twoSubscribers });

import { afterEach, describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { llamaUnavailable } from "#services/cli/compose/engine-choice";
import { readMetric } from "../support/cluster.ts";
import { type ConversationsOptions, holdConversations } from "../support/conversations.ts";
import { type Program, readBoard, startProgram } from "../support/program.ts";
import { loadRestlessly } from "../support/restless-load.ts";
import { IS_LONG, SCALE } from "../support/seeds.ts";

let cluster: Program | undefined;

afterEach(async () => {
  await cluster?.close();
  cluster = undefined;
});

async function start(args: readonly string[]) {
  await cluster?.close();
  cluster = startProgram(["up", "--http-port", "0", ...args]);
  await cluster.until(/Try it:/, 120_000);
  const board = readBoard(cluster);
  const { address } = board.get("frontend")!;
  const { data } = (await (await fetch(`http://${address}/v1/models`)).json()) as { data: { id: string }[] };
  return { board, address, model: data[0]!.id };
}

const ENGINES = [
  { engine: "mock", args: ["--mock-speed", "4"], missing: undefined },
  { engine: "llama", args: [], missing: IS_LONG ? llamaUnavailable() : "a minute of llama is for npm run test:long" },
] as const;
const LOAD = { conversations: 64, turns: 10, atOnce: 32 } as const;

/** Of each (worker), the requests that it answered, as a share of the mean. */
function busiest(requests: ReadonlyMap<string, number>, workers: number): number {
  const all = [...requests.values()];
  return (Math.max(...all) * workers) / all.reduce((sum, count) => sum + count, 0);
}

/** What a command of the program prints as JSON. */
async function json<Printed>(args: readonly string[]): Promise<Printed> {
  const program = startProgram([...args, "--json"]);
  await program.ended;
  return JSON.parse(program.stdout) as Printed;
}

interface PsRow {
  readonly worker: string;
  readonly routing: readonly {
    readonly knowledge: string;
    readonly indexedBlocks: number;
    readonly behindEvents: number;
  }[];
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const flagsOf = (address: string) => ["--http-port", address.split(":").at(-1)!];

/** Blocks that the index of a frontend has of each worker. */
const indexedOf = async (address: string) => {
  const rows = await json<PsRow[]>(["ps", ...flagsOf(address)]);
  return new Map(
    rows.map(({ worker, routing }) => [worker, routing.reduce((sum, each) => sum + each.indexedBlocks, 0)]),
  );
};

describe.for(ENGINES)("conversations over four workers ($engine)", ({ engine, args, missing }) => {
  it.skipIf(missing)(
    "find what one worker alone would find, and keep all four busy",
    { timeout: 600_000 },
    async () => {
      const load = { ...LOAD, seed: 11n } satisfies Partial<ConversationsOptions>;
      const alone = await holdConversations({
        ...load,
        ...(await start(["--engine", engine, "--workers", "1", ...args])),
      });
      const four = await holdConversations({
        ...load,
        ...(await start(["--engine", engine, "--workers", "4", ...args])),
      });
      const hits = four.cachedTokens / four.promptTokens / (alone.cachedTokens / alone.promptTokens);
      expect(hits, "cached tokens as a share of what one worker found").toBeGreaterThan(0.9);
      expect(four.requests.size).toBe(4);
      expect(busiest(four.requests, 4), "requests of the busiest as a share of the mean").toBeLessThan(1.3);
    },
  );
});

/** In `npm test` a share of what the long form does. */
const RESTLESS = Math.min(10_000, 500 * SCALE);
const REQUESTS_PER_KILL = 150;

describe("after restless clients and killed workers (mock)", () => {
  interface Row extends PsRow {
    readonly state: string;
    readonly link: string;
    readonly openRequests: number;
    readonly waitingRequests: number;
    readonly usedBlocks: number;
  }
  interface Explained {
    readonly explanations: readonly {
      readonly candidates: readonly Readonly<Record<"openRequests" | "prefillTokens" | "potentialBlocks", number>>[];
    }[];
  }

  it(`${RESTLESS} requests leave no load behind, and the index has what the workers have`, {
    timeout: 120_000 + RESTLESS * 120,
  }, async () => {
    const workers = 4;
    const small = ["--mock-total-blocks", "256", "--mock-context-tokens", "1024", "--mock-max-running", "8"];
    const { address, model } = await start(["--engine", "mock", "--workers", "4", "--mock-speed", "4", ...small]);
    const chance = new SeededChance(31n);
    let kills = 0;
    const onRequest = (begun: number): void => {
      if (begun % REQUESTS_PER_KILL === REQUESTS_PER_KILL / 2 && killOne(chance)) kills++;
    };
    const load = { address, model, requests: RESTLESS, atOnce: 32, chance, onRequest };
    const { answered, left, refused } = await loadRestlessly(load);
    expect(answered + left + [...refused.values()].reduce((sum, count) => sum + count, 0)).toBe(RESTLESS);
    expect({ answered, left, kills, refused: [...refused] }).toMatchObject({ refused: [] });
    expect(answered).toBeGreaterThan(RESTLESS / 2);
    expect(left).toBeGreaterThan(RESTLESS / 10);
    expect(kills).toBeGreaterThan(1);
    const rows = () => json<Row[]>(["ps", ...flagsOf(address)]);
    // Those that were killed last are on their way back.
    const isSettled = async () => {
      const all = await rows();
      const known = all.flatMap(({ routing }) =>
        routing.map(({ knowledge, behindEvents }) => ({ knowledge, behindEvents })),
      );
      const load = all.map(({ state, link, openRequests, waitingRequests, usedBlocks }) => {
        return { state, link, openRequests, waitingRequests, usedBlocks };
      });
      return { known, load };
    };
    const idle = { state: "ready", link: "ready", openRequests: 0, waitingRequests: 0, usedBlocks: 0 };
    await expect.poll(isSettled, { timeout: 60_000, interval: 500 }).toEqual({
      known: Array.from({ length: workers }, () => ({ knowledge: "live", behindEvents: 0 })),
      load: Array.from({ length: workers }, () => idle),
    });
    const metrics = await (await fetch(`http://${address}/metrics`)).text();
    for (const level of [
      "stator_routing_open_choices",
      "stator_dispatch_open_requests",
      "stator_dispatch_waiting_requests",
    ]) {
      expect(metrics).toContain(`\n${level} 0\n`);
    }
    expect(readMetric(metrics, "stator_events_faults_total")).toBe(0);
    const { explanations } = await json<Explained>(["explain", model, "--prompt", "a", ...flagsOf(address)]);
    const found = explanations[0]!.candidates.map(({ openRequests = 0, prefillTokens = 0 }) => [
      openRequests,
      prefillTokens,
    ]);
    expect(found).toEqual(Array.from({ length: workers }, () => [0, 0]));
    const indexed = await indexedOf(address);
    const cleared = await json<{ worker: string; cleared: number }[]>(["cache", "clear", ...flagsOf(address)]);
    expect(new Map(cleared.map((row) => [row.worker, row.cleared]))).toEqual(indexed);
    expect(Math.max(...indexed.values())).toBeGreaterThan(100);
    const leftOver = async () => [...(await indexedOf(address)).values()];
    await expect.poll(leftOver, { timeout: 20_000, interval: 500 }).toEqual([0, 0, 0, 0]);
  });

  /** Kills a worker that is alive, unless it is the last; whether it did. */
  function killOne(chance: SeededChance): boolean {
    const alive = [...readBoard(cluster!)].filter(([name, { pid }]) => name.startsWith("worker-") && isAlive(pid));
    if (alive.length < 2) return false;
    return process.kill(alive[pick(chance, alive.length)]![1].pid, "SIGKILL");
  }
});

describe("what a router knows (mock)", () => {
  const load = { conversations: 24, turns: 6, atOnce: 12, seed: 5n } as const;

  it("is what the workers have, also when one of them was killed under way", { timeout: 300_000 }, async () => {
    const { board, address, model } = await start(["--engine", "mock", "--workers", "3", "--mock-speed", "4"]);
    const before = new Set((await indexedOf(address)).keys());
    let killed = false;
    const onTurn = (answered: number): void => {
      if (killed || answered < 60) return;
      killed = true;
      process.kill(board.get("worker-1")!.pid, "SIGKILL");
    };
    const { requests } = await holdConversations({ ...load, address, model, onTurn });
    expect(killed).toBe(true);
    expect([...requests.values()].reduce((sum, count) => sum + count, 0)).toBe(load.conversations * load.turns);
    // The killed one is another worker by now, and nothing of what it had is left.
    const isReplaced = async () => {
      const now = [...(await indexedOf(address)).keys()];
      return now.length === 3 && now.filter((worker) => before.has(worker)).length === 2;
    };
    await expect.poll(isReplaced, { timeout: 60_000, interval: 500 }).toBe(true);
    const indexed = await indexedOf(address);
    const cleared = await json<{ worker: string; cleared: number }[]>(["cache", "clear", ...flagsOf(address)]);
    expect(new Map(cleared.map((row) => [row.worker, row.cleared]))).toEqual(indexed);
    const left = async () => [...(await indexedOf(address)).values()];
    await expect.poll(left, { timeout: 20_000, interval: 500 }).toEqual([0, 0, 0]);
  });

  it("is there again in a frontend that comes later, from what the workers tell of themselves", async () => {
    const opened: Program[] = [];
    const open = (...args: string[]) => {
      const program = startProgram(args);
      opened.push(program);
      return program;
    };
    try {
      const [, hub] = await open("hub", "--hub-port", "0").until(/(hub:\/\/[\w.:]+\d)/);
      const place = ["--discovery", hub!];
      const workers = ["a", "b"].map((taint) =>
        open("worker", "--engine", "mock", "--mock-speed", "1", "--taints", taint, ...place),
      );
      for (const worker of workers) await worker.until(/worker serves/);
      const openFrontend = async () => {
        const frontend = open("frontend", "--http-port", "0", ...place);
        const [, address] = await frontend.until(/http:\/\/([^/\s]+:\d+)/);
        await expect.poll(async () => (await fetch(`http://${address}/health`)).status, { timeout: 30_000 }).toBe(200);
        return { frontend, address: address! };
      };
      const content = Array.from({ length: 200 }, (_, at) => `word${at}`).join(" ");
      const ask = async (address: string, stator: object) => {
        const response = await fetch(`http://${address}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ model: "stator-mock", prompt: content, max_tokens: 1, stator }),
        });
        expect(response.status).toBe(200);
        return response.headers;
      };
      const first = await openFrontend();
      const home = (await ask(first.address, { required_taints: ["b"] })).get("x-stator-worker");
      first.frontend.signal("SIGKILL");
      await first.frontend.ended;
      const later = await openFrontend();
      // Each time it asks, the other worker would do as well but for what is cached.
      const decided = async () => (await ask(later.address, { required_taints: ["b"] })).get("x-stator-decision");
      await expect.poll(decided, { timeout: 10_000, interval: 50 }).toMatch(/ [1-9]\d* tokens cached/);
      expect((await ask(later.address, {})).get("x-stator-worker")).toBe(home);
    } finally {
      for (const program of opened.toReversed()) await program.close();
    }
  });
});

import { afterEach, describe, expect, it } from "vitest";
import { llamaUnavailable } from "#services/cli/compose/engine-choice";
import { type ConversationsOptions, holdConversations } from "../support/conversations.ts";
import { type Program, readBoard, startProgram } from "../support/program.ts";

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
  { engine: "llama", args: [], missing: llamaUnavailable() },
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
  readonly routing: readonly { readonly knowledge: string; readonly indexedBlocks: number }[];
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

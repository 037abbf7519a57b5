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

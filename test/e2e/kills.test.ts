import { afterEach, describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { llamaUnavailable } from "#services/cli/compose/engine-choice";
import { Cluster } from "../support/cluster.ts";
import { Load, type LoadOptions } from "../support/load.ts";
import { type Program, readBoard } from "../support/program.ts";
import { IS_LONG } from "../support/seeds.ts";

/** A kill every 2 s: for ten minutes in the long form, with streams of 10 to 15 s. */
const KILL_EVERY_MS = 2_000;
const KILLS = IS_LONG ? 300 : 8;
const STREAM_S = IS_LONG ? 12 : 4;
const WORKERS = 4;
const LIMIT_MS = 120_000 + KILLS * KILL_EVERY_MS * 1.5;

const missing = llamaUnavailable()?.detail;
const cluster = new Cluster();
afterEach(() => cluster.close());

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Kills one worker that is ready, chosen by chance; the last one is left, however long the others take to come back. */
function killOne(program: Program, chance: SeededChance): void {
  const workers = [...readBoard(program)].filter(([name, { pid }]) => name.startsWith("worker-") && isAlive(pid));
  if (workers.length > 1) process.kill(workers[pick(chance, workers.length)]![1].pid, "SIGKILL");
}

/** Streams under kills: every answer whole and equal to the undisturbed one, nobody turned away, nothing left open. */
async function endure(engine: string, options: LoadOptions & { args: string[] }): Promise<void> {
  const { args, ...asked } = options;
  const program = cluster.start(["up", "--engine", engine, "--workers", String(WORKERS), "--http-port", "0", ...args]);
  await program.until(/Try it:/);
  const { address } = readBoard(program).get("frontend")!;
  const load = await Load.start(address, asked);
  const chance = new SeededChance(20_261n);
  for (let kill = 0; kill < KILLS; kill++) {
    await new Promise((resolve) => setTimeout(resolve, KILL_EVERY_MS));
    killOne(program, chance);
    expect(load.failures).toEqual([]);
  }
  const { answered, failures, refusals } = await load.stop();
  expect({ failures, refusals: [...refusals] }).toEqual({ failures: [], refusals: [] });
  expect(answered).toBeGreaterThanOrEqual(asked.streams);
  const metrics = await (await fetch(`http://${address}/metrics`)).text();
  expect(metrics).toMatch(/^stator_dispatch_open_requests 0$/m);
  expect(Number(/^stator_dispatch_migrations_total (\d+)/m.exec(metrics)?.[1])).toBeGreaterThan(0);
}

describe("a kill every two seconds", () => {
  it(
    "costs no stream and turns nobody away (mock, at the speed of a reader)",
    async () => {
      // 29 ms for a token.
      const speed = 0.2;
      await endure("mock", { args: ["--mock-speed", String(speed)], streams: 16, maxTokens: STREAM_S * 34 });
    },
    LIMIT_MS,
  );

  it.skipIf(missing !== undefined)(
    `costs no stream and not a bit, and turns nobody away (llama, ${missing ?? "built"})`,
    async () => {
      await endure("llama", { args: [], streams: 8, maxTokens: IS_LONG ? 800 : 200, toTheBit: true });
    },
    LIMIT_MS,
  );
});

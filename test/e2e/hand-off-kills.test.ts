import { afterEach, describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { LegCluster, type LegRole } from "../support/leg-cluster.ts";
import { LegLoad } from "../support/leg-load.ts";
import { IS_LONG } from "../support/seeds.ts";

/** Of each way of handing over: 10,000 together in the long form. */
const REQUESTS = IS_LONG ? 5_000 : 500;
/** Requests between two faults. */
const FAULT_EVERY = IS_LONG ? 50 : 60;
const LEASE_MS = 2_000;
const LIMIT_MS = IS_LONG ? 900_000 : 90_000;

let legs: LegCluster | undefined;
afterEach(async () => {
  await legs?.close();
  legs = undefined;
});

const WORKER_ARGS = [
  ...["--mock-speed", "4", "--mock-total-blocks", "256", "--transfer-lease-ms", String(LEASE_MS)],
  ...["--transfer-stall-ms", "1000", "--lease-ms", "3000"],
];

/** One worker dies, or stands still for a moment; of the workers for answers one is left. */
async function fault(cluster: LegCluster, chance: SeededChance): Promise<void> {
  const role: LegRole = pick(chance, 2) === 0 ? "prefill" : "decode";
  const workers = cluster.of(role);
  if (workers.length < 2) return;
  const worker = workers[pick(chance, workers.length)]!;
  if (pick(chance, 2) === 0) {
    cluster.kill(worker);
    return;
  }
  worker.program.signal("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 50 + chance.next() * 3_000));
  worker.program.signal("SIGCONT");
}

describe("kills, pauses and cancels of workers of both roles", () => {
  it.each(["prefill-first", "bootstrap"])(
    "cost no answer and leave nothing behind (%s)",
    async (handOff) => {
      const cluster = await LegCluster.start({
        workers: { prefill: 2, decode: 2 },
        workerArgs: WORKER_ARGS,
        frontendArgs: ["--router-bypass", "none", "--router-hand-off", handOff],
      });
      legs = cluster;
      const chance = new SeededChance(handOff === "bootstrap" ? 2n : 1n);
      const load = await LegLoad.start({
        ...{ address: cluster.address, chance, stories: 24, promptTokens: 400, answerTokens: 40, width: 32 },
      });
      const faults: Promise<void>[] = [];
      await load.run(REQUESTS, (ended) => {
        if (ended % FAULT_EVERY === 0) faults.push(fault(cluster, chance));
      });
      await Promise.all(faults);
      await cluster.settled();
      const { answered, cancelled, failures } = load.report;
      expect(failures).toEqual([]);
      expect(answered + cancelled).toBe(REQUESTS);
      expect(await cluster.readFrontend("stator_dispatch_hand_offs_total")).toBeGreaterThan(REQUESTS / 2);
      // The leases of what nobody fetched end it.
      await expect.poll(() => cluster.leftovers(), { timeout: 5 * LEASE_MS, interval: 250 }).toEqual([]);
      expect(cluster.complaints).toEqual([]);
    },
    LIMIT_MS,
  );
});

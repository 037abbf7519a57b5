import { afterEach, describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { LegCluster, type LegRole } from "../support/leg-cluster.ts";
import { LegLoad } from "../support/leg-load.ts";
import { grown } from "../support/process-holdings.ts";
import { IS_LONG } from "../support/seeds.ts";

const REQUESTS = IS_LONG ? 10_000 : 1_000;
/** Requests between two faults. */
const FAULT_EVERY = IS_LONG ? 60 : 120;
/** Longer than a link may be silent, in the long form. */
const PAUSE_MS = IS_LONG ? 4_000 : 1_000;
const LEASE_MS = 2_000;
/** Attempts without a token that end an answer. In the long form most workers stand still or die at any time, for seconds. */
const ATTEMPTS = IS_LONG ? "12" : "3";
/** For what runs on a worker that changes its role: some of it is cut off. */
const DRAIN_MS = 100;
const LIMIT_MS = IS_LONG ? 1_800_000 : 300_000;

let legs: LegCluster | undefined;
afterEach(async () => {
  await legs?.close();
  legs = undefined;
});

/** One worker dies, stands still for a moment, or changes its role; one of each role serves all the time. */
async function fault(cluster: LegCluster, chance: SeededChance): Promise<void> {
  const serving = (role: LegRole) => cluster.of(role).filter(({ isAway }) => !isAway);
  const role: LegRole = pick(chance, 2) === 0 ? "prefill" : "decode";
  const workers = serving(role);
  if (workers.length < 2) return;
  const worker = workers[pick(chance, workers.length)]!;
  const kind = pick(chance, 4);
  if (kind < 2) cluster.kill(worker);
  else if (kind === 2) await cluster.pause(worker, 50 + chance.next() * PAUSE_MS);
  else {
    await cluster.change(worker, DRAIN_MS);
    if (serving(worker.role).length > 2) await cluster.change(worker, DRAIN_MS);
  }
}

describe("kills, pauses and cancels of workers of both roles", () => {
  it(
    `cost none of ${REQUESTS} answers, and leave nothing behind`,
    async () => {
      const cluster = await LegCluster.start({
        workers: { prefill: 2, decode: 2 },
        workerArgs: [
          ...["--mock-speed", "8", "--mock-total-blocks", "512", "--transfer-lease-ms", String(LEASE_MS)],
          ...["--transfer-stall-ms", "1000", "--transfer-idle-ms", String(LEASE_MS), "--lease-ms", "3000"],
        ],
        frontends: ["prefill-first", "bootstrap"].map((way) => [
          ...["--router-bypass", "none", "--router-hand-off", way, "--migration-limit", ATTEMPTS],
        ]),
      });
      legs = cluster;
      const chance = new SeededChance(14n);
      const sizes = { stories: 24, promptTokens: 400, answerTokens: 40, width: 32 };
      const load = await LegLoad.start({ addresses: cluster.addresses, chance, ...sizes });
      const before = cluster.holdings();
      const faults: Promise<void>[] = [];
      await load.run(REQUESTS, (ended) => {
        if (ended % FAULT_EVERY === 0) faults.push(fault(cluster, chance));
      });
      await Promise.all(faults);
      await cluster.settled();
      const { answered, cancelled, failures } = load.report;
      expect(failures).toEqual([]);
      expect(answered + cancelled).toBe(REQUESTS);
      expect(await cluster.readFrontends("stator_dispatch_hand_offs_total")).toBeGreaterThan(REQUESTS / 2);
      expect(await cluster.readFrontends("stator_dispatch_migrations_total")).toBeGreaterThan(0);
      // Leases end what nobody fetched.
      await expect.poll(() => cluster.leftovers(), { timeout: 10 * LEASE_MS, interval: 200 }).toEqual([]);
      expect(cluster.complaints).toEqual([]);
      await expect.poll(() => grown(before, cluster.holdings()), { timeout: 10 * LEASE_MS, interval: 200 }).toEqual([]);
    },
    LIMIT_MS,
  );
});

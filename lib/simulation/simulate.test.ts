import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { type MockModel, readMockModel } from "#lib/engines/mock/mock-engine";
import { eachSeedFrom, SCALE } from "../../test/support/seeds.ts";
import { FAULTS } from "./faults.ts";
import { simulate } from "./simulate.ts";

/** In parts, so that a runner of tests hears of them now and then. */
const PARTS = 20;
const PART = Math.ceil((400 * SCALE) / PARTS);

describe("the joined world", () => {
  let model: MockModel;
  const ends = new Map<string, number>();
  const faults = new Set<string>();
  const transfers = new Map<string, number>();
  let migrations = 0;
  let handOffs = 0;

  beforeAll(async () => {
    model = await readMockModel(fileURLToPath(new URL("../../models/stator-demo-q8_0.gguf", import.meta.url)));
  });

  it.each(Array.from({ length: PARTS }, (_, part) => part * PART))(
    "keeps its promises, whatever goes wrong: seeds from %i on",
    async (first) => {
      await eachSeedFrom(first, PART, async (seed) => {
        const world = await simulate(seed, { model });
        if (world.complaints.length > 0) throw new Error(world.complaints.join("\n"));
        for (const [end, count] of world.ends) ends.set(end, (ends.get(end) ?? 0) + count);
        for (const fault of world.faults) faults.add(fault);
        for (const [what, count] of world.transfers) transfers.set(what, (transfers.get(what) ?? 0) + count);
        handOffs += world.handOffs;
        migrations += world.migrations;
      });
    },
    60_000 + 60_000 * SCALE,
  );

  it(
    "keeps them through long lives too",
    async () => {
      await eachSeedFrom(100_000, Math.ceil(4 * SCALE), async (seed) => {
        const { complaints } = await simulate(seed, { model, acts: 1_500 });
        if (complaints.length > 0) throw new Error(complaints.join("\n"));
      });
    },
    60_000 + 60_000 * SCALE,
  );

  it("meets every fault and every end, and most requests succeed all the same", () => {
    expect([...faults].toSorted()).toEqual(Object.keys(FAULTS).toSorted());
    for (const end of [
      "DEADLINE",
      "OVERLOADED",
      "STREAM_LOST",
      "NO_WORKERS",
      "ATTEMPTS_EXHAUSTED",
      "POISONED",
      "DRAINING",
    ]) {
      expect(ends.get(end), end).toBeGreaterThan(6 * SCALE);
    }
    const all = [...ends.values()].reduce((sum, count) => sum + count, 0);
    expect(ends.get("finished")).toBeGreaterThan(all / 2);
    expect(ends.get("cancelled")).toBeGreaterThan(300 * SCALE);
    expect(migrations).toBeGreaterThan(300 * SCALE);
    expect(handOffs).toBeGreaterThan(400 * SCALE);
    for (const rung of ["shared-memory", "process-memory", "tcp", "grpc"]) {
      expect(transfers.get(rung), rung).toBeGreaterThan(100 * SCALE);
    }
    for (const reason of ["CORRUPT", "NOT_FOUND", "UNAVAILABLE"]) {
      expect(transfers.get(reason), reason).toBeGreaterThan(5 * SCALE);
    }
  });

  it("is the same for the same seed, to the letter", async () => {
    const hashes = new Set<string>();
    for (const seed of [1, 16, 60, 97]) {
      const traces = [];
      for (let life = 0; life < 2; life++) {
        const lines: string[] = [];
        const { hash } = await simulate(seed, { model, write: (line) => lines.push(line) });
        traces.push({ hash, lines });
      }
      expect(traces[1]).toEqual(traces[0]);
      expect(traces[0]?.lines.length).toBeGreaterThan(200);
      hashes.add(traces[0]!.hash);
    }
    expect(hashes.size).toBe(4);
  });
});

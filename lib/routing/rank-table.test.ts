import { expect, test } from "vitest";
import { fleetWorker, promptOf, RoutingRig } from "../../test/support/routing-rig.ts";

test("what a rank holds can be dumped, and is nobody else's", () => {
  const rig = new RoutingRig([fleetWorker(1n, { ranks: 2 }), fleetWorker(2n, { scope: undefined })]);
  rig.store(1n, promptOf(1, 3), { rank: 1 });
  rig.store(2n, promptOf(1, 3));
  const blocks = (worker: bigint, rank: number) =>
    [...rig.router.dump(worker, rank)].reduce(
      (sum, each) => sum + (each.kind === "stored" ? each.hashes.length : 0),
      0,
    );
  expect([blocks(1n, 0), blocks(1n, 1), blocks(1n, 2), blocks(2n, 0), blocks(3n, 0)]).toEqual([0, 3, 0, 0, 0]);
  rig.router.follow(new Map());
  expect(blocks(1n, 1)).toBe(0);
});

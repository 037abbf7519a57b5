import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadNative } from "#lib/native/addon";
import { Gate } from "../support/gate/gate.ts";
import { hereRungs, mockSubject } from "../support/gate/subjects.ts";
import { gateWays } from "../support/gate/ways.ts";
import { IS_LONG } from "../support/seeds.ts";

/** Choices that are asked for; those of ways in which blocks are damaged. */
const COUNT = IS_LONG ? 10_000 : 120;
const DAMAGED_COUNT = IS_LONG ? 1_000 : 40;

describe(`answers of workers in processes of their own (addon ${loadNative().unavailable ?? "built"})`, () => {
  let gate: Gate;
  beforeAll(async () => {
    gate = new Gate({ ...(await mockSubject(COUNT)), disturbances: IS_LONG ? 20 : 2 });
  });
  afterAll(() => gate.close());

  // Where nobody looks one way tells as much as all of them.
  const ways = gateWays(hereRungs()).filter(({ expects, rung }) => IS_LONG || expects !== "wrong" || rung === "grpc");

  it.each(ways)(
    "$name: $expects",
    async (way) => {
      const row = await gate.run(way, way.expects === "same" ? COUNT : DAMAGED_COUNT);
      expect(row).toMatchObject({ problems: [] });
    },
    1_800_000,
  );
});

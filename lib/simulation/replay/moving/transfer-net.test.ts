import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { eachSeed } from "../../../../test/support/seeds.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { TransferNet } from "./transfer-net.ts";

/** 100 bytes a millisecond. */
const SPEED = { tokenBytes: 1, bytesPerSecond: 100_000 };

function world() {
  const clock = new VirtualClock();
  const net = new TransferNet(SPEED, clock);
  const ends = new Map<string, number>();
  const begin = (name: string, from: number, to: number, bytes: number) =>
    net.begin({ from, to, bytes }, () => ends.set(name, clock.nowMs()));
  const run = () => {
    while (clock.step());
    return Object.fromEntries([...ends].map(([name, ms]) => [name, Number(ms.toFixed(6))]));
  };
  return { clock, begin, run };
}

test("a transfer takes its bytes at the speed of the network, and others elsewhere change nothing", () => {
  const { begin, run } = world();
  begin("one", 0, 1, 1_000);
  begin("other", 2, 3, 3_000);
  expect(run()).toEqual({ one: 10, other: 30 });
});

test("transfers share the end that they have in common, and go on faster when one is through", () => {
  const { begin, clock, run } = world();
  begin("to 9", 0, 9, 1_000);
  begin("long to 9", 1, 9, 3_000);
  // Its source is busy with another one, so what is left of its target's share is nobody's.
  clock.after(5, () => begin("from 0", 0, 3, 100));
  expect(run()).toEqual({ "from 0": 7, "to 9": 20, "long to 9": 40 });
});

test("what is added comes behind the rest, and what is cancelled does not come", () => {
  const { begin, clock, run } = world();
  const grown = begin("grown", 0, 1, 500);
  const gone = begin("gone", 2, 1, 1_000);
  clock.after(4, () => {
    expect(gone.arrived()).toBeCloseTo(200, 6);
    gone.cancel();
    grown.add(200);
    expect([grown.bytes, grown.arrived()]).toEqual([700, 200]);
  });
  clock.after(20, () => grown.add(100));
  expect(run()).toEqual({ grown: 21 });
});

test("no end takes in or sends more than it can, nothing is lost, and all transfers end", () => {
  eachSeed(40, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const { begin, clock, run } = world();
    const told = Array.from({ length: 30 }, (_, at) => {
      const about = { name: `${at}`, atMs: pick(chance, 1_000) + 1_000_000 * pick(chance, 2) };
      return { ...about, from: pick(chance, 3), to: 3 + pick(chance, 3), bytes: 1 + pick(chance, 20_000) };
    });
    for (const { name, atMs, from, to, bytes } of told) clock.after(atMs, () => begin(name, from, to, bytes));
    const ends = run();
    expect(Object.keys(ends)).toHaveLength(told.length);
    for (const end of ["from", "to"] as const) {
      for (let place = 0; place < 6; place++) {
        const own = told.filter((each) => each[end] === place);
        for (const { name, atMs, bytes } of own) {
          expect(ends[name]! - atMs).toBeGreaterThan(bytes / 100 - 1e-3);
          // All that began not before it and ended by then went through this end.
          const within = own.filter((other) => other.atMs >= atMs && ends[other.name]! <= ends[name]!);
          const sum = within.reduce((total, other) => total + other.bytes, 0);
          expect(ends[name]! - atMs).toBeGreaterThan(sum / 100 - 1e-3);
        }
      }
    }
  });
});

import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { VirtualClock } from "./virtual-clock.ts";

function run(clock: VirtualClock): void {
  while (clock.step());
}

test("at one moment what ends comes first, then what arrives, then the end of the turn", () => {
  const clock = new VirtualClock();
  const seen: string[] = [];
  clock.soon(() => seen.push("turn at 0"));
  clock.arrive(10, () => {
    seen.push("arrives");
    clock.soon(() => seen.push("turn"));
    clock.after(0, () => seen.push("ends meanwhile"));
    clock.arrive(10, () => seen.push("arrives meanwhile"));
  });
  clock.after(10, () => seen.push("ends"));
  clock.after(5, () => seen.push("earlier"));
  run(clock);
  expect(seen).toEqual([...["turn at 0", "earlier", "ends", "arrives", "ends meanwhile", "arrives meanwhile", "turn"]]);
  expect(clock.nowMs()).toBe(10);
});

test("what was asked for first comes first", () => {
  const clock = new VirtualClock();
  const seen: number[] = [];
  clock.after(4, () => clock.after(6, () => seen.push(3)));
  for (const each of [0, 1, 2]) clock.after(10, () => seen.push(each));
  run(clock);
  expect(seen).toEqual([0, 1, 2, 3]);
});

test("everything comes in order of moment, phase and creation", () => {
  for (let seed = 0n; seed < 100n; seed++) {
    const chance = new SeededChance(seed);
    const clock = new VirtualClock();
    const due: { atMs: number; phase: number; order: number }[] = [];
    const seen: typeof due = [];
    const ask = (): void => {
      const phase = pick(chance, 3);
      const one = { atMs: clock.nowMs() + (phase === 2 ? 0 : pick(chance, 4)), phase, order: due.length };
      due.push(one);
      const call = (): void => {
        expect(clock.nowMs()).toBe(one.atMs);
        seen.push(one);
        if (due.length < 200 && chance.next() < 0.9) ask();
      };
      if (phase === 0) clock.after(one.atMs - clock.nowMs(), call);
      else if (phase === 1) clock.arrive(one.atMs, call);
      else clock.soon(call);
    };
    for (let count = 0; count < 20; count++) ask();
    run(clock);
    expect(seen).toHaveLength(due.length);
    // Whatever was known when one came, and comes before it, had come.
    for (const [at, one] of seen.entries()) {
      const late = seen.slice(at + 1).filter((other) => other.order < one.order && isBefore(other, one));
      expect(late, `seed ${seed}`).toEqual([]);
    }
  }
});

type Due = { readonly atMs: number; readonly phase: number; readonly order: number };

function isBefore(left: Due, right: Due): boolean {
  if (left.atMs !== right.atMs) return left.atMs < right.atMs;
  return left.phase === right.phase ? left.order < right.order : left.phase < right.phase;
}

test("what is taken back does not come, and takes no time", () => {
  const clock = new VirtualClock();
  const timer = clock.after(50, () => expect.unreachable());
  clock.after(20, () => timer.cancel());
  run(clock);
  expect(clock.nowMs()).toBe(20);
  timer.cancel();
  expect(clock.step()).toBe(false);
});

test("nothing comes in the past", () => {
  const clock = new VirtualClock();
  const seen: number[] = [];
  clock.after(10, () => {
    clock.after(-5, () => seen.push(clock.nowMs()));
    clock.arrive(3, () => seen.push(clock.nowMs()));
  });
  run(clock);
  expect(seen).toEqual([10, 10]);
});

test("what happened is told at its own moment, and never before it", () => {
  const clock = new VirtualClock();
  clock.after(10, () => {
    clock.as(4, () => expect(clock.nowMs()).toBe(4));
    expect(clock.nowMs()).toBe(10);
    expect(() => clock.as(4, () => expect.fail("inside"))).toThrow("inside");
    expect(clock.nowMs()).toBe(10);
    expect(() => clock.as(11, () => {})).toThrow("what happened is past");
  });
  run(clock);
});

test("two that call each other for ever are found out", () => {
  const clock = new VirtualClock(0, 100);
  const again = (): void => clock.soon(again);
  again();
  expect(() => run(clock)).toThrow("time goes on");
});

test("Unix time begins where it is said, in whole ms", () => {
  const clock = new VirtualClock(1000);
  clock.after(2.7, () => {});
  run(clock);
  expect(clock.unixMs()).toBe(1002);
});

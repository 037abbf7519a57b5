import { describe, expect, it } from "vitest";
import { pick, SeededChance } from "./chance.ts";
import { FakeClock, type Timer } from "./clock.ts";

describe("a fake clock", () => {
  it("fires timers and ends of turns in order of time, then of having been asked for", () => {
    const clock = new FakeClock();
    const fired: string[] = [];
    const note = (name: string) => () => void fired.push(`${name} ${clock.nowMs()}`);
    clock.after(20, note("late"));
    clock.after(10, () => {
      note("first")();
      clock.soon(note("turn"));
      clock.after(0, note("at once"));
      clock.after(5, note("on the way"));
    });
    clock.after(10, note("second"));
    clock.after(-1, note("past"));
    clock.soon(note("soon"));
    clock.advance(19);
    expect(fired).toEqual(["past 0", "soon 0", "first 10", "second 10", "turn 10", "at once 10", "on the way 15"]);
    expect([clock.nowMs(), clock.unixMs(), clock.pending]).toEqual([19, 1_800_000_000_019, 1]);
    clock.advance(1);
    expect(fired.at(-1)).toBe("late 20");
  });

  it("makes one turn, which does not hold what was asked for meanwhile", () => {
    const clock = new FakeClock();
    const fired: string[] = [];
    clock.soon(() => {
      fired.push("one");
      clock.soon(() => fired.push("two"));
    });
    clock.after(1, () => fired.push("later"));
    expect([clock.turn(), fired]).toEqual([true, ["one"]]);
    expect([clock.turn(), fired]).toEqual([true, ["one", "two"]]);
    expect(clock.turn()).toBe(false);
    clock.settle();
    expect(fired).toHaveLength(2);
  });

  it("does not fire what was taken back, and keeps none of it", () => {
    const clock = new FakeClock();
    const fired: number[] = [];
    const timers = Array.from({ length: 10 }, (_, at) => clock.after(at, () => fired.push(at)));
    for (const at of [0, 3, 3, 9]) timers[at]?.cancel();
    expect(clock.pending).toBe(7);
    clock.advance(5);
    // One that has fired is not taken back a second time.
    timers[1]?.cancel();
    expect([fired, clock.pending]).toEqual([[1, 2, 4, 5], 3]);
    for (let at = 0; at < 10_000; at++) clock.after(1_000, () => fired.push(at)).cancel();
    expect(clock.pending).toBe(3);
    clock.advance(2_000);
    expect([fired, clock.pending]).toEqual([[1, 2, 4, 5, 6, 7, 8], 0]);
  });

  it("tells when the next call is due", () => {
    const clock = new FakeClock();
    const first = clock.after(5, () => {});
    clock.after(7, () => {});
    const due = [clock.nextMs];
    first.cancel();
    due.push(clock.nextMs);
    clock.advance(7);
    expect([...due, clock.nextMs]).toEqual([5, 7, undefined]);
  });

  it("fires what a naive list of timers would, whatever is taken back", () => {
    const chance = new SeededChance(1n);
    const clock = new FakeClock();
    const fired: number[] = [];
    const naive: { dueMs: number; at: number }[] = [];
    const timers: Timer[] = [];
    for (let at = 0; at < 2_000; at++) {
      const dueMs = pick(chance, 500);
      timers.push(clock.after(dueMs, () => fired.push(at)));
      naive.push({ dueMs, at });
    }
    const taken = new Set(Array.from({ length: 1_500 }, () => pick(chance, 2_000)));
    for (const at of taken) timers[at]?.cancel();
    clock.advance(500);
    const wanted = naive.filter(({ at }) => !taken.has(at)).sort((left, right) => left.dueMs - right.dueMs);
    expect(fired).toEqual(wanted.map(({ at }) => at));
  });

  it("finds two ends that call each other for ever", () => {
    const clock = new FakeClock();
    const again = (): void => clock.soon(again);
    again();
    expect(() => clock.advance(1)).toThrow("settles");
  });
});

import { describe, expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { type Paced, Pacer } from "./pacer.ts";

/** An answer that notes when it is flushed and holds back as it is told. */
class Noted implements Paced {
  rosterAt = -1;
  marked = false;
  dueMs = Number.POSITIVE_INFINITY;
  readonly flushes: { atMs: number; lagging: boolean }[] = [];
  readonly tended: number[] = [];
  holdUntilMs = Number.POSITIVE_INFINITY;
  bug: Error | undefined;
  crashed: unknown;

  flush(nowMs: number, lagging: boolean): number {
    if (this.bug) throw this.bug;
    this.flushes.push({ atMs: nowMs, lagging });
    return nowMs < this.holdUntilMs ? this.holdUntilMs : Number.POSITIVE_INFINITY;
  }

  crash(error: unknown): void {
    this.crashed = error;
  }

  tend(nowMs: number): void {
    this.tended.push(nowMs);
  }
}

function rig() {
  const clock = new FakeClock();
  const state = { lagging: false };
  const pacer = new Pacer({ clock, lagging: () => state.lagging, tendMs: 100 });
  return { clock, pacer, state };
}

describe("a pacer", () => {
  it("flushes each marked answer once per turn", () => {
    const { clock, pacer } = rig();
    const [left, right] = [new Noted(), new Noted()];
    for (const answer of [left, right]) pacer.add(answer);
    for (const answer of [left, right, left, left]) pacer.mark(answer);
    expect(clock.pending).toBe(2);
    clock.settle();
    expect([left.flushes.length, right.flushes.length]).toEqual([1, 1]);
    pacer.mark(left);
    clock.settle();
    expect([left.flushes.length, right.flushes.length]).toEqual([2, 1]);
  });

  it("comes back when what was held is due, with one timer for all", () => {
    const { clock, pacer } = rig();
    const answers = [new Noted(), new Noted(), new Noted()];
    for (const [at, answer] of answers.entries()) {
      pacer.add(answer);
      answer.holdUntilMs = 25 + at * 10;
      pacer.mark(answer);
    }
    clock.settle();
    expect(clock.pending).toBe(2);
    clock.advance(25);
    clock.settle();
    expect(answers.map((answer) => answer.flushes.length)).toEqual([2, 1, 1]);
    clock.advance(20);
    clock.settle();
    expect(answers.map((answer) => answer.flushes.length)).toEqual([2, 2, 2]);
    clock.advance(1000);
    clock.settle();
    expect(answers.map((answer) => answer.flushes.length)).toEqual([2, 2, 2]);
  });

  it("ends an answer whose flush throws, and flushes the others", () => {
    const { clock, pacer } = rig();
    const [left, right] = [new Noted(), new Noted()];
    left.bug = new Error("a bug");
    for (const answer of [left, right]) {
      pacer.add(answer);
      pacer.mark(answer);
    }
    clock.settle();
    expect([left.crashed, right.flushes.length]).toEqual([left.bug, 1]);
  });

  it("tells whether the loop lags", () => {
    const { clock, pacer, state } = rig();
    const answer = new Noted();
    pacer.add(answer);
    state.lagging = true;
    pacer.mark(answer);
    clock.settle();
    expect(answer.flushes[0]?.lagging).toBe(true);
  });

  it("forgets removed answers and looks after the others while there are any", () => {
    const { clock, pacer } = rig();
    const [left, right] = [new Noted(), new Noted()];
    pacer.add(left);
    pacer.add(right);
    left.holdUntilMs = 50;
    pacer.mark(left);
    clock.settle();
    pacer.mark(left);
    pacer.remove(left);
    clock.settle();
    clock.advance(250);
    expect(left.flushes).toHaveLength(1);
    expect(right.tended).toEqual([100, 200]);
    expect(left.tended).toEqual([]);
    expect(pacer.open).toBe(1);
    pacer.remove(right);
    clock.advance(1000);
    expect(right.tended).toEqual([100, 200]);
    expect(clock.pending).toBe(0);
  });
});

import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "./clock.ts";
import { ProcessClock } from "./process-clock.ts";

describe("the clock of a process", () => {
  let world: FakeClock;
  let clock: ProcessClock;
  let said: string[];
  const say = (what: string) => () => void said.push(`${what} ${world.nowMs()}`);
  beforeEach(() => {
    world = new FakeClock();
    clock = new ProcessClock(world);
    said = [];
  });

  it("is the world's while the process runs", () => {
    clock.after(5, say("timer"));
    clock.soon(say("turn"));
    clock.after(3, say("never")).cancel();
    expect([clock.pending, world.pending]).toEqual([2, 2]);
    world.advance(10);
    expect(said).toEqual(["turn 0", "timer 5"]);
    expect([clock.pending, clock.nowMs(), clock.unixMs()]).toEqual([0, 10, world.unixMs()]);
  });

  it("keeps what comes due while the process stands still, and makes it up in order", () => {
    clock.after(5, say("first"));
    clock.arrivals.after(7, say("message"));
    const taken = clock.after(6, say("never"));
    clock.stop();
    world.advance(20);
    clock.soon(say("turn"));
    world.settle();
    taken.cancel();
    expect([said, clock.isStill]).toEqual([[], true]);
    clock.resume();
    world.settle();
    expect(said).toEqual(["first 20", "message 20", "turn 20"]);
    expect([clock.isStill, clock.wasStill]).toEqual([false, true]);
  });

  it("stops again in the middle of what it makes up", () => {
    clock.after(1, () => clock.stop());
    clock.after(2, say("later"));
    clock.stop();
    world.advance(5);
    clock.resume();
    world.advance(5);
    expect(said).toEqual([]);
    clock.resume();
    world.advance(5);
    expect(said).toEqual(["later 10"]);
  });

  it("calls nobody any more when the process is gone, and leaves nothing in the world's clock", () => {
    clock.after(5, say("timer"));
    clock.arrivals.soon(say("message"));
    clock.end();
    clock.after(5, say("timer"));
    clock.soon(say("turn"));
    clock.resume();
    world.advance(10);
    expect(said).toEqual([]);
    expect([clock.pending, world.pending, clock.isGone]).toEqual([0, 0, true]);
  });

  it("counts what the process waits for, and not what others send to it", () => {
    clock.arrivals.after(5, say("message"));
    expect([clock.pending, world.pending]).toEqual([0, 1]);
  });
});

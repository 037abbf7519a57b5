import { describe, expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { pause } from "./pause.ts";

describe("a pause", () => {
  it("lasts as long as it is told", async () => {
    const clock = new FakeClock();
    const told: string[] = [];
    const paused = pause(clock, 10, new AbortController().signal).then(() => told.push("over"));
    clock.advance(9);
    await Promise.resolve();
    expect(told).toEqual([]);
    clock.advance(1);
    await paused;
    expect(told).toEqual(["over"]);
  });

  it("is cut short with the reason of its signal, and leaves no timer behind", async () => {
    const clock = new FakeClock();
    const abort = new AbortController();
    const reason = new Error("enough");
    const paused = pause(clock, 10, abort.signal);
    abort.abort(reason);
    await expect(paused).rejects.toBe(reason);
    await expect(pause(clock, 10, abort.signal)).rejects.toBe(reason);
    expect(clock.pending).toBe(0);
  });
});

import { expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { Lane } from "./lane.ts";
import { SEND_BUFFER_BYTES } from "./stream.ts";

function open() {
  const clock = new FakeClock();
  const lane = new Lane<string>(clock);
  const seen: string[] = [];
  const ends: (StatorError | undefined)[] = [];
  const receive = () => lane.receive({ onMessage: (item) => seen.push(item), onEnd: (error) => ends.push(error) });
  return { clock, lane, seen, ends, receive };
}

test("items arrive in order, never from inside push or receive, and the end once after them", () => {
  const { clock, lane, seen, ends, receive } = open();
  lane.push("a");
  receive();
  lane.push("b");
  lane.end();
  expect(seen).toEqual([]);
  clock.settle();
  lane.push("late");
  lane.end();
  clock.settle();
  expect([seen, ends]).toEqual([["a", "b"], [undefined]]);
});

test("a pause holds items and the end back", () => {
  const { clock, lane, seen, ends, receive } = open();
  receive();
  lane.pause();
  lane.push("a");
  lane.end();
  clock.settle();
  expect([seen, ends, lane.bytes]).toEqual([[], [], 1]);
  lane.resume();
  clock.settle();
  expect([seen, ends, lane.bytes]).toEqual([["a"], [undefined], 0]);
});

test("a cut drops what waits, also in a pause", () => {
  const { clock, lane, seen, ends, receive } = open();
  receive();
  lane.pause();
  lane.push("a");
  lane.cut(new StatorError("CANCELLED"));
  clock.settle();
  expect(seen).toEqual([]);
  expect(ends[0]?.reason).toBe("CANCELLED");
});

test("a receiver that is behind makes the lane full, and it drains", () => {
  const { clock, lane, seen, receive } = open();
  let drains = 0;
  lane.onDrain = () => drains++;
  receive();
  lane.pause();
  expect(lane.push("x".repeat(SEND_BUFFER_BYTES))).toBe(true);
  expect(lane.push("y")).toBe(false);
  lane.resume();
  clock.settle();
  expect([seen.length, drains, lane.bytes]).toEqual([2, 1, 0]);
});

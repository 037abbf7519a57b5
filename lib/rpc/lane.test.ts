import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { Lane } from "./lane.ts";
import { SEND_BUFFER_BYTES } from "./stream.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

function open() {
  const lane = new Lane<string>();
  const seen: string[] = [];
  const ends: (StatorError | undefined)[] = [];
  const receive = () => lane.receive({ onMessage: (item) => seen.push(item), onEnd: (error) => ends.push(error) });
  return { lane, seen, ends, receive };
}

test("items arrive in order, never from inside push or receive, and the end once after them", async () => {
  const { lane, seen, ends, receive } = open();
  lane.push("a");
  receive();
  lane.push("b");
  lane.end();
  expect(seen).toEqual([]);
  await turn();
  lane.push("late");
  lane.end();
  await turn();
  expect([seen, ends]).toEqual([["a", "b"], [undefined]]);
});

test("a pause holds items and the end back", async () => {
  const { lane, seen, ends, receive } = open();
  receive();
  lane.pause();
  lane.push("a");
  lane.end();
  await turn();
  expect([seen, ends, lane.bytes]).toEqual([[], [], 1]);
  lane.resume();
  await turn();
  expect([seen, ends, lane.bytes]).toEqual([["a"], [undefined], 0]);
});

test("a cut drops what waits, also in a pause", async () => {
  const { lane, seen, ends, receive } = open();
  receive();
  lane.pause();
  lane.push("a");
  lane.cut(new StatorError("CANCELLED"));
  await turn();
  expect(seen).toEqual([]);
  expect(ends[0]?.reason).toBe("CANCELLED");
});

test("a receiver that is behind makes the lane full, and it drains", async () => {
  const { lane, seen, receive } = open();
  let drains = 0;
  lane.onDrain = () => drains++;
  receive();
  lane.pause();
  expect(lane.push("x".repeat(SEND_BUFFER_BYTES))).toBe(true);
  expect(lane.push("y")).toBe(false);
  lane.resume();
  await turn();
  expect([seen.length, drains, lane.bytes]).toEqual([2, 1, 0]);
});

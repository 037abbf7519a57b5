import { expect, test } from "vitest";
import { SendQueue } from "./send-queue.ts";
import { SEND_BUFFER_BYTES } from "./stream.ts";

/** A transport that finishes a write when told. */
function open() {
  const written: number[] = [];
  const log: string[] = [];
  let done: (() => void) | undefined;
  const sink = {
    write(bytes: Buffer, finished: () => void) {
      expect(done).toBeUndefined();
      written.push(bytes.byteLength);
      done = finished;
    },
    finish: () => log.push("finish"),
  };
  const queue = new SendQueue(sink, () => log.push("drain"));
  const step = () => {
    const finished = done;
    done = undefined;
    finished?.();
  };
  return { queue, written, log, step };
}

const bytes = (count: number) => Buffer.alloc(count);

test("one write at a time, in order, counted in bytes", () => {
  const { queue, written, step } = open();
  for (const count of [1, 2, 3]) expect(queue.push(bytes(count))).toBe(true);
  expect([written, queue.bufferedBytes]).toEqual([[1], 6]);
  step();
  expect([written, queue.bufferedBytes]).toEqual([[1, 2], 5]);
  step();
  step();
  expect([written, queue.bufferedBytes]).toEqual([[1, 2, 3], 0]);
});

test("a full buffer takes the message all the same and drains once", () => {
  const { queue, written, log, step } = open();
  expect(queue.push(bytes(SEND_BUFFER_BYTES))).toBe(true);
  expect(queue.push(bytes(1))).toBe(false);
  expect(queue.push(bytes(1))).toBe(false);
  step();
  expect(log).toEqual(["drain"]);
  step();
  step();
  expect([written.length, log]).toEqual([3, ["drain"]]);
});

test("the end follows the last message without waiting for it", () => {
  const { queue, written, log, step } = open();
  queue.push(bytes(1));
  queue.push(bytes(2));
  queue.end();
  queue.end();
  expect(log).toEqual([]);
  step();
  expect([written, log]).toEqual([[1, 2], ["finish"]]);
  queue.push(bytes(9));
  step();
  expect(written).toEqual([1, 2]);
});

test("an empty queue ends at once, and a cleared one says nothing more", () => {
  const first = open();
  first.queue.end();
  expect(first.log).toEqual(["finish"]);
  const second = open();
  second.queue.push(bytes(SEND_BUFFER_BYTES));
  second.queue.push(bytes(5));
  second.queue.clear();
  second.step();
  second.queue.end();
  expect([second.written.length, second.log, second.queue.bufferedBytes]).toEqual([1, [], 0]);
});

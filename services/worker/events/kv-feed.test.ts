import { expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { settle } from "../../../test/support/worker-rig.ts";
import { createKvFeed } from "./kv-feed.ts";

function open(mostBehind?: number) {
  const feed = createKvFeed({ clock: new FakeClock(1000), mostBehind });
  const abort = new AbortController();
  return { feed, abort, iterator: (feed.subscribe(abort.signal) as AsyncIterable<unknown>)[Symbol.asyncIterator]() };
}

test("a subscriber hears what comes after it began, in order", async () => {
  const { feed, iterator } = open();
  feed.publish({ kind: "cleared" });
  const next = iterator.next();
  await settle();
  const removed = { kind: "removed", hashes: BigUint64Array.of(6n) } as const;
  feed.publish(removed);
  feed.publish({ kind: "cleared" });
  expect((await next).value).toEqual({ sequence: 2n, unixMs: 1000, notice: removed });
  expect((await iterator.next()).value).toEqual({ sequence: 3n, unixMs: 1000, notice: { kind: "cleared" } });
});

test("one who may be three events behind hears three at once, and of four that it is behind", async () => {
  const { feed, iterator } = open(3);
  const publish = async (count: number) => {
    const first = iterator.next();
    await settle();
    for (let at = 0; at < count; at++) feed.publish({ kind: "cleared" });
    return await first;
  };
  const heard = [await publish(3), await iterator.next(), await iterator.next()];
  expect(heard.map(({ value }) => value.sequence)).toEqual([1n, 2n, 3n]);
  expect((await publish(4)).value).toBe("behind");
  expect((await iterator.next()).done).toBe(true);
});

test("the end of the call ends the feed, also while nothing happens", async () => {
  const { abort, iterator } = open();
  const next = iterator.next();
  await settle();
  abort.abort();
  expect((await next).done).toBe(true);
});

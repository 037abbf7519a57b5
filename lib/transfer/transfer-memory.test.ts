import { expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { silentLog as log } from "#lib/host/log";
import { PlainMover } from "./plain-mover.ts";
import { TransferMemory } from "./transfer-memory.ts";

it("places that somebody may still read are given back later, and nothing is waited for once the region is", () => {
  const clock = new FakeClock();
  const memory = new TransferMemory({ mover: new PlainMover(), log, blockBytes: 8, regionBytes: 64, maxWaiting: 1 });
  const taken: number[] = [];
  memory.slots.ask(4, (slots) => taken.push(...slots));
  memory.giveAfter(100, taken.slice(0, 2), clock);
  memory.giveAfter(300, taken.slice(2), clock);
  clock.advance(100);
  expect([memory.slots.count, memory.slots.free, clock.pending]).toEqual([8, 6, 1]);
  memory.close();
  expect(clock.pending).toBe(0);
});

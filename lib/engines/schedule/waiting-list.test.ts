import { expect, test } from "vitest";
import type { TokenChain } from "#lib/tokens/token-chain";
import { requestOf } from "../../../test/support/scheduler-rig.ts";
import { Sequence } from "./sequence.ts";
import { WaitingList } from "./waiting-list.ts";

/** The `order`-th that arrived; its chain has so many tokens. */
function sequence(order: number, priority = 0, length = 1): Sequence {
  return new Sequence(requestOf(order, [1], { priority }), { length } as TokenChain, { order, contextTokens: 100 });
}

const ids = (list: WaitingList) => Array.from({ length: list.size }, (_, at) => list.at(at)?.id);

test("who waits runs by priority, then by arrival; a preempted one finds its old place again", () => {
  const list = new WaitingList();
  const all = [sequence(1), sequence(2, 5), sequence(3), sequence(4, 5), sequence(5, -1)];
  expect(all.map((each) => list.add(each))).toEqual([0, 0, 2, 1, 4]);
  expect(ids(list)).toEqual([2, 4, 1, 3, 5]);
  list.remove(all[0]!);
  list.remove(all[3]!);
  expect(ids(list)).toEqual([2, 3, 5]);
  expect([list.add(all[0]!), list.add(all[3]!)]).toEqual([1, 1]);
  expect(ids(list)).toEqual([2, 4, 1, 3, 5]);
});

test("the tokens of all that wait are counted, and one that does not wait changes nothing when it is taken out", () => {
  const list = new WaitingList();
  const [one, two, stranger] = [sequence(1, 0, 10), sequence(3, 0, 20), sequence(2, 0, 40)];
  list.add(one);
  list.add(two);
  list.addTokens(3);
  list.remove(stranger);
  expect([list.tokens, ids(list)]).toEqual([33, [1, 3]]);
  list.remove(one);
  expect([list.tokens, ids(list)]).toEqual([23, [3]]);
});

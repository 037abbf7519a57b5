import { expect, test } from "vitest";
import type { PassRecord } from "#lib/perf/time-model";
import { RankLedger } from "./rank-ledger.ts";
import { type Placement, Reservation } from "./reservation.ts";

const QUIET: PassRecord = {
  ...{ rank: 0, durationUs: 0, prefillTokens: 0, prefillContextTokens: 0, decodeSequences: 0, decodeContextTokens: 0 },
  ...{ usedBlocks: 0, totalBlocks: 0, runningRequests: 0, waitingRequests: 0, waitingTokens: 0, mergedSteps: 0 },
};

function reserve(ledger: RankLedger, more: Partial<Placement> = {}): Reservation {
  const plain = { promptTokens: 10, cachedTokens: 0, choices: [0], contents: new BigUint64Array(0), atMs: 0 };
  return new Reservation(ledger, { ...plain, ...more }, () => {});
}

function observe(ledger: RankLedger, pass: Partial<PassRecord>, at: { readonly nowMs: number }): void {
  ledger.observe({ ...QUIET, ...pass }, { ...at, promptMs: 0 });
}

test("what passes compute of a prompt counts as begun, until its first token", () => {
  const ledger = new RankLedger();
  const started = (nowMs: number) => ledger.read(nowMs).startedTokens;
  const long = reserve(ledger, { promptTokens: 100 });
  const short = reserve(ledger);
  observe(ledger, { prefillTokens: 60 }, { nowMs: 10 });
  expect(started(10)).toBe(60);
  long.note({ kind: "first token", choice: 0 });
  expect(started(10), "its last pass is not told of yet").toBe(0);
  observe(ledger, { prefillTokens: 45 }, { nowMs: 20 });
  expect(started(20), "of the pass that ended it, the rest was another's").toBe(5);
  observe(ledger, { prefillTokens: 45 }, { nowMs: 30 });
  expect(started(30), "no more than there is: the rest was of other callers").toBe(10);
  short.cancel();
  observe(ledger, { prefillTokens: 45 }, { nowMs: 40 });
  expect(started(40)).toBe(0);
  long.cancel();
});

test("a pass runs since the last one ended, or since a request came where nothing ran", () => {
  const ledger = new RankLedger();
  expect(ledger.read(50).passingMs).toBe(0);
  const first = reserve(ledger, { atMs: 100 });
  expect(ledger.read(130).passingMs).toBe(30);
  const second = reserve(ledger, { atMs: 130 });
  expect(ledger.read(150).passingMs).toBe(50);
  observe(ledger, { prefillTokens: 1 }, { nowMs: 180 });
  expect(ledger.read(200).passingMs).toBe(20);
  first.cancel();
  second.cancel();
  expect(ledger.read(300).passingMs).toBe(0);
  observe(ledger, { runningRequests: 1 }, { nowMs: 400 });
  const third = reserve(ledger, { atMs: 430 });
  expect(ledger.read(440).passingMs, "another caller's runs").toBe(40);
  third.cancel();
});

test("the pass that runs computes what was left when it began; what comes with its beginning can still join it", () => {
  const ledger = new RankLedger();
  const passing = (nowMs: number) => ledger.read(nowMs).passingTokens;
  const first = reserve(ledger, { promptTokens: 100, cachedTokens: 40, atMs: 10 });
  const second = reserve(ledger, { atMs: 10 });
  expect(passing(10)).toBe(0);
  expect(passing(11)).toBe(70);
  const late = reserve(ledger, { promptTokens: 30, atMs: 12 });
  expect(passing(12)).toBe(70);
  observe(ledger, { prefillTokens: 60, runningRequests: 3, waitingRequests: 2, waitingTokens: 500 }, { nowMs: 20 });
  expect(passing(20)).toBe(0);
  expect(passing(21), "40 of this router's, and what waits of others").toBe(40 + 500);
  for (const stream of [first, second, late]) stream.cancel();
});

test("prompts end in the order in which they came", () => {
  const ledger = new RankLedger();
  const [first, second, third] = [100, 10, 30].map((promptTokens) => reserve(ledger, { promptTokens }));
  expect([0, 1, 30, 31, 40, 41, 140].map((tokens) => ledger.endingWithin(tokens))).toEqual([0, 1, 1, 2, 2, 3, 3]);
  third!.note({ kind: "accepted", choice: 0, cachedTokens: 20 });
  expect([10, 11, 20, 21].map((tokens) => ledger.endingWithin(tokens))).toEqual([1, 2, 2, 3]);
  second!.note({ kind: "first token", choice: 0 });
  expect([10, 11].map((tokens) => ledger.endingWithin(tokens))).toEqual([1, 2]);
  first!.cancel();
  third!.cancel();
  expect(ledger.endingWithin(1_000)).toBe(0);
  second!.cancel();
});

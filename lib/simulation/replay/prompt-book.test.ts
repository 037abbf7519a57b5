import { expect, test } from "vitest";
import { ContentHashes } from "./content.ts";
import { NamedChain } from "./named-chain.ts";
import { answerOf, PromptBook } from "./prompt-book.ts";
import type { TraceRow } from "./trace-row.ts";

function turn(index: number, about: Partial<TraceRow> = {}): TraceRow {
  return {
    ...{ index, atMs: 0, inputTokens: 6, outputTokens: 5, names: BigUint64Array.of(BigInt(index), 100n) },
    ...{ session: "a", delayMs: undefined, priority: 0, isDelta: true },
    ...about,
  };
}

test("a turn in delta form goes on from the prompt and the answer before it", () => {
  const book = new PromptBook(4);
  book.content(turn(0));
  book.content(turn(7, { session: "b" }));
  const { names, ends } = book.content(turn(1, { inputTokens: 3, names: BigUint64Array.of(8n) }));
  expect([...names]).toEqual([0n, 100n, answerOf(turn(0)), 8n]);
  expect([...ends]).toEqual([4, 6, 11, 14]);
});

test("the blocks of the answer are those that the engine made of it", () => {
  for (const blockTokens of [1, 2, 3, 5, 16]) {
    const hashes = new ContentHashes(blockTokens);
    const book = new PromptBook(4);
    const first = turn(0, { outputTokens: 50 });
    const chain = new NamedChain(hashes.prompt(book.content(first)), answerOf(first), hashes);
    for (let token = 0; token < 50; token++) chain.push();
    const second = hashes.prompt(book.content(turn(1)));
    expect(second.hashes.subarray(0, chain.completeBlocks)).toEqual(chain.hashes());
    expect(chain.completeBlocks).toBe(Math.floor(56 / blockTokens));
  }
});

test("a row that is whole stands for itself, and nothing is remembered of it", () => {
  const book = new PromptBook(4);
  book.content(turn(0, { isDelta: false }));
  expect([...book.content(turn(1)).names]).toEqual([1n, 100n]);
});

test("sessions are forgotten after their last turn, and no more are open than may be", () => {
  const book = new PromptBook(4, { sessions: 1, promptTokens: 17 });
  book.content(turn(0));
  expect(() => book.content(turn(1, { session: "b" }))).toThrow(
    "Row 2 of the trace is of a session with 1 others open",
  );
  expect(book.content(turn(2, { isLastTurn: true })).names.length).toBe(5);
  book.content(turn(3, { session: "b" }));
  // 6 + 5 + 6 are as many as may be.
  book.content(turn(4, { session: "b" }));
  expect(() => book.content(turn(5, { session: "b" }))).toThrow(
    "Row 6 of the trace is of a session with more than 17 tokens",
  );
});

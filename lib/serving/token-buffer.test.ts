import { expect, it } from "vitest";
import { TokenBuffer } from "./token-buffer.ts";

it("grows beyond what was expected, keeps the order, and leaves earlier views as they were", () => {
  for (const expected of [0, 3, 4, 5, 32, 1_000]) {
    const buffer = new TokenBuffer(expected);
    const views: Uint32Array[] = [];
    for (let at = 0; at < 200; at++) views.push(buffer.append(Uint32Array.of(99, at, at + 1_000, 99), 1, 3));
    expect(buffer.count).toBe(400);
    expect([...buffer.all()]).toEqual(Array.from({ length: 200 }, (_, at) => [at, at + 1_000]).flat());
    expect(views.map((view) => [...view])).toEqual(Array.from({ length: 200 }, (_, at) => [at, at + 1_000]));
  }
});

it("takes more at once than twice what it holds, and nothing", () => {
  const buffer = new TokenBuffer(1);
  const many = Uint32Array.from({ length: 100 }, (_, at) => at);
  expect([...buffer.append(many, 0, 3)]).toEqual([0, 1, 2]);
  expect(buffer.append(many, 5, 5)).toHaveLength(0);
  expect(buffer.append(many, 3, 100)).toHaveLength(97);
  expect([...buffer.all()]).toEqual([...many]);
});

it("costs one copy of the memory for each doubling, and none for an answer as long as expected", () => {
  const buffer = new TokenBuffer(8);
  const memory = new Set<ArrayBufferLike>();
  for (let at = 0; at < 8; at++) memory.add(buffer.append(Uint32Array.of(at), 0, 1).buffer);
  expect(memory.size).toBe(1);
  for (let at = 8; at < 64; at++) memory.add(buffer.append(Uint32Array.of(at), 0, 1).buffer);
  expect(memory.size).toBe(4);
});

import { expect, test } from "vitest";
import { MOST_TAINTS, parseTaints, readTaints } from "./taint.ts";

test("words come with commas, each once", () => {
  expect(parseTaints("zone=a, gpu=h100,zone=a,")).toEqual(["zone=a", "gpu=h100"]);
  expect(parseTaints("")).toEqual([]);
  expect(parseTaints("zone a")).toBeUndefined();
  expect(parseTaints("=a")).toBeUndefined();
  expect(parseTaints("a".repeat(128))).toHaveLength(1);
  expect(parseTaints("a".repeat(129))).toBeUndefined();
});

test("a worker has so many and no more", () => {
  const many = Array.from({ length: MOST_TAINTS }, (_, at) => `t${at}`);
  expect(parseTaints(many.join())).toHaveLength(MOST_TAINTS);
  expect(parseTaints([...many, "more"].join())).toBeUndefined();
  expect(readTaints([...many, "more"])).toEqual(new Set(many));
});

test("what another process says that is no word is left out", () => {
  expect(readTaints(["zone=a", "no word", ""])).toEqual(new Set(["zone=a"]));
});

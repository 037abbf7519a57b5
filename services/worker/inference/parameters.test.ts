import { expect, it } from "vitest";
import { createParameter } from "#lib/api/kserve/parameters";
import { readTensorParameters } from "./parameters.ts";

it("a timeout is as long as timers count, and 0 is none", () => {
  const timeoutOf = (micros: bigint) => readTensorParameters({ timeout: createParameter(micros) }).timeoutMs;
  expect([0n, 1n, 1_500n, 2n ** 62n].map(timeoutOf)).toEqual([undefined, 1, 2, 2 ** 31 - 1]);
});
